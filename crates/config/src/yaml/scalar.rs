//! What the scalars of YAML mean.

use crate::{Error, Kind};

/// The value of a plain scalar.
///
/// # Errors
/// It is a date, a number of base 60, or an int beyond 64 bits.
pub(super) fn resolve(text: &str) -> Result<Kind, Error> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Kind::None),
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => return Ok(Kind::Bool(true)),
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => {
            return Ok(Kind::Bool(false));
        }
        ".nan" | ".NaN" | ".NAN" => return Ok(Kind::Float(f64::NAN)),
        _ => {}
    }
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    if matches!(digits, ".inf" | ".Inf" | ".INF") {
        return Ok(Kind::Float(if sign.is_empty() { f64::INFINITY } else { f64::NEG_INFINITY }));
    }
    if !digits.starts_with(|first: char| first.is_ascii_digit() || first == '.') {
        return Ok(Kind::Str(text.to_owned()));
    }
    if let Some(number) = integer(sign, digits) {
        let number = number.map_err(|_| Error::new(format!("{text} does not fit a 64-bit int")));
        return number.map(Kind::Int);
    }
    if is_float(digits)
        && let Ok(number) = format!("{sign}{}", digits.replace('_', "")).parse()
    {
        return Ok(Kind::Float(number));
    }
    if is_sexagesimal(digits) || is_date(text) {
        return Err(Error::new(format!("`{text}` is a date or a number of base 60 to YAML"))
            .with_help("put it in quotes to make it text"));
    }
    Ok(Kind::Str(text.to_owned()))
}

/// The value of a scalar with a tag such as `!!str`.
///
/// # Errors
/// The text is none of that type, or the tag is no plain type.
pub(super) fn tagged(text: &str, tag: &str) -> Result<Kind, Error> {
    let kind = match tag {
        "!!str" | "!" => return Ok(Kind::Str(text.to_owned())),
        "!!int" | "!!float" | "!!bool" | "!!null" => resolve(text)?,
        _ => return Err(unknown_tag(tag)),
    };
    match (tag, kind) {
        ("!!float", Kind::Int(number)) => Ok(Kind::Float(number as f64)),
        ("!!int", kind @ Kind::Int(_))
        | ("!!float", kind @ Kind::Float(_))
        | ("!!bool", kind @ Kind::Bool(_))
        | ("!!null", kind @ Kind::None) => Ok(kind),
        _ => Err(Error::new(format!("{text:?} does not fit the tag `{tag}`"))),
    }
}

pub(super) fn unknown_tag(tag: &str) -> Error {
    Error::new(format!("the tag `{tag}` is not supported in configs")).with_help(
        "a config holds None, bools, ints, floats, strs, lists, tuples (`!!python/tuple`) and dicts",
    )
}

/// The number that the digits of an int make, or none where they make no int.
fn integer(sign: &str, digits: &str) -> Option<Result<i64, std::num::ParseIntError>> {
    let (base, rest) = match digits.get(..2) {
        Some("0x") => (16, digits.get(2..)?),
        Some("0b") => (2, digits.get(2..)?),
        Some(_) if digits.starts_with('0') => (8, digits.get(1..)?),
        _ => (10, digits),
    };
    let rest = rest.replace('_', "");
    let fits = !rest.is_empty() && rest.chars().all(|sign| sign.is_digit(base));
    fits.then(|| i64::from_str_radix(&format!("{sign}{rest}"), base))
}

/// `1.`, `.5`, `1_000.25`, `1e-3`, `1.5E+8`.
fn is_float(digits: &str) -> bool {
    let (mantissa, exponent) = match digits.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (digits, None),
    };
    let whole_exponent = exponent.is_none_or(|text| {
        let text = text.strip_prefix(['+', '-']).unwrap_or(text);
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
    });
    let mut signs = mantissa.bytes();
    whole_exponent
        && (mantissa.contains('.') || exponent.is_some())
        && mantissa.bytes().any(|byte| byte.is_ascii_digit())
        && mantissa.matches('.').count() <= 1
        && signs.all(|byte| byte.is_ascii_digit() || byte == b'_' || byte == b'.')
}

/// `1:30`, `190:20:30.15`.
fn is_sexagesimal(digits: &str) -> bool {
    let mut parts = digits.split(':');
    let digits_only = |part: &str, extra: char| {
        part.starts_with(|first: char| first.is_ascii_digit())
            && part.chars().all(|sign| sign.is_ascii_digit() || sign == extra)
    };
    parts.next().is_some_and(|first| digits_only(first, '_'))
        && digits.contains(':')
        && parts.all(|part| digits_only(part, '.'))
}

/// `2024-01-31`, with or without a time of day.
fn is_date(text: &str) -> bool {
    let (date, time) = text.split_once(['T', 't', ' ']).map_or((text, None), |(d, t)| (d, Some(t)));
    let parts: Vec<&str> = date.split('-').collect();
    let is_number = |part: &&str| part.bytes().all(|byte| byte.is_ascii_digit());
    let [year, month, day] = *parts.as_slice() else {
        return false;
    };
    year.len() == 4
        && (1..=2).contains(&month.len())
        && (1..=2).contains(&day.len())
        && parts.iter().all(is_number)
        && time.is_none_or(|time| time.trim_start().starts_with(|first: char| first.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Value;

    #[test]
    fn plain_scalars_mean_what_they_mean_to_pyyaml() {
        for (text, expected) in [
            ("", "None"),
            ("~", "None"),
            ("yes", "True"),
            ("Off", "False"),
            ("y", "'y'"),
            ("12", "12"),
            ("-12", "-12"),
            ("+1_000", "1000"),
            ("0", "0"),
            ("017", "15"),
            ("018", "'018'"),
            ("0x1F", "31"),
            ("0b101", "5"),
            ("-0x10", "-16"),
            ("0o17", "'0o17'"),
            ("1.", "1.0"),
            (".5", "0.5"),
            ("-1.5", "-1.5"),
            ("1.5e+3", "1500.0"),
            ("1_0.5", "10.5"),
            (".inf", "inf"),
            ("-.INF", "-inf"),
            (".", "'.'"),
            ("._", "'._'"),
            ("1.2.3", "'1.2.3'"),
            ("1a", "'1a'"),
            ("-", "'-'"),
            ("nan", "'nan'"),
            ("mmcls::a/b.py", "'mmcls::a/b.py'"),
            ("2024-01", "'2024-01'"),
        ] {
            let kind = resolve(text).unwrap();
            assert_eq!(Value::new(kind).repr(), expected, "{text}");
        }
    }

    #[test]
    fn exponents_need_no_dot() {
        for text in ["1e-3", "1E-3", "0.001", "1.0e-3", "10e-4"] {
            assert_eq!(resolve(text).unwrap(), Kind::Float(0.001), "{text}");
        }
    }
}

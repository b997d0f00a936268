//! Python's mini-language of format specifications: `{:>8.3f}`.

use super::arithmetic::as_float;
use super::object::Object;
use super::{Budget, unsupported};
use crate::Error;
use crate::python::float_repr;

/// `[[fill]align][sign][#][0][width][,][.precision][type]`.
#[derive(Debug, Default, PartialEq)]
struct Spec {
    fill: Option<char>,
    align: Option<char>,
    sign: Option<char>,
    alternate: bool,
    zero: bool,
    width: usize,
    group: Option<char>,
    precision: Option<usize>,
    kind: Option<char>,
}

/// `object` as `spec` says; `plain` is Python's `str` of it.
///
/// # Errors
/// The specification is none, or does not fit the object.
pub(super) fn format(object: &Object, plain: String, spec: &str, budget: &Budget) -> Result<String, Error> {
    if spec.is_empty() {
        return Ok(plain);
    }
    let parsed = parse(spec).ok_or_else(|| Error::new(format!("{spec:?} is no format specification")))?;
    budget.charge_text(parsed.width)?;
    budget.charge_text(parsed.precision.unwrap_or(0))?;
    let unfit =
        || Error::new(format!("the format specification {spec:?} does not fit {}", object.described()));
    match (object, parsed.kind) {
        (Object::Str(text), None | Some('s')) => {
            if parsed.sign.is_some()
                || parsed.alternate
                || parsed.group.is_some()
                || parsed.align == Some('=')
            {
                return Err(unfit());
            }
            let cut = text.chars().take(parsed.precision.unwrap_or(usize::MAX)).collect();
            Ok(pad("", cut, &parsed, '<'))
        }
        (Object::Int(_) | Object::Bool(_), None | Some('d' | 'b' | 'o' | 'x' | 'X')) => {
            let number = object.as_int().ok_or_else(unfit)?;
            if parsed.precision.is_some() {
                return Err(unfit());
            }
            let (prefix, digits) = match parsed.kind {
                Some('b') => ("0b", format!("{:b}", number.unsigned_abs())),
                Some('o') => ("0o", format!("{:o}", number.unsigned_abs())),
                Some('x') => ("0x", format!("{:x}", number.unsigned_abs())),
                Some('X') => ("0X", format!("{:X}", number.unsigned_abs())),
                _ => ("", number.unsigned_abs().to_string()),
            };
            let sign = sign(number < 0, &parsed).to_owned() + if parsed.alternate { prefix } else { "" };
            Ok(pad(&sign, grouped(digits, &parsed), &parsed, '>'))
        }
        (Object::Int(_) | Object::Bool(_) | Object::Float(_), kind) => {
            let number = as_float(object).ok_or_else(unfit)?;
            if parsed.alternate {
                return Err(unsupported("`#` for floats is"));
            }
            let digits = match kind {
                None if parsed.precision.is_none() => float_repr(number.abs()),
                None => {
                    return Err(unsupported("a precision without a type is").with_help("write .3f or .3g"));
                }
                Some('f' | 'F' | 'e' | 'E' | 'g' | 'G' | '%') if !number.is_finite() => {
                    float_repr(number.abs()) + if kind == Some('%') { "%" } else { "" }
                }
                Some('f' | 'F') => fixed(number, &parsed),
                Some('%') => fixed(number * 100.0, &parsed) + "%",
                Some('e' | 'E') => scientific(number.abs(), parsed.precision.unwrap_or(6)),
                Some('g' | 'G') => general(number.abs(), parsed.precision.unwrap_or(6).max(1)),
                Some(_) => return Err(unfit()),
            };
            let upper = matches!(kind, Some('F' | 'E' | 'G'));
            let digits = if upper { digits.to_uppercase() } else { digits };
            Ok(pad(sign(number.is_sign_negative(), &parsed), grouped(digits, &parsed), &parsed, '>'))
        }
        _ => Err(unfit()),
    }
}

fn parse(spec: &str) -> Option<Spec> {
    let is_align = |sign: &char| matches!(sign, '<' | '>' | '^' | '=');
    let mut parsed = Spec::default();
    let signs: Vec<char> = spec.chars().collect();
    let mut at = 0;
    if let (Some(fill), Some(align)) = (signs.first(), signs.get(1).filter(|sign| is_align(sign))) {
        (parsed.fill, parsed.align, at) = (Some(*fill), Some(*align), 2);
    } else if let Some(align) = signs.first().filter(|sign| is_align(sign)) {
        (parsed.align, at) = (Some(*align), 1);
    }
    let mut rest = signs.get(at..)?.iter().copied().peekable();
    parsed.sign = rest.next_if(|sign| matches!(sign, '+' | '-' | ' '));
    parsed.alternate = rest.next_if_eq(&'#').is_some();
    parsed.zero = rest.next_if_eq(&'0').is_some();
    let number = |rest: &mut std::iter::Peekable<_>| -> Option<Option<usize>> {
        let digits: String = std::iter::from_fn(|| rest.next_if(char::is_ascii_digit)).collect();
        if digits.is_empty() { Some(None) } else { digits.parse().ok().map(Some) }
    };
    parsed.width = number(&mut rest)?.unwrap_or(0);
    parsed.group = rest.next_if(|sign| matches!(sign, ',' | '_'));
    if rest.next_if_eq(&'.').is_some() {
        parsed.precision = Some(number(&mut rest)??);
    }
    parsed.kind = rest.next_if(char::is_ascii_alphabetic).or_else(|| rest.next_if_eq(&'%'));
    rest.next().is_none().then_some(parsed)
}

fn sign(negative: bool, spec: &Spec) -> &'static str {
    match (negative, spec.sign) {
        (true, _) => "-",
        (false, Some('+')) => "+",
        (false, Some(' ')) => " ",
        _ => "",
    }
}

fn fixed(number: f64, spec: &Spec) -> String {
    format!("{:.1$}", number.abs(), spec.precision.unwrap_or(6))
}

/// `1.50e-07`: an exponent of at least two digits, with its sign.
fn scientific(number: f64, precision: usize) -> String {
    let text = format!("{number:.precision$e}");
    match text.split_once('e').map(|(digits, exponent)| (digits, exponent.parse::<i32>())) {
        Some((digits, Ok(exponent))) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.abs())
        }
        _ => text,
    }
}

/// `precision` significant digits without zeros at the end, in whichever form is the shorter one.
fn general(number: f64, precision: usize) -> String {
    let scientific = scientific(number, precision - 1);
    let trimmed = |text: &str| {
        let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text };
        text.to_owned()
    };
    let Some((digits, exponent)) = scientific.split_once('e') else {
        return scientific;
    };
    let power = exponent.parse::<i64>().unwrap_or(0);
    let places = i64::try_from(precision).unwrap_or(i64::MAX).saturating_sub(1).saturating_sub(power);
    match usize::try_from(places) {
        Ok(places) if power >= -4 => trimmed(&format!("{number:.places$}")),
        _ => format!("{}e{exponent}", trimmed(digits)),
    }
}

/// The digits with a sign between groups of three before the point, where the specification asks for it.
fn grouped(digits: String, spec: &Spec) -> String {
    let Some(separator) = spec.group else {
        return digits;
    };
    let size = if matches!(spec.kind, Some('b' | 'o' | 'x' | 'X')) { 4 } else { 3 };
    let whole = digits.find(|sign: char| !sign.is_ascii_hexdigit() || sign == 'e').unwrap_or(digits.len());
    let (whole, rest) = digits.split_at(whole);
    let mut out = String::new();
    for (at, sign) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(size) {
            out.push(separator);
        }
        out.push(sign);
    }
    out + rest
}

/// Fills up to the width; between sign and digits for `=`, and for zeros.
fn pad(sign: &str, digits: String, spec: &Spec, default: char) -> String {
    let missing = spec.width.saturating_sub(sign.chars().count() + digits.chars().count());
    let fill = spec.fill.unwrap_or(if spec.zero { '0' } else { ' ' });
    let numeric = default == '>';
    let align = spec.align.unwrap_or(if spec.zero && numeric { '=' } else { default });
    let fill = |count: usize| std::iter::repeat_n(fill, count).collect::<String>();
    match align {
        '<' => format!("{sign}{digits}{}", fill(missing)),
        '^' => format!("{}{sign}{digits}{}", fill(missing / 2), fill(missing - missing / 2)),
        '=' => format!("{sign}{}{digits}", fill(missing)),
        _ => format!("{}{sign}{digits}", fill(missing)),
    }
}

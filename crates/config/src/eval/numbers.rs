//! Numbers from text and from one another.

use super::object::Object;
use crate::Error;

/// Python's `int(text)`.
pub(crate) fn parse_int(text: &str) -> Option<i64> {
    without_underscores(text.trim())?.parse().ok()
}

/// Python's `float(text)`.
pub(crate) fn parse_float(text: &str) -> Option<f64> {
    without_underscores(text.trim())?.parse().ok()
}

/// The text without underscores, which Python allows between two digits only.
fn without_underscores(text: &str) -> Option<String> {
    let digit = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_digit);
    let bytes = text.as_bytes();
    for (at, _) in text.match_indices('_') {
        if !(digit(at.checked_sub(1).and_then(|before| bytes.get(before))) && digit(bytes.get(at + 1))) {
            return None;
        }
    }
    Some(text.replace('_', ""))
}

/// Python's `int(number)`.
pub(crate) fn truncate(number: f64) -> Result<i64, Error> {
    whole(number.trunc())
}

/// A whole float as an int.
fn whole(number: f64) -> Result<i64, Error> {
    // 2^63, the first float past the range of i64; -2^63 is within.
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if number.is_nan() {
        return Err(Error::new("cannot convert float NaN to an int"));
    }
    if (-LIMIT..LIMIT).contains(&number) {
        Ok(number as i64)
    } else {
        Err(Error::new(format!("{number:e} does not fit a 64-bit int")))
    }
}

/// Python's `round`: half to even; to an int unless `digits` are asked for.
pub(crate) fn round(number: &Object, digits: Option<i64>) -> Result<Object, Error> {
    match (number, digits) {
        (Object::Int(_) | Object::Bool(_), None | Some(0..)) => {
            Ok(number.as_int().map_or(Object::None, Object::Int))
        }
        (Object::Float(number), None) => whole(number.round_ties_even()).map(Object::Int),
        (Object::Float(number), Some(digits @ 0..=300)) => {
            // Rust's formatting rounds the exact binary value half to even, as Python's does.
            let digits = usize::try_from(digits).unwrap_or(0);
            let text = format!("{number:.digits$}");
            Ok(Object::Float(text.parse().unwrap_or(*number)))
        }
        (Object::Float(number), Some(301..)) => Ok(Object::Float(*number)),
        (Object::Int(_) | Object::Bool(_) | Object::Float(_), Some(_)) => {
            Err(super::unsupported("rounding to tens is"))
        }
        _ => Err(Error::new(format!("cannot round {}", number.described()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_numbers_as_python_does() {
        for (text, int, float) in [
            ("12", Some(12), Some(12.0)),
            (" -3 ", Some(-3), Some(-3.0)),
            ("1_000", Some(1000), Some(1000.0)),
            ("1__0", None, None),
            ("_1", None, None),
            ("1e-3", None, Some(0.001)),
            (".5", None, Some(0.5)),
            ("inf", None, Some(f64::INFINITY)),
            ("x", None, None),
            ("", None, None),
        ] {
            assert_eq!(parse_int(text), int, "{text:?}");
            assert_eq!(parse_float(text), float, "{text:?}");
        }
    }

    #[test]
    fn refuses_floats_that_are_no_int() {
        for number in [f64::NAN, f64::INFINITY, 1e19, -1e19] {
            assert!(truncate(number).is_err(), "{number}");
        }
        assert_eq!(truncate(-2.9).expect("fits"), -2);
    }
}

//! serde's complaints in Python's terms.

use std::fmt;

use serde::de::{self, Expected, Unexpected};

use crate::{Error, Kind, suggest};

impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        let message = message.to_string();
        if message.starts_with("data did not match any variant") {
            return Self::new("the value has none of the forms that are allowed here");
        }
        Self::new(message)
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let expected = python_expectation(&expected.to_string());
        Self::new(format!("expected {expected}, found {}", python_find(found)))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let wanted = expected.to_string();
        let expected = match found {
            Unexpected::Signed(number) if number < 0 && is_unsigned(&wanted) => {
                "an int that is not negative".into()
            }
            Unexpected::Signed(_) | Unexpected::Unsigned(_) if is_integer(&wanted) => {
                format!("an int in the range of {wanted}")
            }
            _ => python_expectation(&wanted),
        };
        Self::new(format!("expected {expected}, found {}", python_find(found)))
    }

    fn invalid_length(len: usize, expected: &dyn Expected) -> Self {
        Self::new(format!("expected {expected}, found {len} items"))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::new(format!("unknown value {variant:?}")).with_help(choices("values", variant, expected))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::new(format!("unknown key {field:?}")).with_help(choices("keys", field, expected))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(format!("missing key {field:?}"))
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::new(format!("the key {field:?} is given twice, perhaps once under another name"))
    }
}

/// `did you mean "x"? known keys: x, y`
fn choices(what: &str, name: &str, known: &'static [&'static str]) -> String {
    let list = match known {
        [] => format!("there are no {what} to set"),
        _ => format!("known {what}: {}", known.join(", ")),
    };
    match suggest(name, known.iter().copied()) {
        Some(meant) => format!("did you mean {meant:?}? {list}"),
        None => list,
    }
}

/// A value in a few words: `str "abc"`, `a list of 3 items`.
pub(super) fn describe(kind: &Kind) -> String {
    match kind {
        Kind::None => python_find(Unexpected::Unit),
        Kind::Bool(truth) => python_find(Unexpected::Bool(*truth)),
        Kind::Int(number) => python_find(Unexpected::Signed(*number)),
        Kind::Float(number) => python_find(Unexpected::Float(*number)),
        Kind::Str(text) => python_find(Unexpected::Str(text)),
        Kind::List(_) | Kind::Tuple(_) => python_find(Unexpected::Seq),
        Kind::Dict(_) => python_find(Unexpected::Map),
    }
}

fn python_find(found: Unexpected<'_>) -> String {
    match found {
        Unexpected::Bool(true) => "bool True".to_owned(),
        Unexpected::Bool(false) => "bool False".to_owned(),
        Unexpected::Unsigned(number) => format!("int {number}"),
        Unexpected::Signed(number) => format!("int {number}"),
        Unexpected::Float(number) => format!("float {number:?}"),
        Unexpected::Str(text) => format!("str {text:?}"),
        Unexpected::Unit | Unexpected::Option => "None".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a dict".to_owned(),
        other => other.to_string(),
    }
}

/// serde's name of what it wants in Python's words.
fn python_expectation(wanted: &str) -> String {
    match wanted {
        "f32" | "f64" => "a number",
        "a string" | "string or map" => "a str",
        "a boolean" => "a bool",
        "a sequence" => "a list",
        "a map" => "a dict",
        "unit" => "None",
        "field identifier" => "a str as key",
        "variant identifier" => "a str",
        _ if is_integer(wanted) => "an int",
        _ if wanted.starts_with("struct ") => "a dict",
        _ => wanted,
    }
    .to_owned()
}

fn is_integer(wanted: &str) -> bool {
    is_unsigned(wanted) || matches!(wanted, "i8" | "i16" | "i32" | "i64" | "i128" | "isize")
}

fn is_unsigned(wanted: &str) -> bool {
    matches!(wanted, "u8" | "u16" | "u32" | "u64" | "u128" | "usize")
}

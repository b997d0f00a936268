//! Widths of units in configs and in the files that they name.

use std::path::Path;

use occam_config::{Error, Value};
use occam_space::subnet::{self, Choices};

/// The JSON file at `path`, which `value` of a config names; a relative path starts from the current directory.
///
/// # Errors
/// It cannot be read, or is no JSON.
pub(crate) fn read_json(path: &str, value: &Value) -> Result<serde_json::Value, Error> {
    let at = |message: String| Error::new(format!("{path}: {message}")).at(value);
    let text = std::fs::read_to_string(Path::new(path)).map_err(|e| at(e.to_string()))?;
    serde_json::from_str(&text).map_err(|e| at(format!("it is no JSON: {e}")))
}

/// The choices of `value`: `{unit: width}`, a mutator's config, or the path of a JSON file with either.
///
/// # Errors
/// A choice is neither a number of channels nor a part, or the file cannot be read.
pub(crate) fn choices(value: &Value) -> Result<Choices, Error> {
    let (json, file) = match value.as_str() {
        Some(path) => (read_json(path, value)?, format!("{path}: ")),
        None => (value.to_json(), String::new()),
    };
    subnet::parse(&json.to_string()).map_err(|e| Error::new(format!("{file}{e}")).at(value))
}

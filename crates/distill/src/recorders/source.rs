//! The `source` of a recorder.

use occam_config::Value;
use serde::Deserialize;

/// A dotted path and where it was written.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Value")]
pub struct Source {
    path: String,
    value: Value,
}

impl TryFrom<Value> for Source {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        match value.as_str() {
            Some(path) => Ok(Self { path: path.into(), value }),
            None => Err(format!("`source` must be a str, found {}", value.kind.python_name())),
        }
    }
}

impl Source {
    /// The path.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The config value, for the place of errors.
    pub fn value(&self) -> &Value {
        &self.value
    }
}

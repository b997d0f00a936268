//! Values to and from JSON.

use crate::{Dict, Kind, Value};

impl Value {
    /// The value as JSON.
    ///
    /// JSON is poorer than Python: tuples become arrays, integer keys become strings, and `inf` and
    /// `nan` become the strings `"inf"`, `"-inf"` and `"nan"`.
    pub fn to_json(&self) -> serde_json::Value {
        match &self.kind {
            Kind::None => serde_json::Value::Null,
            Kind::Bool(truth) => (*truth).into(),
            Kind::Int(number) => (*number).into(),
            Kind::Float(number) => match serde_json::Number::from_f64(*number) {
                Some(finite) => finite.into(),
                None => number.to_string().to_lowercase().into(),
            },
            Kind::Str(text) => text.as_str().into(),
            Kind::List(items) | Kind::Tuple(items) => items.iter().map(Self::to_json).collect(),
            Kind::Dict(dict) => dict.iter().map(|(key, value)| (key.to_string(), value.to_json())).collect(),
        }
    }

    /// The value that JSON describes. Integers beyond 64 bits become floats.
    pub fn from_json(json: &serde_json::Value) -> Self {
        Self::new(match json {
            serde_json::Value::Null => Kind::None,
            serde_json::Value::Bool(truth) => Kind::Bool(*truth),
            serde_json::Value::Number(number) => match number.as_i64() {
                Some(whole) => Kind::Int(whole),
                None => Kind::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            serde_json::Value::String(text) => Kind::Str(text.clone()),
            serde_json::Value::Array(items) => Kind::List(items.iter().map(Self::from_json).collect()),
            serde_json::Value::Object(entries) => {
                let entries = entries.iter();
                let dict: Dict = entries.map(|(key, value)| (key.as_str(), Self::from_json(value))).collect();
                Kind::Dict(dict)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Key;

    #[test]
    fn json_round_trips() {
        let json = serde_json::json!({"a": [1, 2.5, null, true, "x"], "b": {"c": {}}});
        assert_eq!(Value::from_json(&json).to_json(), json);
    }

    #[test]
    fn what_json_lacks_becomes_text() {
        let dict: Dict = [(Key::Int(0), Value::from(f64::INFINITY)), (Key::Int(1), Value::from(f64::NAN))]
            .into_iter()
            .collect();
        assert_eq!(Value::from(dict).to_json(), serde_json::json!({"0": "inf", "1": "nan"}));
    }
}

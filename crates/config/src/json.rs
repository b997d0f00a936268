//! Values to and from JSON.

use std::sync::Arc;

use serde::de::IgnoredAny;

use crate::eval::Budget;
use crate::{Dict, Error, Kind, SourceFile, Span, Value};

/// The value that a JSON file holds; of a key that stands twice the last counts. Integers beyond 64 bits become floats.
///
/// # Errors
/// The text is no JSON, or exceeds the budget.
pub(crate) fn parse(file: &Arc<SourceFile>, budget: &Budget) -> Result<Value, Error> {
    serde_json::from_str::<IgnoredAny>(file.text()).map_err(|error| {
        let span = place_of(file, &error);
        let text = error.to_string();
        let message = text.split(" at line ").next().unwrap_or_default();
        Error::new(format!("syntax error: {message}")).with_span(Some(span))
    })?;
    Reader { file, budget, at: 0 }.value(1)
}

/// serde_json counts lines from 1 and columns, in bytes, from 1; it says 0 where it knows none.
fn place_of(file: &Arc<SourceFile>, error: &serde_json::Error) -> Span {
    let before: usize =
        file.text().split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    Span::new(file, before + error.column().saturating_sub(1), 0)
}

/// Reads a text that is known to be JSON, for values that know their places.
struct Reader<'a> {
    file: &'a Arc<SourceFile>,
    budget: &'a Budget,
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.file.text().as_bytes().get(self.at).copied()
    }

    /// Goes on over all bytes for which `skip` returns true.
    fn skip(&mut self, skip: impl Fn(u8) -> bool) {
        while self.peek().is_some_and(&skip) {
            self.at += 1;
        }
    }

    /// The next byte that begins or ends a value.
    fn next(&mut self) -> Option<u8> {
        self.skip(|byte| byte.is_ascii_whitespace() || matches!(byte, b',' | b':'));
        self.peek()
    }

    fn value(&mut self, depth: usize) -> Result<Value, Error> {
        let first = self.next();
        let start = self.at;
        self.budget
            .check_depth(depth)
            .map_err(|error| error.with_span(Some(Span::new(self.file, start, 1))))?;
        let kind = match first {
            Some(b'[') => {
                self.at += 1;
                let mut items = Vec::new();
                while self.next().is_some_and(|byte| byte != b']') {
                    items.push(self.value(depth + 1)?);
                }
                self.at += 1;
                Kind::List(items)
            }
            Some(b'{') => {
                self.at += 1;
                let mut dict = Dict::new();
                while self.next().is_some_and(|byte| byte != b'}') {
                    let Value { kind: Kind::Str(key), span } = self.value(depth + 1)? else { break };
                    let value = self.value(depth + 1)?;
                    dict.insert_spanned(key, span, value);
                }
                self.at += 1;
                Kind::Dict(dict)
            }
            Some(b'"') => {
                self.string();
                self.scalar(start)?
            }
            _ => {
                self.skip(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
                self.scalar(start)?
            }
        };
        let span = Span::new(self.file, start, self.at.saturating_sub(start));
        Ok(Value::new(kind).with_span(Some(span)))
    }

    /// Goes on to the end of a string.
    fn string(&mut self) {
        self.at += 1;
        loop {
            self.skip(|byte| byte != b'"' && byte != b'\\');
            let escapes = self.peek() == Some(b'\\');
            self.at += 1;
            if !escapes {
                return;
            }
            self.at += 1;
        }
    }

    fn scalar(&self, start: usize) -> Result<Kind, Error> {
        let text = self.file.text().get(start..self.at).unwrap_or_default();
        self.budget.charge_text(text.len())?;
        let json: serde_json::Value = serde_json::from_str(text).map_err(Error::other)?;
        Ok(Value::from_json(&json).kind)
    }
}

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
    use crate::{Key, Loader};

    #[test]
    fn values_know_their_places() {
        let text =
            "{\"a\": [1, {\"ä\\\"]\": \"\\u00fc\\ud83d\\ude00\"}],\n \"b\": -2.5e3, \"a\": [true, null]}";
        let config = Loader::new().load_str("a.json", text).unwrap();
        assert_eq!(config.repr(), "{'a': [True, None], 'b': -2500.0}");
        let places = ["a", "a.0", "a.1", "b"].map(|path| {
            let span = config.get(path).and_then(|value| value.span.clone()).unwrap();
            format!("{span} {}", span.text())
        });
        assert_eq!(
            places,
            ["a.json:2:20 [true, null]", "a.json:2:21 true", "a.json:2:27 null", "a.json:2:7 -2.5e3"]
        );
        let nested =
            Loader::new().load_str("a.json", "{\"a\": {\"ä\\\"]\": \"\\u00fc\\ud83d\\ude00\"}}").unwrap();
        assert_eq!(nested.repr(), "{'a': {'ä\"]': 'ü😀'}}");
    }

    #[test]
    fn explains_what_it_cannot_read() {
        let texts = [
            "{\"a\": }",
            "{\"a\": 1,}",
            "[1]",
            "",
            "{\"a\": NaN}",
            "{\"a\": \"x {{ _base_.x }}\"}",
            "{\"a\": {{ _base_.x }}}",
            "{\"text\": 1}",
        ];
        let errors: Vec<_> = texts
            .iter()
            .map(|text| format!("{text}\n{:?}", Loader::new().load_str("a.json", text).expect_err(text)))
            .chain([100, 100_000].map(|depth| {
                let text = format!("{{\"a\": {}1{}}}", "[".repeat(depth), "]".repeat(depth));
                format!("{depth} deep\n{:?}", Loader::new().load_str("a.json", &text).expect_err("deep"))
            }))
            .collect();
        insta::assert_snapshot!(errors.join("\n\n"));
    }

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

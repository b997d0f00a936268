//! [`Value`] as a field of a component's struct.
//!
//! serde's data model has no room for spans. So a `Value` asks for a newtype struct of a peculiar
//! name; our deserializer, and no other, knows the name and lays a clone of the value in a slot of
//! the thread before it answers. Other deserializers answer as for any newtype struct, and the
//! value is built from what they visit.

use std::cell::RefCell;
use std::fmt;

use serde::de::{self, Deserialize, MapAccess, SeqAccess, Visitor};

use crate::{Dict, Error, Key, Kind, Value};

/// The name by which a `Value` asks for itself.
pub(super) const TOKEN: &str = "$occam::Value";

thread_local! {
    static SLOT: RefCell<Option<Value>> = const { RefCell::new(None) };
}

/// Runs `visit` with `value` in the slot, which is empty afterwards.
pub(super) fn hand_over<T>(value: &Value, visit: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    SLOT.set(Some(value.clone()));
    let made = visit();
    SLOT.take();
    made
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(TOKEN, ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a config value")
    }

    fn visit_newtype_struct<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        match SLOT.take() {
            Some(value) => Ok(value),
            None => deserializer.deserialize_any(self),
        }
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::default())
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::default())
    }

    fn visit_some<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Value, E> {
        Ok(Value::from(truth))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::from(number))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Value, E> {
        i64::try_from(number)
            .map(Value::from)
            .map_err(|_| E::invalid_value(de::Unexpected::Unsigned(number), &"i64"))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Value::from(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::from(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::new(Kind::List(list)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut dict = Dict::new();
        while let Some((key, value)) = entries.next_entry::<Key, Value>()? {
            dict.insert(key, value);
        }
        Ok(Value::from(dict))
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KeyVisitor)
    }
}

struct KeyVisitor;

impl Visitor<'_> for KeyVisitor {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a str or int key")
    }

    fn visit_str<E>(self, text: &str) -> Result<Key, E> {
        Ok(Key::from(text))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Key, E> {
        Ok(Key::Int(number))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Key, E> {
        i64::try_from(number)
            .map(Key::Int)
            .map_err(|_| E::invalid_value(de::Unexpected::Unsigned(number), &"i64"))
    }
}

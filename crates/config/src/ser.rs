//! Values as serde data.

use serde::{Serialize, Serializer, ser::SerializeMap};

use crate::{Key, Kind, Value};

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.kind {
            Kind::None => serializer.serialize_unit(),
            Kind::Bool(truth) => serializer.serialize_bool(*truth),
            Kind::Int(number) => serializer.serialize_i64(*number),
            Kind::Float(number) => serializer.serialize_f64(*number),
            Kind::Str(text) => serializer.serialize_str(text),
            Kind::List(items) | Kind::Tuple(items) => serializer.collect_seq(items),
            Kind::Dict(dict) => {
                let mut map = serializer.serialize_map(Some(dict.len()))?;
                for (key, value) in dict.iter() {
                    match key {
                        Key::Str(text) => map.serialize_entry(text, value)?,
                        Key::Int(number) => map.serialize_entry(number, value)?,
                    }
                }
                map.end()
            }
        }
    }
}

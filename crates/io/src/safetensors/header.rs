//! The header, in its order.
//!
//! The `safetensors` crate reads it into hash maps: it would lose the order of the weights and write the metadata in
//! another order in every run.

use std::fmt;

use indexmap::IndexMap;
use indexmap::map::Entry;
use safetensors::tensor::TensorInfo;
use serde::de::{Error, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The name under which the metadata lies among the tensors.
pub(super) const METADATA: &str = "__metadata__";

/// What lies before the elements.
#[derive(Debug, Default)]
pub(super) struct Header {
    pub metadata: IndexMap<String, String>,
    pub tensors: IndexMap<String, TensorInfo>,
}

impl Serialize for Header {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if !self.metadata.is_empty() {
            map.serialize_entry(METADATA, &self.metadata)?;
        }
        for (name, info) in &self.tensors {
            map.serialize_entry(name, info)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = Header;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
                let mut header = Header::default();
                while let Some(name) = map.next_key::<String>()? {
                    if name == METADATA {
                        header.metadata = map.next_value()?;
                        continue;
                    }
                    match header.tensors.entry(name) {
                        Entry::Occupied(e) => {
                            return Err(A::Error::custom(format!("tensor `{}` is there twice", e.key())));
                        }
                        Entry::Vacant(e) => e.insert(map.next_value()?),
                    };
                }
                Ok(header)
            }
        }

        deserializer.deserialize_map(Entries)
    }
}

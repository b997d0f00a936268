//! Component structs from values, through serde.

mod errors;
mod value;

use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, EnumAccess, IntoDeserializer, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use crate::{Dict, Error, Key, Kind, Span, Value};

/// Keys of a component's dict that say which component it is; its struct does not have them.
const COMPONENT_KEYS: [&str; 2] = ["type", "_scope_"];

/// See [`Value::parse`].
pub(crate) fn parse<T: DeserializeOwned>(value: &Value) -> Result<T, Error> {
    T::deserialize(Deserializer { value, component: true }).map_err(|error: Error| error.at(value))
}

#[derive(Clone, Copy)]
struct Deserializer<'de> {
    value: &'de Value,
    /// Whether a struct read here lacks [`COMPONENT_KEYS`].
    component: bool,
}

impl<'de> Deserializer<'de> {
    fn nested(value: &'de Value) -> Self {
        Self { value, component: false }
    }

    /// Visits a dict, leaving out the keys for which `skip` returns true.
    fn visit_dict<V: Visitor<'de>>(
        dict: &'de Dict,
        skip: impl Fn(&str) -> bool,
        visitor: V,
    ) -> Result<V::Value, Error> {
        let entries: Vec<_> =
            dict.iter_spanned().filter(|(key, _, _)| !key.as_str().is_some_and(&skip)).collect();
        visitor.visit_map(Entries { entries: entries.into_iter(), value: None })
    }
}

impl<'de> de::Deserializer<'de> for Deserializer<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.value.kind {
            Kind::None => visitor.visit_unit(),
            Kind::Bool(truth) => visitor.visit_bool(*truth),
            Kind::Int(number) => visitor.visit_i64(*number),
            Kind::Float(number) => visitor.visit_f64(*number),
            Kind::Str(text) => visitor.visit_borrowed_str(text),
            Kind::List(items) | Kind::Tuple(items) => visit_items(items, visitor),
            Kind::Dict(dict) => Self::visit_dict(dict, |_| false, visitor),
        }
        .map_err(|error| error.at(self.value))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.value.is_none() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        if name == value::TOKEN {
            return value::hand_over(self.value, || visitor.visit_newtype_struct(self));
        }
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match &self.value.kind {
            Kind::Dict(dict) if self.component => {
                let skip = |key: &str| COMPONENT_KEYS.contains(&key) && !fields.contains(&key);
                Self::visit_dict(dict, skip, visitor).map_err(|error| error.at(self.value))
            }
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match &self.value.kind {
            Kind::Str(text) => visitor.visit_enum(Variant { name: text, content: None }),
            Kind::Dict(dict) if dict.len() == 1 => match dict.iter().next() {
                Some((Key::Str(name), content)) => {
                    visitor.visit_enum(Variant { name, content: Some(content) })
                }
                _ => Err(Error::new("expected a dict whose one key is a str")),
            },
            kind => Err(Error::new(format!("expected a str, found {}", errors::describe(kind)))),
        }
        .map_err(|error| error.at(self.value))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map identifier
    }
}

/// Visits a list or tuple; items that the visitor leaves are an error, for arrays and tuples stop
/// reading when they are full.
fn visit_items<'de, V: Visitor<'de>>(items: &'de [Value], visitor: V) -> Result<V::Value, Error> {
    let mut access = Items { items: items.iter() };
    let made = visitor.visit_seq(&mut access)?;
    match access.items.len() {
        0 => Ok(made),
        left => {
            let wanted = items.len() - left;
            Err(Error::new(format!("expected {wanted} items, found {}", items.len())))
        }
    }
}

struct Items<'de> {
    items: std::slice::Iter<'de, Value>,
}

impl<'de> SeqAccess<'de> for &mut Items<'de> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        self.items
            .next()
            .map(|item| seed.deserialize(Deserializer::nested(item)).map_err(|error: Error| error.at(item)))
            .transpose()
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

struct Entries<'de> {
    entries: std::vec::IntoIter<(&'de Key, Option<&'de Span>, &'de Value)>,
    /// The value of the key that was read last.
    value: Option<&'de Value>,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        let Some((key, span, value)) = self.entries.next() else {
            return Ok(None);
        };
        self.value = Some(value);
        let read = match key {
            Key::Str(text) => seed.deserialize(StrDeserializer::new(text)),
            Key::Int(number) => seed.deserialize((*number).into_deserializer()),
        };
        // An unknown key is best shown by the key itself, or else by its value.
        read.map(Some).map_err(|error: Error| error.with_span(span.cloned()).at(value))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        let value = self.value.take().ok_or_else(|| Error::new("a value was read before its key"))?;
        // The place is set here as well, for visitors that fail without visiting the value.
        seed.deserialize(Deserializer::nested(value)).map_err(|error| error.at(value))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.entries.len())
    }
}

struct Variant<'de> {
    name: &'de str,
    content: Option<&'de Value>,
}

impl<'de> EnumAccess<'de> for Variant<'de> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Error> {
        let tag = seed.deserialize(StrDeserializer::<Error>::new(self.name))?;
        Ok((tag, self))
    }
}

impl<'de> Variant<'de> {
    fn content(&self) -> Result<Deserializer<'de>, Error> {
        match self.content {
            Some(content) => Ok(Deserializer::nested(content)),
            None => Err(Error::new(format!("{:?} needs a value: {{{0:?}: ...}}", self.name))),
        }
    }
}

impl<'de> VariantAccess<'de> for Variant<'de> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        match self.content {
            None => Ok(()),
            Some(content) if content.is_none() => Ok(()),
            Some(content) => Err(Error::new(format!("{:?} takes no value", self.name)).at(content)),
        }
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Error> {
        seed.deserialize(self.content()?)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        de::Deserializer::deserialize_any(self.content()?, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        de::Deserializer::deserialize_any(self.content()?, visitor)
    }
}

#[cfg(test)]
mod tests;

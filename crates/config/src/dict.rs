//! Python's `dict`, as far as configs need it: insertion-ordered, with `str` and `int` keys.

use std::fmt;
use std::hash::{Hash, Hasher};

use indexmap::{Equivalent, IndexMap};

use crate::{Span, Value};

/// A key of a [`Dict`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// A string key, the usual kind.
    Str(String),
    /// An integer key, as in `{0: 'batch'}`.
    Int(i64),
}

impl Key {
    /// The key's text if it is a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Str(text) => Some(text),
            Self::Int(_) => None,
        }
    }
}

// Written out so that `StrKey` can hash alike.
impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::Str(text) => text.as_str().hash(state),
            Self::Int(number) => number.hash(state),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Str(text) => f.write_str(text),
            Self::Int(number) => number.fmt(f),
        }
    }
}

impl From<&str> for Key {
    fn from(text: &str) -> Self {
        Self::Str(text.to_owned())
    }
}

impl From<String> for Key {
    fn from(text: String) -> Self {
        Self::Str(text)
    }
}

impl From<i64> for Key {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

/// Looks up a string key without allocating one.
struct StrKey<'a>(&'a str);

impl Hash for StrKey<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl Equivalent<Key> for StrKey<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        key.as_str() == Some(self.0)
    }
}

#[derive(Debug, Clone)]
struct Entry {
    key_span: Option<Span>,
    value: Value,
}

/// An insertion-ordered map from [`Key`] to [`Value`].
///
/// Two dicts are equal if they hold equal values under the same keys, in whatever order; spans do
/// not count.
#[derive(Debug, Clone, Default)]
pub struct Dict {
    entries: IndexMap<Key, Entry>,
}

impl Dict {
    /// An empty dict.
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether the string key `key` is there.
    pub fn contains(&self, key: &str) -> bool {
        self.entries.contains_key(&StrKey(key))
    }

    /// The value under the string key `key`.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.entries.get(&StrKey(key)).map(|entry| &entry.value)
    }

    /// The value under the string key `key`, to change.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        self.entries.get_mut(&StrKey(key)).map(|entry| &mut entry.value)
    }

    /// The value under `key`, string or integer.
    pub fn get_key(&self, key: &Key) -> Option<&Value> {
        self.entries.get(key).map(|entry| &entry.value)
    }

    /// The value under `key`, string or integer, to change.
    pub fn get_key_mut(&mut self, key: &Key) -> Option<&mut Value> {
        self.entries.get_mut(key).map(|entry| &mut entry.value)
    }

    /// Where the string key `key` was written.
    pub fn key_span(&self, key: &str) -> Option<&Span> {
        self.entries.get(&StrKey(key))?.key_span.as_ref()
    }

    /// Sets `key` to `value` and returns what was there. A key that exists keeps its position.
    pub fn insert(&mut self, key: impl Into<Key>, value: Value) -> Option<Value> {
        self.insert_spanned(key, None, value)
    }

    /// As [`insert`](Self::insert), with the place where the key was written.
    pub fn insert_spanned(
        &mut self,
        key: impl Into<Key>,
        key_span: Option<Span>,
        value: Value,
    ) -> Option<Value> {
        let entry = Entry { key_span, value };
        self.entries.insert(key.into(), entry).map(|old| old.value)
    }

    /// Takes the string key `key` out, keeping the order of the others.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        self.entries.shift_remove(&StrKey(key)).map(|entry| entry.value)
    }

    /// Keeps the entries for which `keep` returns true.
    pub fn retain(&mut self, mut keep: impl FnMut(&Key, &Value) -> bool) {
        self.entries.retain(|key, entry| keep(key, &entry.value));
    }

    /// The keys, in order.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.entries.keys()
    }

    /// The values, in order of their keys.
    pub fn values(&self) -> impl Iterator<Item = &Value> {
        self.entries.values().map(|entry| &entry.value)
    }

    /// The keys and values, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Key, &Value)> {
        self.entries.iter().map(|(key, entry)| (key, &entry.value))
    }

    /// The keys and values, in order, the values to change.
    pub fn iter_mut(&mut self) -> impl ExactSizeIterator<Item = (&Key, &mut Value)> {
        self.entries.iter_mut().map(|(key, entry)| (key, &mut entry.value))
    }

    /// The keys, the places where they were written, and the values, in order.
    pub fn iter_spanned(&self) -> impl ExactSizeIterator<Item = (&Key, Option<&Span>, &Value)> {
        self.entries.iter().map(|(key, entry)| (key, entry.key_span.as_ref(), &entry.value))
    }

    /// Takes the dict apart into keys, their places and values, in order.
    pub fn into_spanned(self) -> impl ExactSizeIterator<Item = (Key, Option<Span>, Value)> {
        self.entries.into_iter().map(|(key, entry)| (key, entry.key_span, entry.value))
    }
}

impl PartialEq for Dict {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().all(|(key, value)| other.get_key(key) == Some(value))
    }
}

impl<K: Into<Key>> FromIterator<(K, Value)> for Dict {
    fn from_iter<I: IntoIterator<Item = (K, Value)>>(pairs: I) -> Self {
        let mut dict = Self::new();
        for (key, value) in pairs {
            dict.insert(key, value);
        }
        dict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_string_keys_from_integer_keys() {
        let mut dict = Dict::new();
        dict.insert("0", Value::from("text"));
        dict.insert(0, Value::from("number"));
        assert_eq!(dict.get("0"), Some(&Value::from("text")));
        assert_eq!(dict.get_key(&Key::Int(0)), Some(&Value::from("number")));
        assert_eq!(dict.len(), 2);
    }

    #[test]
    fn keeps_order_on_overwriting_and_removing() {
        let mut dict: Dict = ["a", "b", "c"].map(|key| (key, Value::from(1))).into_iter().collect();
        dict.insert("a", Value::from(2));
        dict.remove("b");
        let keys: Vec<_> = dict.keys().map(ToString::to_string).collect();
        assert_eq!(keys, ["a", "c"]);
    }
}

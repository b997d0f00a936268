//! Arguments that configs write in more than one way.

use serde::Deserialize;

/// One value for both sides, or one for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "a non-negative int or a pair of them")]
pub enum OneOrPair {
    /// Both are equal.
    One(usize),
    /// In the order that the argument documents.
    Pair(usize, usize),
}

impl OneOrPair {
    /// The two values, in the order written.
    pub fn pair(self) -> (usize, usize) {
        match self {
            Self::One(both) => (both, both),
            Self::Pair(first, second) => (first, second),
        }
    }
}

/// One value, or a list of them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "a value of the right type or a list of them")]
pub enum OneOrMany<T> {
    /// The only one.
    One(T),
    /// Any number.
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    /// All of them.
    pub fn as_slice(&self) -> &[T] {
        match self {
            Self::One(value) => std::slice::from_ref(value),
            Self::Many(values) => values,
        }
    }
}

//! Arguments that several families read the same way.

use occam_config::{Error, Value, suggest};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// An `arch`: the name of one of `known`, or a dict with the figures of another.
///
/// # Errors
/// There is no such name, or the dict has not the figures.
pub(crate) fn arch<T: DeserializeOwned + Clone>(value: &Value, known: &[(&str, T)]) -> Result<T, Error> {
    match value.as_str() {
        Some(name) => named(name, known).map_err(|e| e.at(value)),
        None => value.parse(),
    }
}

/// The one of `known` that is called `name`.
///
/// # Errors
/// There is none.
pub(crate) fn named<T: Clone>(name: &str, known: &[(&str, T)]) -> Result<T, Error> {
    if let Some((_, found)) = known.iter().find(|(n, _)| *n == name) {
        return Ok(found.clone());
    }
    let names = || known.iter().map(|(n, _)| *n);
    let near = suggest(name, names()).map_or_else(String::new, |n| format!(" Did you mean `{n}`?"));
    let list = names().collect::<Vec<_>>().join(", ");
    Err(Error::new(format!("there is no arch `{name}`; known are {list}.{near}")))
}

/// `out_indices`: one index or several; −1 is the last.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, expecting = "an index or a list of them")]
pub(crate) enum OutIndices {
    One(i64),
    Many(Vec<i64>),
}

impl OutIndices {
    /// The indices from the front.
    ///
    /// # Errors
    /// There is none, or one is not below `count`.
    pub fn resolve(&self, count: usize) -> Result<Vec<usize>, Error> {
        let given = match self {
            OutIndices::One(index) => std::slice::from_ref(index),
            OutIndices::Many(list) => list,
        };
        let resolve = |&index: &i64| {
            let from_front = if index < 0 { i64::try_from(count).ok()?.checked_add(index)? } else { index };
            usize::try_from(from_front).ok().filter(|&i| i < count)
        };
        match given.iter().map(resolve).collect::<Option<Vec<_>>>() {
            Some(indices) if !indices.is_empty() => Ok(indices),
            _ => Err(Error::new(format!(
                "out_indices={given:?} must be one or more from -{count} to {}",
                count.saturating_sub(1)
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_count_from_both_ends() {
        assert_eq!(OutIndices::One(-1).resolve(4).unwrap(), [3]);
        assert_eq!(OutIndices::Many(vec![0, -2]).resolve(4).unwrap(), [0, 2]);
        for bad in [OutIndices::One(4), OutIndices::One(-5), OutIndices::Many(vec![])] {
            assert!(bad.resolve(4).unwrap_err().to_string().contains("from -4 to 3"));
        }
    }
}

//! Ranges of indices with what belongs to each.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::{Error, Result};

/// A map from ranges of indices that do not overlap, in order of their starts (MMRazor's `IndexDict`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexDict<T> {
    /// By start: the end, and what belongs to the range.
    ranges: BTreeMap<usize, (usize, T)>,
}

impl<T> Default for IndexDict<T> {
    fn default() -> Self {
        Self { ranges: BTreeMap::new() }
    }
}

impl<T> IndexDict<T> {
    /// A map without ranges.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets what belongs to `range`; the one that it had, where this very range is known.
    ///
    /// # Errors
    /// The range is empty, or overlaps another one.
    pub fn insert(&mut self, range: Range<usize>, item: T) -> Result<Option<T>> {
        let Range { start, end } = range;
        if start >= end {
            return Err(Error::Range { range: start..end, message: "it is empty".into() });
        }
        let before = self.ranges.range(..end).next_back();
        if let Some((&other, &(last, _))) = before
            && last > start
            && (other, last) != (start, end)
        {
            return Err(Error::Range { range: start..end, message: format!("it overlaps {other}..{last}") });
        }
        Ok(self.ranges.insert(start, (end, item)).map(|(_, old)| old))
    }

    /// What belongs to exactly this range.
    pub fn get(&self, range: &Range<usize>) -> Option<&T> {
        self.ranges.get(&range.start).filter(|(end, _)| *end == range.end).map(|(_, item)| item)
    }

    /// The range with `index` in it.
    pub fn at(&self, index: usize) -> Option<(Range<usize>, &T)> {
        let (&start, (end, item)) = self.ranges.range(..=index).next_back()?;
        (index < *end).then_some((start..*end, item))
    }

    /// All ranges in order.
    pub fn iter(&self) -> impl Iterator<Item = (Range<usize>, &T)> {
        self.ranges.iter().map(|(&start, (end, item))| (start..*end, item))
    }

    /// Number of ranges.
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_in_order_and_do_not_overlap() {
        let mut dict = IndexDict::new();
        assert_eq!(dict.insert(4..8, "b").unwrap(), None);
        assert_eq!(dict.insert(0..4, "a").unwrap(), None);
        assert_eq!(dict.insert(4..8, "c").unwrap(), Some("b"));
        for wrong in [0..5, 3..4, 6..9, 1..2, 0..9, 7..8] {
            let error = dict.insert(wrong.clone(), "x").unwrap_err().to_string();
            assert!(error.contains("overlaps"), "{wrong:?}: {error}");
        }
        assert!(dict.insert(9..9, "x").is_err());
        assert_eq!(dict.insert(8..9, "d").unwrap(), None);
        let all: Vec<_> = dict.iter().map(|(r, x)| (r.start, r.end, *x)).collect();
        assert_eq!(all, [(0, 4, "a"), (4, 8, "c"), (8, 9, "d")]);
        assert_eq!(dict.get(&(4..8)), Some(&"c"));
        assert_eq!(dict.get(&(4..7)), None);
        assert_eq!(dict.at(7), Some((4..8, &"c")));
        assert_eq!(dict.at(9), None);
        assert_eq!((dict.len(), dict.is_empty()), (3, false));
    }
}

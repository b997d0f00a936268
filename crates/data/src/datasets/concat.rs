//! Data sets one after the other.

use rand_chacha::ChaCha8Rng;

use crate::{Dataset, Error, Result, Sample};

/// The samples of several data sets, one set after the other, each through its own pipeline (`ConcatDataset`).
///
/// The `sample_idx` of a sample is its position in the whole.
pub struct Concat {
    sets: Vec<Box<dyn Dataset>>,
    /// Length up to and with each set.
    ends: Vec<usize>,
}

impl Concat {
    /// # Errors
    /// There is no set, or two have different classes.
    pub fn new(sets: Vec<Box<dyn Dataset>>) -> Result<Self> {
        let wrong = |detail: String| Err(Error::argument("ConcatDataset", detail));
        let Some(first) = sets.first() else { return wrong("`datasets` is empty".to_owned()) };
        if let Some(at) = sets.iter().position(|set| set.classes() != first.classes()) {
            return wrong(format!(
                "data set {at} has other classes ({}) than the first ({}); name the same in `classes` of each",
                sets.get(at).map_or(0, |set| set.classes().len()),
                first.classes().len()
            ));
        }
        let ends = sets.iter().scan(0, |end, set| {
            *end += set.len();
            Some(*end)
        });
        Ok(Self { ends: ends.collect(), sets })
    }

    /// The set of a sample, and its position there.
    fn place(&self, index: usize) -> Result<(&dyn Dataset, usize)> {
        let at = self.ends.partition_point(|&end| end <= index);
        let set = self.sets.get(at).ok_or(Error::OutOfRange { index, len: self.len() })?;
        Ok((&**set, index + set.len() - self.ends.get(at).copied().unwrap_or_default()))
    }
}

impl Dataset for Concat {
    fn len(&self) -> usize {
        self.ends.last().copied().unwrap_or_default()
    }

    fn get(&self, index: usize) -> Result<Sample> {
        let (set, inner) = self.place(index)?;
        Ok(Sample { index, ..set.get(inner)? })
    }

    fn prepare(&self, index: usize, rng: &mut ChaCha8Rng) -> Result<Sample> {
        let (set, inner) = self.place(index)?;
        Ok(Sample { index, ..set.prepare(inner, rng)? })
    }

    fn labels(&self, index: usize) -> Result<Vec<i64>> {
        let (set, inner) = self.place(index)?;
        set.labels(inner)
    }

    fn classes(&self) -> &[String] {
        self.sets.first().map_or(&[], |set| set.classes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datasets::tests::numbered;

    #[test]
    fn sets_follow_each_other() {
        let set = Concat::new(vec![numbered(&[0, 1]), numbered(&[]), numbered(&[2, 0, 1])]).unwrap();
        assert_eq!(set.len(), 5);
        let labels: Vec<_> = (0..5).map(|index| set.get(index).unwrap().gt_label[0]).collect();
        assert_eq!(labels, [0, 1, 2, 0, 1]);
        assert_eq!((set.get(3).unwrap().index, set.labels(2).unwrap()), (3, vec![2]));
        assert!(set.get(5).is_err());
        assert!(Concat::new(vec![]).is_err());
    }
}

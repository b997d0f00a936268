//! Chosen samples of a data set: balanced classes, folds, a few by chance.

use rand_chacha::ChaCha8Rng;

use crate::streams::Draw;
use crate::{Dataset, Error, Result, Sample, Seed};

/// Some samples of another data set, in an order of their own, perhaps several times.
pub struct Selection {
    set: Box<dyn Dataset>,
    chosen: Vec<usize>,
}

impl Selection {
    /// `ClassBalancedDataset`: samples of rare classes come several times (Gupta et al., 2019, arXiv:1908.03195).
    ///
    /// With `f(c)` the share of samples that have class `c`, each sample comes
    /// `⌈max_c max(1, √(oversample_thr / f(c)))⌉` times, the maximum going over its classes.
    ///
    /// # Errors
    /// `oversample_thr` is no positive number, or labels cannot be had.
    pub fn class_balanced(set: Box<dyn Dataset>, oversample_thr: f64) -> Result<Self> {
        if !(oversample_thr.is_finite() && oversample_thr > 0.0) {
            let detail = format!("`oversample_thr` is {oversample_thr}, it must be above 0");
            return Err(Error::argument("ClassBalancedDataset", detail));
        }
        let mut labels = (0..set.len()).map(|index| set.labels(index)).collect::<Result<Vec<_>>>()?;
        let mut counts = std::collections::BTreeMap::new();
        for labels in &mut labels {
            labels.sort_unstable();
            labels.dedup();
            for &label in labels.iter() {
                *counts.entry(label).or_insert(0u64) += 1;
            }
        }
        let samples = set.len() as f64;
        let factor = |label: &i64| {
            let share = counts.get(label).map_or(1.0, |&count| count as f64 / samples);
            (oversample_thr / share).sqrt().max(1.0)
        };
        let mut chosen = vec![];
        for (index, labels) in labels.iter().enumerate() {
            let times = labels.iter().map(factor).fold(1.0, f64::max).ceil();
            chosen.extend(std::iter::repeat_n(index, times as usize));
        }
        Ok(Self { set, chosen })
    }

    /// `KFoldDataset`: part `fold` of `num_splits` equal parts where `test_mode`, else all the other parts. With a
    /// `seed`, samples are shuffled first.
    ///
    /// # Errors
    /// `num_splits` is 0 or `fold` not below it.
    pub fn fold(
        set: Box<dyn Dataset>,
        fold: usize,
        num_splits: usize,
        test_mode: bool,
        seed: Option<u64>,
    ) -> Result<Self> {
        let len = set.len();
        let bound = |at: usize| len.checked_mul(at).and_then(|product| product.checked_div(num_splits));
        let (Some(start), Some(end), true) = (bound(fold), bound(fold.saturating_add(1)), fold < num_splits)
        else {
            let detail = format!("`fold` is {fold} of `num_splits` {num_splits}; it must be below");
            return Err(Error::argument("KFoldDataset", detail));
        };
        let mut order: Vec<usize> = (0..len).collect();
        if let Some(seed) = seed {
            Seed(seed).stream("fold", &[]).shuffle(&mut order);
        }
        let held = order.drain(start..end).collect();
        Ok(Self { set, chosen: if test_mode { held } else { order } })
    }

    /// `count` samples drawn by `seed` without one coming twice, or all where there are fewer, in the order of the draw.
    pub fn random(set: Box<dyn Dataset>, count: usize, seed: Seed) -> Self {
        let mut chosen: Vec<usize> = (0..set.len()).collect();
        seed.stream("sample", &[]).shuffle(&mut chosen);
        chosen.truncate(count);
        Self { set, chosen }
    }

    fn inner(&self, index: usize) -> Result<usize> {
        self.chosen.get(index).copied().ok_or(Error::OutOfRange { index, len: self.chosen.len() })
    }
}

impl Dataset for Selection {
    fn len(&self) -> usize {
        self.chosen.len()
    }

    fn get(&self, index: usize) -> Result<Sample> {
        Ok(Sample { index, ..self.set.get(self.inner(index)?)? })
    }

    fn prepare(&self, index: usize, rng: &mut ChaCha8Rng) -> Result<Sample> {
        Ok(Sample { index, ..self.set.prepare(self.inner(index)?, rng)? })
    }

    fn labels(&self, index: usize) -> Result<Vec<i64>> {
        self.set.labels(self.inner(index)?)
    }

    fn classes(&self) -> &[String] {
        self.set.classes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datasets::tests::numbered;

    #[test]
    fn rare_classes_come_more_often() {
        // Shares 0.75 and 0.25: √(0.5 / 0.25) = 1.41, rounded up.
        let set = Selection::class_balanced(numbered(&[0, 0, 1, 0]), 0.5).unwrap();
        assert_eq!(set.chosen, [0, 1, 2, 2, 3]);
        assert_eq!(set.get(3).unwrap().index, 3);
        let all = Selection::class_balanced(numbered(&[0, 0, 1, 0]), 1e-3).unwrap();
        assert_eq!(all.chosen, [0, 1, 2, 3]);
        for thr in [0.0, -1.0, f64::NAN] {
            assert!(Selection::class_balanced(numbered(&[0]), thr).is_err());
        }
    }

    #[test]
    fn a_few_are_drawn_once_each() {
        let draw =
            |count, seed| Selection::random(numbered(&[0, 1, 0, 1, 0, 1, 0]), count, Seed(seed)).chosen;
        let few = draw(4, 1);
        assert_eq!((few.len(), &few), (4, &draw(7, 1)[..4].to_vec()));
        assert_ne!(few, draw(4, 2));
        let mut all = draw(9, 3);
        all.sort_unstable();
        assert_eq!(all, (0..7).collect::<Vec<_>>());
    }

    #[test]
    fn folds_share_the_samples() {
        let fold = |fold, test_mode, seed| {
            Selection::fold(numbered(&[0; 7]), fold, 3, test_mode, seed).unwrap().chosen
        };
        assert_eq!((fold(1, true, None), fold(1, false, None)), (vec![2, 3], vec![0, 1, 4, 5, 6]));
        let mut all: Vec<_> = (0..3).flat_map(|at| fold(at, true, Some(4))).collect();
        assert_ne!(all, (0..7).collect::<Vec<_>>());
        all.sort_unstable();
        assert_eq!(all, (0..7).collect::<Vec<_>>());
        assert!(Selection::fold(numbered(&[0]), 3, 3, true, None).is_err());
        assert!(Selection::fold(numbered(&[0]), 0, 0, true, None).is_err());
    }
}

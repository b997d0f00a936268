//! A data set several times over.

use rand_chacha::ChaCha8Rng;

use crate::{Dataset, Error, Result, Sample};

/// A data set `times` times over (`RepeatDataset`), so that an epoch is longer.
pub struct Repeat {
    set: Box<dyn Dataset>,
    times: usize,
}

impl Repeat {
    /// # Errors
    /// `times` is 0, or the whole has more samples than a number can count.
    pub fn new(set: Box<dyn Dataset>, times: usize) -> Result<Self> {
        if times == 0 || set.len().checked_mul(times).is_none() {
            let detail = format!("`times` of {times} makes no sense for {} samples", set.len());
            return Err(Error::argument("RepeatDataset", detail));
        }
        Ok(Self { set, times })
    }

    fn inner(&self, index: usize) -> Result<usize> {
        match index < self.len() {
            true => Ok(index % self.set.len()),
            false => Err(Error::OutOfRange { index, len: self.len() }),
        }
    }
}

impl Dataset for Repeat {
    fn len(&self) -> usize {
        self.set.len() * self.times
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
    fn repeats() {
        let set = Repeat::new(numbered(&[0, 1]), 3).unwrap();
        assert_eq!((set.len(), set.get(4).unwrap().index, set.labels(5).unwrap()), (6, 4, vec![1]));
        assert!(set.get(6).is_err());
        assert!(Repeat::new(numbered(&[0]), 0).is_err());
        assert!(Repeat::new(numbered(&[]), 2).unwrap().get(0).is_err());
    }
}

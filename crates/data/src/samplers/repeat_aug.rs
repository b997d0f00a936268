//! Samples several times over within an epoch.

use serde::Deserialize;

use super::{Sampler, pass};
use crate::Seed;

/// Each sample `num_repeats` times in a row, augmented anew each time, until the epoch has as many samples as the data set
/// (Berman et al., 2019, arXiv:1902.05509).
///
/// An epoch thus uses one of `num_repeats` samples; without `shuffle`, always the same ones.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RepeatAugSampler {
    /// Whether the order is random. True by default.
    pub shuffle: bool,
    /// How often each sample comes; 0 is as 1. 3 by default.
    pub num_repeats: usize,
    /// Seed of the order, in place of the run's.
    pub seed: Option<u64>,
}

impl Default for RepeatAugSampler {
    fn default() -> Self {
        Self { shuffle: true, num_repeats: 3, seed: None }
    }
}

impl Sampler for RepeatAugSampler {
    fn order(&self, len: usize, seed: Seed, epoch: u64) -> Vec<usize> {
        let order = pass(len, self.shuffle, self.seed.map_or(seed, Seed), epoch);
        let repeated =
            order.into_iter().flat_map(|index| std::iter::repeat_n(index, self.num_repeats.max(1)));
        repeated.take(len).collect()
    }
}

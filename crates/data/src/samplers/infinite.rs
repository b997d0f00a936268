//! Samples without end, for training counted in iterations.

use serde::Deserialize;

use super::{Sampler, pass};
use crate::Seed;

/// Pass after pass over the data set without end, each in a new random order or always in the data set's.
///
/// A pass is what a loader calls an epoch, and its batches end with it: with `drop_last=False` the last one of a pass
/// may be smaller, whereas MMEngine's batches go across passes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InfiniteSampler {
    /// Whether the order is random. True by default.
    pub shuffle: bool,
    /// Seed of the order, in place of the run's.
    pub seed: Option<u64>,
}

impl Default for InfiniteSampler {
    fn default() -> Self {
        Self { shuffle: true, seed: None }
    }
}

impl Sampler for InfiniteSampler {
    fn order(&self, len: usize, seed: Seed, epoch: u64) -> Vec<usize> {
        pass(len, self.shuffle, self.seed.map_or(seed, Seed), epoch)
    }
}

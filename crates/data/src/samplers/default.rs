//! Every sample once an epoch.

use serde::Deserialize;

use super::{Sampler, pass};
use crate::Seed;

/// Every sample once an epoch, in a new random order each, or always in the data set's.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DefaultSampler {
    /// Whether the order is random. True by default.
    pub shuffle: bool,
    /// Seed of the order, in place of the run's.
    pub seed: Option<u64>,
    /// Whether several processes get equally many samples by using some twice. True by default; one process gets
    /// every sample once either way.
    pub round_up: bool,
}

impl Default for DefaultSampler {
    fn default() -> Self {
        Self { shuffle: true, seed: None, round_up: true }
    }
}

impl Sampler for DefaultSampler {
    fn order(&self, len: usize, seed: Seed, epoch: u64) -> Vec<usize> {
        pass(len, self.shuffle, self.seed.map_or(seed, Seed), epoch)
    }
}

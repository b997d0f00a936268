//! Exponential decay.

use super::Rule;

/// The value is multiplied by `gamma` at every step but the first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Exponential {
    /// Factor.
    pub gamma: f64,
}

impl Rule for Exponential {
    fn next(&self, step: u64, value: f64, _: f64) -> f64 {
        if step == 0 { value } else { value * self.gamma }
    }
}

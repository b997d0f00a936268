//! Decay at equal distances.

use super::Rule;

/// The value is multiplied by `gamma` every `size` steps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// Steps between two decays; at least 1.
    pub size: u64,
    /// Factor.
    pub gamma: f64,
}

impl Rule for Step {
    fn next(&self, step: u64, value: f64, _: f64) -> f64 {
        if step == 0 || !step.is_multiple_of(self.size.max(1)) { value } else { value * self.gamma }
    }
}

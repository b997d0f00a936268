//! A constant factor for a while.

use super::Rule;

/// The value is multiplied by `factor` at the first step and divided by it at the last.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Constant {
    /// Factor; above 0.
    pub factor: f64,
    /// The last step.
    pub total: u64,
}

impl Rule for Constant {
    fn next(&self, step: u64, value: f64, _: f64) -> f64 {
        match step {
            0 => value * self.factor,
            t if t == self.total => value * (1.0 / self.factor),
            _ => value,
        }
    }
}

//! Linear warm-up or decay.

use super::Rule;

/// The factor on the value goes in a straight line from `start_factor` at the first step to `end_factor` after
/// `total` steps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Linear {
    /// Factor at the first step; above 0.
    pub start_factor: f64,
    /// Factor at the last.
    pub end_factor: f64,
    /// Steps between the two.
    pub total: u64,
}

impl Rule for Linear {
    fn next(&self, step: u64, value: f64, _: f64) -> f64 {
        if step == 0 {
            return value * self.start_factor;
        }
        let slope = self.end_factor - self.start_factor;
        let before = self.total as f64 * self.start_factor + (step - 1) as f64 * slope;
        value * (1.0 + slope / before)
    }
}

//! Decay at given steps.

use super::Rule;

/// The value is multiplied by `gamma` at every step of `milestones`, once for each time it is listed.
#[derive(Debug, Clone, PartialEq)]
pub struct MultiStep {
    /// Steps, counted from the schedule's begin.
    pub milestones: Vec<u64>,
    /// Factor.
    pub gamma: f64,
}

impl Rule for MultiStep {
    fn next(&self, step: u64, value: f64, _: f64) -> f64 {
        let times = self.milestones.iter().filter(|&&m| m == step).count();
        value * self.gamma.powi(i32::try_from(times).unwrap_or(i32::MAX))
    }
}

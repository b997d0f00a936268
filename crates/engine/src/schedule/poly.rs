//! Polynomial decay.

use super::{Floor, Rule};

/// `v(t) = (base − eta_min) · (1 − t / total)^power + eta_min`, computed from the step before so that it composes with
/// other schedules.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Poly {
    /// Lowest value.
    pub eta_min: Floor,
    /// Exponent.
    pub power: f64,
    /// Steps until the lowest value.
    pub total: u64,
}

impl Rule for Poly {
    fn next(&self, step: u64, value: f64, base: f64) -> f64 {
        if step == 0 {
            return value;
        }
        let left = self.total as f64 - step as f64 + 1.0;
        let eta_min = self.eta_min.of(base);
        (value - eta_min) * (1.0 - 1.0 / left).powf(self.power) + eta_min
    }
}

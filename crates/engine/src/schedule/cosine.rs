//! Cosine annealing.

use std::f64::consts::PI;

use super::{Floor, Rule};

/// From the configured value to the lowest along half a cosine of `t_max` steps, then back up:
/// `v(t) = eta_min + (base − eta_min) · (1 + cos(π t / t_max)) / 2` (Loshchilov and Hutter, 2017, arXiv:1608.03983),
/// computed from the step before so that it composes with other schedules.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CosineAnnealing {
    /// Steps of half a period; at least 1.
    pub t_max: u64,
    /// Lowest value.
    pub eta_min: Floor,
}

impl Rule for CosineAnnealing {
    fn next(&self, step: u64, value: f64, base: f64) -> f64 {
        let t_max = self.t_max.max(1);
        let eta_min = self.eta_min.of(base);
        match step {
            0 => value,
            // The step before was the lowest point, of which no multiple leads up again.
            t if (t - 1) % t_max.saturating_mul(2) == t_max => {
                value + (base - eta_min) * (1.0 - (PI / t_max as f64).cos()) / 2.0
            }
            t => half(t, t_max) / half(t - 1, t_max) * (value - eta_min) + eta_min,
        }
    }
}

/// `1 + cos(π t / t_max)`
pub(super) fn half(t: u64, t_max: u64) -> f64 {
    1.0 + (PI * t as f64 / t_max as f64).cos()
}

//! Cosine annealing with warm restarts.

use super::cosine::half;
use super::{Floor, Rule};

/// Cosine annealing over several periods (Loshchilov and Hutter, 2017, arXiv:1608.03983): each begins at the configured
/// value times its weight and falls towards the lowest. After the last period the value stays.
#[derive(Debug, Clone, PartialEq)]
pub struct CosineRestart {
    /// Steps of each period.
    pub periods: Vec<u64>,
    /// Weight of each period's begin.
    pub restart_weights: Vec<f64>,
    /// Lowest value.
    pub eta_min: Floor,
}

impl Rule for CosineRestart {
    fn next(&self, step: u64, value: f64, base: f64) -> f64 {
        let eta_min = self.eta_min.of(base);
        let mut begin = 0u64;
        for (&period, weight) in self.periods.iter().zip(&self.restart_weights) {
            let end = begin.saturating_add(period);
            if step < end {
                return match step - begin {
                    0 => base * weight,
                    t => half(t, period) / half(t - 1, period) * (value - eta_min) + eta_min,
                };
            }
            begin = end;
        }
        value
    }
}

//! Cosine annealing with warm restarts.

use occam_engine::schedule::{CosineRestart, Length, Schedule};

use super::{ParamScheduler, config, floor, need};
use crate::Result;
use crate::error::refuse;

config! {
    /// `CosineRestartLR`; see [`CosineRestart`].
    Config {
        /// Steps of each period; no default.
        periods: Option<Vec<u64>> = None,
        /// Weight of each period's begin.
        restart_weights: Vec<f64> = vec![1.0],
        /// Lowest value; this or `eta_min_ratio` must be given.
        eta_min: Option<f64> = None,
        /// Lowest value as a share of the configured one.
        eta_min_ratio: Option<f64> = None,
    }
}

impl ParamScheduler for Config {
    fn build(&self, length: Length) -> Result<Schedule> {
        let (span, factor) = self.window().resolve(length)?;
        let periods = need("periods", self.periods.as_ref())?;
        if periods.is_empty() || periods.contains(&0) {
            return refuse("`periods` must be at least 1 each");
        }
        if periods.len() != self.restart_weights.len() {
            return refuse(format!(
                "`periods` and `restart_weights` must be of one length, not {} and {}",
                periods.len(),
                self.restart_weights.len()
            ));
        }
        let rule = CosineRestart {
            periods: periods.iter().map(|p| p.saturating_mul(factor)).collect(),
            restart_weights: self.restart_weights.clone(),
            eta_min: floor(self.eta_min, self.eta_min_ratio, None)?,
        };
        Ok(Schedule::new(Box::new(rule), self.target(), span))
    }
}

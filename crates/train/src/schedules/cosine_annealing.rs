//! Cosine annealing.

use occam_engine::schedule::{CosineAnnealing, Length, Schedule};

use super::{ParamScheduler, config, floor};
use crate::Result;
use crate::error::refuse;

config! {
    /// `CosineAnnealingLR`; see [`CosineAnnealing`].
    Config {
        /// Steps of half a period; default `end − begin`.
        T_max: Option<u64> = None,
        /// Lowest value.
        eta_min: Option<f64> = None,
        /// Lowest value as a share of the configured one.
        eta_min_ratio: Option<f64> = None,
    }
}

impl ParamScheduler for Config {
    fn build(&self, length: Length) -> Result<Schedule> {
        let (span, factor) = self.window().resolve(length)?;
        let eta_min = floor(self.eta_min, self.eta_min_ratio, Some(0.0))?;
        let t_max = self.T_max.map_or(span.end - span.begin, |t| t.saturating_mul(factor));
        if t_max == 0 {
            return refuse("`T_max` must be at least 1");
        }
        Ok(Schedule::new(Box::new(CosineAnnealing { t_max, eta_min }), self.target(), span))
    }
}

//! Decay at equal distances.

use occam_engine::schedule::{Length, Schedule, Step};

use super::{ParamScheduler, config, need};
use crate::Result;
use crate::error::refuse;

config! {
    /// `StepLR`; see [`Step`].
    Config {
        /// Steps between two decays; no default.
        step_size: Option<u64> = None,
        /// Factor at each.
        gamma: f64 = 0.1,
    }
}

impl ParamScheduler for Config {
    fn build(&self, length: Length) -> Result<Schedule> {
        let (span, factor) = self.window().resolve(length)?;
        let size = need("step_size", self.step_size)?.saturating_mul(factor);
        if size == 0 {
            return refuse("`step_size` must be at least 1");
        }
        Ok(Schedule::new(Box::new(Step { size, gamma: self.gamma }), self.target(), span))
    }
}

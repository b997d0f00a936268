//! Exponential decay.

use occam_engine::schedule::{Exponential, Length, Schedule};

use super::{ParamScheduler, config, need};
use crate::Result;

config! {
    /// `ExponentialLR`; see [`Exponential`].
    Config {
        /// Factor at every step; no default.
        gamma: Option<f64> = None,
    }
}

impl ParamScheduler for Config {
    fn build(&self, length: Length) -> Result<Schedule> {
        let (span, _) = self.window().resolve(length)?;
        Ok(Schedule::new(Box::new(Exponential { gamma: need("gamma", self.gamma)? }), self.target(), span))
    }
}

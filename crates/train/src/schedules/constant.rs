//! A constant factor for a while.

use occam_engine::schedule::{Constant, Length, Schedule};

use super::{ParamScheduler, config};
use crate::Result;
use crate::error::refuse;

config! {
    /// `ConstantLR`; see [`Constant`].
    Config {
        /// Factor, in (0, 1].
        factor: f64 = 1.0 / 3.0,
    }
}

impl ParamScheduler for Config {
    fn build(&self, length: Length) -> Result<Schedule> {
        if !(self.factor > 0.0 && self.factor <= 1.0) {
            return refuse("`factor` must be in (0, 1]");
        }
        let (span, _) = self.window().resolve(length)?;
        let total = (span.end - span.begin).saturating_sub(1);
        Ok(Schedule::new(Box::new(Constant { factor: self.factor, total }), self.target(), span))
    }
}

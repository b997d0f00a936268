//! Linear warm-up or decay.

use occam_engine::schedule::{Length, Linear, Schedule};

use super::{ParamScheduler, config};
use crate::Result;
use crate::error::refuse;

config! {
    /// `LinearLR`; see [`Linear`].
    Config {
        /// Factor at the first step, in (0, 1]; the original takes 0 too, from which no factor leads away.
        start_factor: f64 = 1.0 / 3.0,
        /// Factor at the last.
        end_factor: f64 = 1.0,
    }
}

impl ParamScheduler for Config {
    fn build(&self, length: Length) -> Result<Schedule> {
        let valid =
            self.start_factor > 0.0 && self.start_factor <= 1.0 && (0.0..=1.0).contains(&self.end_factor);
        if !valid {
            return refuse("`start_factor` must be in (0, 1] and `end_factor` in [0, 1]");
        }
        let (span, _) = self.window().resolve(length)?;
        let rule = Linear {
            start_factor: self.start_factor,
            end_factor: self.end_factor,
            total: (span.end - span.begin).saturating_sub(1),
        };
        Ok(Schedule::new(Box::new(rule), self.target(), span))
    }
}

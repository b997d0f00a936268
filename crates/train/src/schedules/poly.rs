//! Polynomial decay.

use occam_engine::schedule::{Floor, Length, Poly, Schedule};

use super::{ParamScheduler, config};
use crate::Result;

config! {
    /// `PolyLR`; see [`Poly`].
    Config {
        /// Lowest value.
        eta_min: f64 = 0.0,
        /// Exponent.
        power: f64 = 1.0,
    }
}

impl ParamScheduler for Config {
    fn build(&self, length: Length) -> Result<Schedule> {
        let (span, _) = self.window().resolve(length)?;
        let total = (span.end - span.begin).saturating_sub(1);
        Ok(Schedule::new(
            Box::new(Poly { eta_min: Floor::Value(self.eta_min), power: self.power, total }),
            self.target(),
            span,
        ))
    }
}

//! Decay at given steps.

use occam_engine::schedule::{Length, MultiStep, Schedule};

use super::{ParamScheduler, config, need};
use crate::Result;

config! {
    /// `MultiStepLR`; see [`MultiStep`].
    Config {
        /// Steps, counted from `begin`; no default.
        milestones: Option<Vec<u64>> = None,
        /// Factor at each.
        gamma: f64 = 0.1,
    }
}

impl ParamScheduler for Config {
    fn build(&self, length: Length) -> Result<Schedule> {
        let (span, factor) = self.window().resolve(length)?;
        let milestones = need("milestones", self.milestones.as_ref())?;
        let milestones = milestones.iter().map(|m| m.saturating_mul(factor)).collect();
        Ok(Schedule::new(Box::new(MultiStep { milestones, gamma: self.gamma }), self.target(), span))
    }
}

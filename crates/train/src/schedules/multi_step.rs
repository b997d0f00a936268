//! Decay at given steps.

use occam_engine::schedule::{Length, MultiStep, Schedule};

use super::{ParamScheduler, config};
use crate::Result;

config! {
    /// `MultiStepLR`; see [`MultiStep`].
    Config {
        /// Steps, counted from `begin`.
        milestones: Vec<u64> = Vec::new(),
        /// Factor at each.
        gamma: f64 = 0.1,
    }
}

impl ParamScheduler for Config {
    fn build(&self, length: Length, base: f64) -> Result<Schedule> {
        let (span, factor) = self.window().resolve(length)?;
        let milestones = self.milestones.iter().map(|m| m.saturating_mul(factor)).collect();
        Ok(Schedule::new(Box::new(MultiStep { milestones, gamma: self.gamma }), span, base))
    }
}

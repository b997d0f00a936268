//! The one-cycle policy.

use occam_engine::schedule::{Anneal, Length, OneCycle, Schedule, Target};

use super::{ParamScheduler, config, need};
use crate::Result;
use crate::error::refuse;

config! {
    /// `OneCycleLR`; see [`OneCycle`].
    ///
    /// As in the original, schedules listed after it take its first value for the configured one, and it sets the same
    /// rate for all parameters, whatever `paramwise_cfg` says.
    Config {
        /// Highest rate; no default (the original's, 0, learns nothing).
        eta_max: Option<f64> = None,
        /// Steps of the cycle; default `end − begin`.
        total_steps: Option<u64> = None,
        /// Share of the steps that lead up.
        pct_start: f64 = 0.3,
        /// `cos` or `linear`.
        anneal_strategy: Anneal = Anneal::Cos,
        /// Highest rate over the first.
        div_factor: f64 = 25.0,
        /// First rate over the last.
        final_div_factor: f64 = 1e4,
        /// Whether the way down stops at the first rate for a phase of its own.
        three_phase: bool = false,
    }
}

impl ParamScheduler for Config {
    fn build(&self, length: Length) -> Result<Schedule> {
        if self.target() != Target::Lr {
            return refuse("one cycle is for the learning rate alone");
        }
        if !(0.0..=1.0).contains(&self.pct_start) || (self.three_phase && self.pct_start > 0.5) {
            return refuse("`pct_start` must be in [0, 1], with three phases in [0, 0.5]");
        }
        if self.div_factor.is_nan() || self.div_factor <= 0.0 {
            return refuse("`div_factor` must be above 0");
        }
        if self.final_div_factor.is_nan() || self.final_div_factor <= 0.0 {
            return refuse("`final_div_factor` must be above 0");
        }
        let (span, factor) = self.window().resolve(length)?;
        let steps = span.end - span.begin;
        let total = self.total_steps.map_or(steps, |t| t.saturating_mul(factor));
        if total == 0 || total < steps {
            return refuse(format!("`total_steps` is {total}, but the schedule runs over {steps} steps"));
        }
        let rule = OneCycle {
            eta_max: need("eta_max", self.eta_max)?,
            total,
            pct_start: self.pct_start,
            anneal: self.anneal_strategy,
            div_factor: self.div_factor,
            final_div_factor: self.final_div_factor,
            three_phase: self.three_phase,
        };
        Ok(Schedule::new(Box::new(rule), self.target(), span))
    }
}

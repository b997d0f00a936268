//! Decay when a figure of the validation stops improving.

use occam_engine::schedule::{Improvement, Length, Plateau, Schedule};
use serde::Deserialize;

use super::{ParamScheduler, config};
use crate::Result;
use crate::error::refuse;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Better {
    Less,
    Greater,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Threshold {
    Rel,
    Abs,
}

config! {
    /// `ReduceOnPlateauLR`; see [`Plateau`]. Its steps are epochs, of which those with a validation count.
    Config {
        /// The figure.
        monitor: String = "loss".to_owned(),
        /// Whether `less` or `greater` is better.
        rule: Better = Better::Less,
        /// Factor of a decay, below 1.
        factor: f64 = 0.1,
        /// Validations without an improvement that are borne.
        patience: u64 = 10,
        /// How much better counts as better.
        threshold: f64 = 1e-4,
        /// Whether `threshold` is a share of the best (`rel`) or a number (`abs`).
        threshold_rule: Threshold = Threshold::Rel,
        /// Validations after a decay that do not count.
        cooldown: u64 = 0,
        /// Lowest value.
        min_value: f64 = 0.0,
        /// A decay by no more than this is left out.
        eps: f64 = 1e-8,
    }
}

impl ParamScheduler for Config {
    fn build(&self, length: Length) -> Result<Schedule> {
        if !self.by_epoch || self.convert_to_iter_based {
            return refuse("a schedule by a figure of the validation counts epochs: `by_epoch=True`");
        }
        if !(self.factor >= 0.0 && self.factor < 1.0) {
            return refuse("`factor` must be at least 0 and below 1");
        }
        if self.threshold.is_nan() || self.threshold < 0.0 {
            return refuse("`threshold` must be at least 0");
        }
        let (span, _) = self.window().resolve(length)?;
        let plateau = Plateau {
            monitor: self.monitor.clone(),
            improvement: Improvement {
                greater: self.rule == Better::Greater,
                threshold: self.threshold,
                relative: self.threshold_rule == Threshold::Rel,
            },
            factor: self.factor,
            patience: self.patience,
            cooldown: self.cooldown,
            min_value: self.min_value,
            eps: self.eps,
        };
        Ok(Schedule::by_figure(plateau, self.target(), span))
    }
}

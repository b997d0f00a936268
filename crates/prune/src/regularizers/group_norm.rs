//! Group lasso whose strength grows as importance falls (Fang et al., DepGraph, 2023, arXiv:2301.12900).

use occam_config::{Error as ConfigError, Registry, Value};
use serde::Deserialize;

use super::{Moment, Penalty, Regularizer, on_weights};
use crate::importance::Subject;
use crate::{Importance, Result};

/// `GroupNormRegularizer(reg=1e-4, alpha=4)`: all weights that a channel is on shrink together, those of unimportant channels
/// faster.
///
/// `½ · reg · Σ_k γ_k ‖w_k‖²` with `γ_k = 2^(alpha · (I_max − I_k) / (I_max − I_min))`, where `w_k` are the weights that compute,
/// scale or read channel `k` of a unit, and `I_k` is the square root of its `group-l2` importance; the largest and the
/// smallest are those of the unit. `reg · γ_k · w_k` is added to the gradients; no gradient flows to `γ`. Biases are left
/// alone.
///
/// Where all channels of a unit matter the same, `γ` is 1; Torch-Pruning divides by 0 there.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GroupNormRegularizer {
    /// Strength; above 0.
    pub reg: f32,
    /// The least important channel of a unit shrinks `2^alpha` times as fast as the most important one.
    pub alpha: f64,
}

impl Default for GroupNormRegularizer {
    fn default() -> Self {
        Self { reg: 1e-4, alpha: 4.0 }
    }
}

pub(super) fn build(value: &Value, _: &Registry) -> Result<Box<dyn Regularizer>, ConfigError> {
    let own: GroupNormRegularizer = value.parse()?;
    crate::keys::positive(value, "reg", f64::from(own.reg))?;
    if !(0.0..=64.0).contains(&own.alpha) {
        let error = ConfigError::new("`alpha` must be from 0 to 64");
        return Err(error.at(value.get("alpha").unwrap_or(value)));
    }
    Ok(Box::new(own))
}

impl Regularizer for GroupNormRegularizer {
    fn name(&self) -> &'static str {
        "GroupNormRegularizer"
    }

    fn penalties(&mut self, subject: &Subject<'_>, _: &Moment<'_>) -> Result<Vec<Penalty>> {
        let scores = Importance::find("group-l2").map(|i| i.score(subject)).transpose()?.unwrap_or_default();
        let factors: Vec<Vec<f32>> = scores
            .iter()
            .map(|unit| {
                let norms: Vec<f64> = unit.iter().map(|s| s.sqrt()).collect();
                let unimportance = unimportance(&norms, 0.0);
                unimportance.iter().map(|u| self.reg * (self.alpha * u).exp2() as f32).collect()
            })
            .collect();
        on_weights(subject, |unit, c| factors.get(unit).and_then(|f| f.get(c)).copied().unwrap_or(0.0))
    }
}

/// `(max − s_k) / (max − min + eps)`: 0 for the largest of `scores`, 1 for the smallest; 0 where all are equal.
pub(super) fn unimportance(scores: &[f64], eps: f64) -> Vec<f64> {
    let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let min = scores.iter().copied().fold(f64::INFINITY, f64::min);
    let range = max - min + eps;
    scores.iter().map(|s| if range > 0.0 { (max - s) / range } else { 0.0 }).collect()
}

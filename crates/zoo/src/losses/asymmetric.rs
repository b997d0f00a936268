//! Asymmetric loss.

use occam_config::{Registry, Value};
use occam_engine::Tensor;
use serde::Deserialize;

use super::target::{complement, power, soft};
use super::{ClsLoss, Reduction};
use crate::Result;

/// A loss of each class by itself that counts the many classes an image lacks less than the few it has (Ridnik et al.,
/// 2021, arXiv:2009.14119): `−log(max(q, ε)) · (1 − q)^(γ₊ · y + γ₋ · (1 − y))` with
/// `q = p · y + min(1 − p + clip, 1) · (1 − y)`, how near the score is to the label, and `p = σ(s)`, or `softmax(s)`.
///
/// A mean divides by the number of elements, or by `avg_factor`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AsymmetricLoss {
    /// `γ₊`: how much less what is easy counts among the classes that an image has.
    pub gamma_pos: f64,
    /// `γ₋`: the same among those that it lacks.
    pub gamma_neg: f64,
    /// Probabilities this small count as 0 where an image lacks the class; None for 0.
    pub clip: Option<f64>,
    /// How the batch is reduced.
    pub reduction: Reduction,
    /// Factor on the result.
    pub loss_weight: f64,
    /// Probabilities by sigmoid, or by softmax.
    pub use_sigmoid: bool,
    /// `ε`
    pub eps: f64,
}

impl Default for AsymmetricLoss {
    fn default() -> Self {
        Self {
            gamma_pos: 0.0,
            gamma_neg: 4.0,
            clip: Some(0.05),
            reduction: Reduction::Mean,
            loss_weight: 1.0,
            use_sigmoid: true,
            eps: 1e-8,
        }
    }
}

pub(super) fn build(value: &Value, _: &Registry) -> Result<Box<dyn ClsLoss>, occam_config::Error> {
    let loss: AsymmetricLoss = value.parse()?;
    let least = loss.gamma_pos.min(loss.gamma_neg);
    if least.is_nan() || least < 0.0 || loss.eps.is_nan() || loss.eps <= 0.0 {
        let message = "AsymmetricLoss: gamma_pos and gamma_neg must be at least 0 and eps above 0";
        return Err(occam_config::Error::new(message));
    }
    Ok(Box::new(loss))
}

impl ClsLoss for AsymmetricLoss {
    fn forward(&self, cls_score: &Tensor, label: &Tensor, avg_factor: Option<f64>) -> Result<Tensor> {
        let target = soft(cls_score, label)?;
        let rest = complement(&target)?;
        let probability =
            if self.use_sigmoid { cls_score.log_sigmoid()?.exp()? } else { cls_score.softmax(1)? };
        let mut absent = complement(&probability)?;
        if let Some(clip) = self.clip.filter(|&clip| clip > 0.0) {
            // min(a + clip, 1) = 1 − max(1 − a − clip, 0)
            absent = complement(&probability.shift(-clip)?.relu()?)?;
        }
        let near = absent.mul(&rest)?.add(&probability.mul(&target)?)?;
        let exponent = target.scale(self.gamma_pos)?.add(&rest.scale(self.gamma_neg)?)?;
        let weight = power(&complement(&near)?, &exponent)?;
        let logarithm = near.shift(-self.eps)?.relu()?.shift(self.eps)?.log()?;
        let loss = logarithm.mul(&weight)?.scale(-1.0)?;
        self.reduction.apply(&loss, avg_factor, self.loss_weight)
    }
}

//! Focal loss.

use occam_config::{Registry, Value};
use occam_engine::Tensor;
use serde::Deserialize;

use super::target::{complement, power, soft};
use super::{ClsLoss, Reduction};
use crate::Result;

/// Binary cross entropy of each class in which what is easy counts less (Lin et al., 2017, arXiv:1708.02002):
/// `(α · y + (1 − α)(1 − y)) · qᵞ · −(y · log σ(s) + (1 − y) · log(1 − σ(s)))` with
/// `q = (1 − σ(s)) · y + σ(s) · (1 − y)`, how far the score is from the label.
///
/// A mean divides by the number of elements, or by `avg_factor`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FocalLoss {
    /// How much less what is easy counts.
    pub gamma: f64,
    /// Share of the classes that an image has.
    pub alpha: f64,
    /// How the batch is reduced.
    pub reduction: Reduction,
    /// Factor on the result.
    pub loss_weight: f64,
}

impl Default for FocalLoss {
    fn default() -> Self {
        Self { gamma: 2.0, alpha: 0.25, reduction: Reduction::Mean, loss_weight: 1.0 }
    }
}

pub(super) fn build(value: &Value, _: &Registry) -> Result<Box<dyn ClsLoss>, occam_config::Error> {
    let loss: FocalLoss = value.parse()?;
    if loss.gamma.is_nan() || loss.gamma < 0.0 {
        return Err(occam_config::Error::new(format!("FocalLoss: gamma={} must be at least 0", loss.gamma)));
    }
    Ok(Box::new(loss))
}

impl ClsLoss for FocalLoss {
    fn forward(&self, cls_score: &Tensor, label: &Tensor, avg_factor: Option<f64>) -> Result<Tensor> {
        let target = soft(cls_score, label)?;
        let rest = complement(&target)?;
        let (is, is_not) = (cls_score.log_sigmoid()?, cls_score.scale(-1.0)?.log_sigmoid()?);
        let far = is_not.exp()?.mul(&target)?.add(&is.exp()?.mul(&rest)?)?;
        let gamma = Tensor::full(&[1, 1], self.gamma as f32, &cls_score.device());
        let balance = target.scale(self.alpha)?.add(&rest.scale(1.0 - self.alpha)?)?;
        let entropy = is.mul(&target)?.add(&is_not.mul(&rest)?)?.scale(-1.0)?;
        let loss = entropy.mul(&balance)?.mul(&power(&far, &gamma)?)?;
        self.reduction.apply(&loss, avg_factor, self.loss_weight)
    }
}

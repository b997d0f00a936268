//! Cross entropy.

use occam_config::{Registry, Value};
use occam_engine::Tensor;
use serde::Deserialize;

use super::ClsLoss;
use crate::error::refuse;
use crate::{Error, Result};

/// How the losses of single samples become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reduction {
    /// They do not.
    None,
    /// Their mean.
    #[default]
    Mean,
    /// Their sum.
    Sum,
}

/// `loss_weight · mean_b(−class_weight[y_b] · log softmax(s_b)[y_b])`.
///
/// A mean divides by the batch size, or by `avg_factor`, also where `class_weight` is given (`torch` divides by the
/// sum of weights there; mmcls and this do not).
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CrossEntropyLoss {
    /// Binary cross entropy by class; only false so far.
    pub use_sigmoid: bool,
    /// Targets as scores instead of indices; only false so far.
    pub use_soft: bool,
    /// How the batch is reduced.
    pub reduction: Reduction,
    /// Factor on the result.
    pub loss_weight: f64,
    /// Factor by class.
    pub class_weight: Option<Vec<f32>>,
    /// Only for `use_sigmoid`.
    pub pos_weight: Option<Value>,
}

impl Default for CrossEntropyLoss {
    fn default() -> Self {
        Self {
            use_sigmoid: false,
            use_soft: false,
            reduction: Reduction::Mean,
            loss_weight: 1.0,
            class_weight: None,
            pos_weight: None,
        }
    }
}

pub(super) fn build(value: &Value, _: &Registry) -> Result<Box<dyn ClsLoss>, occam_config::Error> {
    let loss: CrossEntropyLoss = value.parse()?;
    if loss.use_sigmoid || loss.use_soft || loss.pos_weight.is_some() {
        return Err(occam_config::Error::new(
            "CrossEntropyLoss: `use_sigmoid`, `use_soft` and `pos_weight` are not supported",
        ));
    }
    Ok(Box::new(loss))
}

impl ClsLoss for CrossEntropyLoss {
    fn forward(&self, cls_score: &Tensor, label: &Tensor, avg_factor: Option<f64>) -> Result<Tensor> {
        let (batch, classes) = match cls_score.shape().as_slice() {
            [b, c] => (*b, *c),
            _ => return refuse(format!("scores of shape [B, C] wanted, found {cls_score:?}")),
        };
        if label.shape() != [batch] {
            return Err(Error::Sample(format!("labels {label:?} do not fit scores {cls_score:?}")));
        }
        let mut loss = cls_score.cross_entropy(label)?;
        if let Some(weights) = &self.class_weight {
            if weights.len() != classes {
                return refuse(format!("class_weight has {} entries for {classes} classes", weights.len()));
            }
            let table = Tensor::from_f32(&[classes], weights.clone(), &cls_score.device())?;
            loss = loss.mul(&table.gather(0, label)?)?;
        }
        let loss = match (self.reduction, avg_factor) {
            (Reduction::None, _) => loss,
            (Reduction::Sum, None) => loss.sum()?,
            (Reduction::Sum, Some(_)) => return refuse("`avg_factor` has no meaning for a sum"),
            (Reduction::Mean, factor) => loss.sum()?.scale(1.0 / factor.unwrap_or(batch as f64))?,
        };
        Ok(loss.scale(self.loss_weight)?)
    }
}

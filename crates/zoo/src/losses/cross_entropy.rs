//! Cross entropy.

use occam_config::{Registry, Value};
use occam_engine::Tensor;
use serde::Deserialize;

use super::target::{complement, is_soft, sizes, soft};
use super::{ClsLoss, Reduction};
use crate::error::refuse;
use crate::{Error, Result};

/// Cross entropy of scores `s` with labels `y`.
///
/// | | loss of a sample |
/// |---|---|
/// | class indices | `−class_weight[y] · log softmax(s)[y]` |
/// | weights of the classes | `−Σ_c class_weight[c] · y_c · log softmax(s)_c` |
/// | `use_sigmoid` | of each class: `−class_weight · (pos_weight · y · log σ(s) + (1 − y) · log(1 − σ(s)))` |
///
/// A mean divides by the batch size, with `use_sigmoid` by the number of elements, or by `avg_factor`, also where
/// `class_weight` is given (`torch` divides by the sum of weights there; mmcls and this do not). Where the original has
/// no meaning for class indices, with `use_soft` and `use_sigmoid`, they are one-hot weights here.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CrossEntropyLoss {
    /// Binary cross entropy of each class by itself.
    pub use_sigmoid: bool,
    /// Labels are weights of the classes.
    pub use_soft: bool,
    /// How the batch is reduced.
    pub reduction: Reduction,
    /// Factor on the result.
    pub loss_weight: f64,
    /// Factor by class.
    pub class_weight: Option<Vec<f32>>,
    /// Factor by class on what an image has; without effect unless `use_sigmoid`.
    pub pos_weight: Option<Vec<f32>>,
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
    if loss.use_sigmoid && loss.use_soft {
        return Err(occam_config::Error::new(
            "CrossEntropyLoss: `use_sigmoid` and `use_soft` exclude each other",
        ));
    }
    Ok(Box::new(loss))
}

/// A factor by class, as `[1, C]`.
fn by_class(name: &str, weights: &[f32], cls_score: &Tensor, classes: usize) -> Result<Tensor> {
    if weights.len() != classes {
        return refuse(format!("{name} has {} entries for {classes} classes", weights.len()));
    }
    Ok(Tensor::from_f32(&[1, classes], weights.to_vec(), &cls_score.device())?)
}

impl CrossEntropyLoss {
    /// The loss of each sample, `[B]`, against class indices.
    fn hard(&self, cls_score: &Tensor, label: &Tensor) -> Result<Tensor> {
        let [batch, classes] = sizes(cls_score)?;
        if label.shape() != [batch] {
            return Err(Error::Sample(format!("labels {label:?} do not fit scores {cls_score:?}")));
        }
        let loss = cls_score.cross_entropy(label)?;
        let Some(weights) = &self.class_weight else { return Ok(loss) };
        let table = by_class("class_weight", weights, cls_score, classes)?.reshape(&[classes])?;
        Ok(loss.mul(&table.gather(0, label)?)?)
    }

    /// The loss of each sample, `[B]`, against weights of the classes.
    fn soft(&self, cls_score: &Tensor, label: &Tensor) -> Result<Tensor> {
        let [batch, classes] = sizes(cls_score)?;
        let mut target = soft(cls_score, label)?;
        if let Some(weights) = &self.class_weight {
            target = target.mul(&by_class("class_weight", weights, cls_score, classes)?)?;
        }
        let loss = cls_score.log_softmax(1)?.mul(&target)?.sum_axis(1)?;
        Ok(loss.reshape(&[batch])?.scale(-1.0)?)
    }

    /// The loss of each class of each sample, `[B, C]`.
    fn binary(&self, cls_score: &Tensor, label: &Tensor) -> Result<Tensor> {
        let [_, classes] = sizes(cls_score)?;
        let target = soft(cls_score, label)?;
        let mut present = target.clone();
        if let Some(weights) = &self.pos_weight {
            present = present.mul(&by_class("pos_weight", weights, cls_score, classes)?)?;
        }
        let is = cls_score.log_sigmoid()?.mul(&present)?;
        let is_not = cls_score.scale(-1.0)?.log_sigmoid()?.mul(&complement(&target)?)?;
        let mut loss = is.add(&is_not)?.scale(-1.0)?;
        if let Some(weights) = &self.class_weight {
            loss = loss.mul(&by_class("class_weight", weights, cls_score, classes)?)?;
        }
        Ok(loss)
    }
}

impl ClsLoss for CrossEntropyLoss {
    fn forward(&self, cls_score: &Tensor, label: &Tensor, avg_factor: Option<f64>) -> Result<Tensor> {
        let loss = if self.use_sigmoid {
            self.binary(cls_score, label)?
        } else if self.use_soft || is_soft(label)? {
            self.soft(cls_score, label)?
        } else {
            self.hard(cls_score, label)?
        };
        self.reduction.apply(&loss, avg_factor, self.loss_weight)
    }
}

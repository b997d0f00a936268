//! Cross entropy with softened labels.

use occam_config::{Registry, Value};
use occam_engine::Tensor;
use serde::Deserialize;

use super::target::{sizes, soft};
use super::{ClsLoss, CrossEntropyLoss, Reduction};
use crate::error::refuse;
use crate::{Error, Result};

/// How labels are softened, with `ε` for `label_smooth_val` and `C` for the number of classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SmoothMode {
    /// `(1 − ε) · y + ε / C` (Szegedy et al., 2016, arXiv:1512.00567).
    #[default]
    Original,
    /// `(y + ε / C) / (1 + ε)`, as ClassyVision.
    ClassyVision,
    /// `1 − ε` where `y` is above 0, else `ε`: for images of several classes.
    MultiLabel,
}

/// Cross entropy with softened labels; see [`SmoothMode`].
///
/// In the original `reduction` has no effect and is always `mean`; here it has.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelSmoothLoss {
    /// Degree of softening, at least 0 and below 1.
    pub label_smooth_val: f64,
    /// Number of classes; that of the scores by default, and otherwise it must be that.
    #[serde(default)]
    pub num_classes: Option<usize>,
    /// Binary cross entropy of each class by itself; by default in the mode `multi_label` alone.
    #[serde(default)]
    pub use_sigmoid: Option<bool>,
    /// How labels are softened.
    #[serde(default)]
    pub mode: SmoothMode,
    /// How the batch is reduced.
    #[serde(default)]
    pub reduction: Reduction,
    /// Factor on the result.
    #[serde(default = "one")]
    pub loss_weight: f64,
}

fn one() -> f64 {
    1.0
}

pub(super) fn build(value: &Value, _: &Registry) -> Result<Box<dyn ClsLoss>, occam_config::Error> {
    let loss: LabelSmoothLoss = value.parse()?;
    if !(0.0..1.0).contains(&loss.label_smooth_val) {
        let message = format!("label_smooth_val={} must be at least 0 and below 1", loss.label_smooth_val);
        return Err(occam_config::Error::new(message));
    }
    Ok(Box::new(loss))
}

impl LabelSmoothLoss {
    fn smoothed(&self, target: &Tensor, classes: usize) -> Result<Tensor> {
        let epsilon = match self.mode {
            SmoothMode::ClassyVision => self.label_smooth_val / (1.0 + self.label_smooth_val),
            _ => self.label_smooth_val,
        };
        if self.mode != SmoothMode::MultiLabel {
            return Ok(target.scale(1.0 - epsilon)?.shift(epsilon / classes.max(1) as f64)?);
        }
        let soften = |y: f32| if y > 0.0 { 1.0 - epsilon as f32 } else { epsilon as f32 };
        let softened = target.to_f32()?.into_iter().map(soften).collect();
        Ok(Tensor::from_f32(&target.shape(), softened, &target.device())?)
    }
}

impl ClsLoss for LabelSmoothLoss {
    fn forward(&self, cls_score: &Tensor, label: &Tensor, avg_factor: Option<f64>) -> Result<Tensor> {
        let [_, classes] = sizes(cls_score)?;
        if self.num_classes.is_some_and(|n| n != classes) {
            return refuse(format!(
                "LabelSmoothLoss: num_classes={} but there are {classes} scores",
                self.num_classes.unwrap_or_default()
            ));
        }
        if classes == 0 {
            return Err(Error::Sample("scores of no class".into()));
        }
        let use_sigmoid = self.use_sigmoid.unwrap_or(self.mode == SmoothMode::MultiLabel);
        let inner = CrossEntropyLoss {
            use_sigmoid,
            use_soft: !use_sigmoid,
            reduction: self.reduction,
            loss_weight: self.loss_weight,
            ..CrossEntropyLoss::default()
        };
        let target = self.smoothed(&soft(cls_score, label)?, classes)?;
        inner.forward(cls_score, &target, avg_factor)
    }
}

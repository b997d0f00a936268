//! Losses between outputs and labels. One a file.

mod cross_entropy;

pub use cross_entropy::CrossEntropyLoss;

use occam_config::{Build, Registry};
use occam_engine::Tensor;

use crate::Result;

/// A loss of class scores against labels.
pub trait ClsLoss: Send + Sync {
    /// The loss of `[B, C]` scores against `[B]` class indices.
    ///
    /// `avg_factor` replaces the batch size as divisor of a mean.
    ///
    /// # Errors
    /// The shapes do not fit, or a label is outside the classes.
    fn forward(&self, cls_score: &Tensor, label: &Tensor, avg_factor: Option<f64>) -> Result<Tensor>;
}

const TABLE: &[(&str, Build<dyn ClsLoss>)] = &[("CrossEntropyLoss", cross_entropy::build)];

pub(crate) fn register(registry: &mut Registry) {
    registry.register_all::<dyn ClsLoss>("classification loss", TABLE);
}

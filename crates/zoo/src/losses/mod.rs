//! Losses between outputs and labels. One a file.

mod asymmetric;
mod cross_entropy;
mod focal;
mod label_smooth;
mod reduction;
mod target;

pub use asymmetric::AsymmetricLoss;
pub use cross_entropy::CrossEntropyLoss;
pub use focal::FocalLoss;
pub use label_smooth::{LabelSmoothLoss, SmoothMode};
pub use reduction::Reduction;

use occam_config::{Build, Registry};
use occam_engine::Tensor;

use crate::Result;

/// A loss of class scores against labels.
pub trait ClsLoss: Send + Sync {
    /// The loss of `[B, C]` scores against labels: `[B]` class indices, or `[B, C]` weights of the classes, as mixed
    /// images and images of several classes have them. Losses of such weights take indices as one-hot weights.
    ///
    /// `avg_factor` replaces the number of elements as divisor of a mean.
    ///
    /// # Errors
    /// The shapes do not fit, or a label is outside the classes.
    fn forward(&self, cls_score: &Tensor, label: &Tensor, avg_factor: Option<f64>) -> Result<Tensor>;
}

const TABLE: &[(&str, Build<dyn ClsLoss>)] = &[
    ("AsymmetricLoss", asymmetric::build),
    ("CrossEntropyLoss", cross_entropy::build),
    ("FocalLoss", focal::build),
    ("LabelSmoothLoss", label_smooth::build),
];

pub(crate) fn register(registry: &mut Registry) {
    registry.register_all::<dyn ClsLoss>("classification loss", TABLE);
}

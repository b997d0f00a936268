//! Necks: between backbone and head. One a file.

mod gap;
mod gem;
mod linear_reduction;

pub use gap::GlobalAveragePooling;
pub use gem::GeneralizedMeanPooling;
pub use linear_reduction::LinearReduction;

use occam_config::{Build, Registry};
use occam_graph::ValueId;

use crate::{Net, Result};

/// A part that refines features.
pub trait Neck: Send + Sync {
    /// Adds its layers to the open module.
    ///
    /// # Errors
    /// The features do not fit.
    fn build(&self, net: &mut Net, features: &[ValueId]) -> Result<Vec<ValueId>>;
}

const TABLE: &[(&str, Build<dyn Neck>)] = &[
    ("GeneralizedMeanPooling", gem::build),
    ("GlobalAveragePooling", gap::build),
    ("LinearReduction", linear_reduction::build),
];

pub(crate) fn register(registry: &mut Registry) {
    registry.register_all::<dyn Neck>("neck", TABLE);
}

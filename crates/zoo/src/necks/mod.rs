//! Necks: between backbone and head. One a file.

mod gap;

pub use gap::GlobalAveragePooling;

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

const TABLE: &[(&str, Build<dyn Neck>)] = &[("GlobalAveragePooling", gap::build)];

pub(crate) fn register(registry: &mut Registry) {
    registry.register_all::<dyn Neck>("neck", TABLE);
}

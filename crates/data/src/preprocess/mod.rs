//! From samples to the batch that a model gets.

mod cls;

use occam_config::{Build, Registry};
use serde::Deserialize;

pub use cls::ClsDataPreprocessor;

use crate::{Batch, Result, Sample};

/// What happens to images of different sizes in one batch (the loader's `collate_fn`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum Collate {
    /// They are padded at the right and bottom to the largest height and width.
    #[default]
    #[serde(rename = "pseudo_collate")]
    Pseudo,
    /// They are an error.
    #[serde(rename = "default_collate")]
    Default,
}

/// Makes a batch of samples; runs in the loader's workers.
pub trait DataPreprocessor: Send + Sync {
    /// Stacks, normalizes and pads the images.
    ///
    /// # Errors
    /// There are no samples, or they fit neither each other nor the preprocessor.
    fn process(&self, samples: &[Sample], collate: Collate) -> Result<Batch>;
}

pub(crate) fn register(registry: &mut Registry) {
    let table: [(&str, Build<dyn DataPreprocessor>); 1] = [("ClsDataPreprocessor", |value, _| {
        let preprocessor: ClsDataPreprocessor = value.parse()?;
        preprocessor.check()?;
        Ok(Box::new(preprocessor))
    })];
    registry.register_all("data preprocessor", &table);
}

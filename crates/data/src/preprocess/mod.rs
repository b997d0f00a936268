//! From samples to the batch that a model gets.

mod batch_augments;
mod cls;
mod img;

use occam_config::{Build, Registry};
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

pub use batch_augments::{BatchAugment, CutMix, Mixture, Mixup, RandomBatchAugment, ResizeMix};
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
    /// Stacks, normalizes and pads the images. For training there is the batch's stream, which augments of whole batches
    /// draw from.
    ///
    /// # Errors
    /// There are no samples, or they fit neither each other nor the preprocessor.
    fn process(
        &self,
        samples: &[Sample],
        collate: Collate,
        training: Option<&mut ChaCha8Rng>,
    ) -> Result<Batch>;
}

pub(crate) fn register(registry: &mut Registry) {
    let table: [(&str, Build<dyn DataPreprocessor>); 2] =
        [("ClsDataPreprocessor", cls::build), ("ImgDataPreprocessor", img::build)];
    registry.register_all("data preprocessor", &table);
    batch_augments::register(registry);
}

//! Sources of samples.

pub mod idx;
mod in_memory;
mod mnist;
mod synthetic;

use occam_config::{Build, Error as ConfigError, Registry, Value};

pub use in_memory::{InMemory, Indices};
pub use mnist::{FASHION_MNIST, MNIST, Metainfo, MnistConfig, MnistKind};
pub use synthetic::SyntheticDataset;

use crate::{Compose, Result, Sample};

/// Samples by position, and the pipeline they go through.
pub trait Dataset: Send + Sync {
    /// Number of samples.
    fn len(&self) -> usize;

    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sample `index` as loaded, before the [pipeline](Dataset::pipeline).
    ///
    /// # Errors
    /// There is no such sample, or it cannot be read.
    fn get(&self, index: usize) -> Result<Sample>;

    /// The names of the classes; a label is a position here.
    fn classes(&self) -> &[String];

    /// The transforms that samples go through, in the data set's config its `pipeline`.
    fn pipeline(&self) -> &Compose;
}

pub(crate) fn register(registry: &mut Registry) {
    let table: [(&str, Build<dyn Dataset>); 3] = [
        ("FashionMNIST", |value, registry| build_mnist(&FASHION_MNIST, value, registry)),
        ("MNIST", |value, registry| build_mnist(&MNIST, value, registry)),
        ("SyntheticDataset", SyntheticDataset::build),
    ];
    registry.register_all("dataset", &table);
}

fn build_mnist(
    kind: &MnistKind,
    value: &Value,
    registry: &Registry,
) -> Result<Box<dyn Dataset>, ConfigError> {
    let images = value.parse::<MnistConfig>()?.load(kind)?;
    let pipeline = match value.get("pipeline") {
        Some(pipeline) => Compose::from_config(pipeline, registry)?,
        None => Compose::default(),
    };
    Ok(Box::new(images.with_pipeline(pipeline)))
}

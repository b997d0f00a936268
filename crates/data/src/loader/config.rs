//! Loaders as configs describe them.

use std::sync::Arc;

use occam_config::{Error as ConfigError, Registry, Value};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Loader, LoaderOptions};
use crate::{Collate, DataPreprocessor, Dataset, Error, Result, Sampler, Seed};

/// The config of a loader: `train_dataloader`, `val_dataloader`, `test_dataloader`.
///
/// ```python
/// train_dataloader = dict(
///     batch_size=128,
///     num_workers=2,
///     dataset=dict(type='FashionMNIST', data_prefix='data/fashion-mnist', test_mode=False, pipeline=[...]),
///     sampler=dict(type='DefaultSampler', shuffle=True))
/// ```
///
/// | key | |
/// |---|---|
/// | `batch_size`, `num_workers`, `prefetch_factor`, `drop_last` | see [`LoaderOptions`] |
/// | `collate_fn` | `dict(type='default_collate')` or `dict(type='pseudo_collate')`, see [`Collate`] |
/// | `dataset` | a [`Dataset`] with its `pipeline` |
/// | `sampler` | a [`Sampler`] |
/// | `persistent_workers`, `pin_memory` | accepted without effect: threads are cheap to start, and memory is not pinned |
#[derive(Debug, Clone)]
pub struct LoaderConfig {
    /// The data set's config.
    pub dataset: Value,
    /// The sampler's config.
    pub sampler: Value,
    /// The rest; the seed is that of [`LoaderConfig::build`].
    pub options: LoaderOptions,
}

/// The keys as written; `dataset` and `sampler` are here so that misspelled keys are compared with them too.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    #[serde(default)]
    batch_size: Option<usize>,
    #[serde(default)]
    num_workers: usize,
    #[serde(default)]
    prefetch_factor: Option<usize>,
    #[serde(default)]
    drop_last: bool,
    #[serde(default)]
    collate_fn: Option<CollateFn>,
    #[serde(rename = "dataset")]
    _dataset: IgnoredAny,
    #[serde(rename = "sampler")]
    _sampler: IgnoredAny,
    #[serde(default, rename = "persistent_workers")]
    _persistent_workers: bool,
    #[serde(default, rename = "pin_memory")]
    _pin_memory: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CollateFn {
    r#type: Collate,
}

impl LoaderConfig {
    /// Reads a loader's dict.
    ///
    /// # Errors
    /// A key is unknown, missing or of the wrong type.
    pub fn from_value(value: &Value) -> Result<Self> {
        let keys: Keys = value.parse()?;
        let component = |key: &str| {
            let missing = || Error::Config(ConfigError::new(format!("a dataloader needs `{key}`")).at(value));
            value.get(key).cloned().ok_or_else(missing)
        };
        let default = LoaderOptions::default();
        let options = LoaderOptions {
            batch_size: keys.batch_size.unwrap_or(default.batch_size),
            num_workers: keys.num_workers,
            prefetch_factor: keys.prefetch_factor.unwrap_or(default.prefetch_factor),
            drop_last: keys.drop_last,
            collate: keys.collate_fn.map_or(default.collate, |function| function.r#type),
            seed: default.seed,
            training: default.training,
        };
        if options.batch_size == 0 {
            let error = ConfigError::new("`batch_size` must be above 0");
            return Err(error.at(value.get("batch_size").unwrap_or(value)).into());
        }
        Ok(Self { dataset: component("dataset")?, sampler: component("sampler")?, options })
    }

    /// The same for training, where the preprocessor mixes batches.
    #[must_use]
    pub fn for_training(mut self) -> Self {
        self.options.training = true;
        self
    }

    /// Builds the data set, which reads its files, and the loader.
    ///
    /// # Errors
    /// The data set or the sampler cannot be built.
    pub fn build(
        &self,
        registry: &Registry,
        preprocessor: Arc<dyn DataPreprocessor>,
        seed: Seed,
    ) -> Result<Loader> {
        let dataset = registry.build::<dyn Dataset>(&self.dataset)?;
        let sampler = registry.build::<dyn Sampler>(&self.sampler)?;
        let options = LoaderOptions { seed, ..self.options.clone() };
        Loader::new(dataset.into(), preprocessor, sampler.into(), options)
    }
}

//! Sources of samples.

mod annotated;
mod cifar;
mod cifar_python;
mod concat;
mod cub;
mod custom;
mod files;
pub mod idx;
mod in_memory;
mod mnist;
mod options;
mod repeat;
mod selection;
mod synthetic;
mod voc;

use occam_config::{Build, Error as ConfigError, Registry, Value};
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;
use serde::de::IgnoredAny;

pub use annotated::AnnotatedConfig;
pub use cifar::{CIFAR10, CIFAR100, CifarConfig, CifarKind};
pub use concat::Concat;
pub use cub::CubConfig;
pub use custom::{CustomConfig, CustomKind};
pub use files::ImageFiles;
pub use in_memory::InMemory;
pub use mnist::{FASHION_MNIST, MNIST, MnistConfig, MnistKind};
pub use options::{ClassNames, DataPrefix, Indices, Metainfo};
pub use repeat::Repeat;
pub use selection::Selection;
pub use synthetic::SyntheticDataset;
pub use voc::VocConfig;

use crate::{Compose, Result, Sample, Transform};

/// Samples by position, and the pipeline they go through.
pub trait Dataset: Send + Sync {
    /// Number of samples.
    fn len(&self) -> usize;

    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sample `index` before its pipeline; its image may still be in a file.
    ///
    /// # Errors
    /// There is no such sample, or it cannot be read.
    fn get(&self, index: usize) -> Result<Sample>;

    /// Sample `index` after its pipeline, which draws from `rng`.
    ///
    /// # Errors
    /// As [`Dataset::get`], or a transform fails.
    fn prepare(&self, index: usize, rng: &mut ChaCha8Rng) -> Result<Sample>;

    /// The classes of sample `index`.
    ///
    /// # Errors
    /// As [`Dataset::get`].
    fn labels(&self, index: usize) -> Result<Vec<i64>> {
        Ok(self.get(index)?.gt_label)
    }

    /// The names of the classes; a label is a position here. Empty where they are not known.
    fn classes(&self) -> &[String];
}

pub(crate) fn register(registry: &mut Registry) {
    let table: [(&str, Build<dyn Dataset>); 16] = [
        ("BaseDataset", |value, registry| build_annotated("BaseDataset", false, value, registry)),
        ("CIFAR10", |value, registry| build_cifar(&CIFAR10, value, registry)),
        ("CIFAR100", |value, registry| build_cifar(&CIFAR100, value, registry)),
        ("CUB", |value, registry| build_files(value.parse::<CubConfig>()?.load()?, value, registry)),
        ("ClassBalancedDataset", build_class_balanced),
        ("ConcatDataset", build_concat),
        ("CustomDataset", |value, registry| build_custom(&CustomKind::CUSTOM, value, registry)),
        ("FashionMNIST", |value, registry| build_mnist(&FASHION_MNIST, value, registry)),
        ("ImageNet", |value, registry| build_custom(&CustomKind::IMAGENET, value, registry)),
        ("ImageNet21k", |value, registry| build_custom(&CustomKind::IMAGENET_21K, value, registry)),
        ("KFoldDataset", build_fold),
        ("MNIST", |value, registry| build_mnist(&MNIST, value, registry)),
        ("MultiLabelDataset", |value, registry| build_annotated("MultiLabelDataset", true, value, registry)),
        ("RepeatDataset", build_repeat),
        ("SyntheticDataset", SyntheticDataset::build),
        ("VOC", |value, registry| build_files(value.parse::<VocConfig>()?.load()?, value, registry)),
    ];
    registry.register_all("dataset", &table);
}

type Built = Result<Box<dyn Dataset>, ConfigError>;

/// The pipeline of a data set's config; an empty one where there is none.
fn pipeline(value: &Value, registry: &Registry) -> Result<Compose, ConfigError> {
    match value.get("pipeline") {
        Some(pipeline) => Ok(Compose::from_config(pipeline, registry)?),
        None => Ok(Compose::default()),
    }
}

fn build_mnist(kind: &MnistKind, value: &Value, registry: &Registry) -> Built {
    let images = value.parse::<MnistConfig>()?.load(kind)?;
    Ok(Box::new(images.with_pipeline(pipeline(value, registry)?)))
}

fn build_cifar(kind: &CifarKind, value: &Value, registry: &Registry) -> Built {
    let images = value.parse::<CifarConfig>()?.load(kind)?;
    Ok(Box::new(images.with_pipeline(pipeline(value, registry)?)))
}

/// The pipeline of image files must decode them.
fn build_files(files: ImageFiles, value: &Value, registry: &Registry) -> Built {
    let pipeline = pipeline(value, registry)?;
    if !pipeline.loads() {
        let message = "the pipeline of image files must begin with dict(type='LoadImageFromFile')";
        return Err(ConfigError::new(message).at(value.get("pipeline").unwrap_or(value)));
    }
    Ok(Box::new(files.with_pipeline(pipeline)))
}

fn build_custom(kind: &CustomKind, value: &Value, registry: &Registry) -> Built {
    build_files(value.parse::<CustomConfig>()?.load(kind)?, value, registry)
}

fn build_annotated(name: &'static str, many: bool, value: &Value, registry: &Registry) -> Built {
    build_files(value.parse::<AnnotatedConfig>()?.load(name, many)?, value, registry)
}

/// The data set inside a wrapper's config.
fn inner(value: &Value, registry: &Registry) -> Built {
    let missing = || ConfigError::new("a wrapper of data sets needs `dataset`").at(value);
    registry.build::<dyn Dataset>(value.get("dataset").ok_or_else(missing)?)
}

fn build_concat(value: &Value, registry: &Registry) -> Built {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Keys {
        #[serde(rename = "datasets")]
        _datasets: IgnoredAny,
        #[serde(default, rename = "lazy_init")]
        _lazy_init: bool,
    }
    value.parse::<Keys>()?;
    let sets = value.get("datasets").and_then(Value::as_list).ok_or_else(|| {
        ConfigError::new("`datasets` must be a list of data sets").at(value.get("datasets").unwrap_or(value))
    })?;
    let sets = sets.iter().map(|set| registry.build::<dyn Dataset>(set)).collect::<Result<_, _>>()?;
    Ok(Box::new(Concat::new(sets)?))
}

fn build_repeat(value: &Value, registry: &Registry) -> Built {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Keys {
        #[serde(rename = "dataset")]
        _dataset: IgnoredAny,
        times: usize,
        #[serde(default, rename = "lazy_init")]
        _lazy_init: bool,
    }
    let keys: Keys = value.parse()?;
    Ok(Box::new(Repeat::new(inner(value, registry)?, keys.times)?))
}

fn build_class_balanced(value: &Value, registry: &Registry) -> Built {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Keys {
        #[serde(rename = "dataset")]
        _dataset: IgnoredAny,
        oversample_thr: f64,
        #[serde(default, rename = "lazy_init")]
        _lazy_init: bool,
    }
    let keys: Keys = value.parse()?;
    Ok(Box::new(Selection::class_balanced(inner(value, registry)?, keys.oversample_thr)?))
}

fn build_fold(value: &Value, registry: &Registry) -> Built {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Keys {
        #[serde(rename = "dataset")]
        _dataset: IgnoredAny,
        #[serde(default)]
        fold: usize,
        #[serde(default = "five")]
        num_splits: usize,
        #[serde(default)]
        test_mode: bool,
        #[serde(default)]
        seed: Option<u64>,
    }
    fn five() -> usize {
        5
    }
    let keys: Keys = value.parse()?;
    let set = inner(value, registry)?;
    Ok(Box::new(Selection::fold(set, keys.fold, keys.num_splits, keys.test_mode, keys.seed)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A data set of one-pixel images with these labels, of three classes.
    pub(super) fn numbered(labels: &[i64]) -> Box<dyn Dataset> {
        let classes = ["a", "b", "c"].map(str::to_owned).to_vec();
        let pixels = (0..labels.len()).map(|at| at as u8).collect();
        Box::new(InMemory::new([1, 1, 1], pixels, labels.to_vec(), classes).unwrap())
    }
}

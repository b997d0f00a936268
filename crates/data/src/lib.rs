//! From image files to batches, and from predictions to figures.
//!
//! A [`Dataset`] gives raw [`Sample`]s, its pipeline of [`Transform`]s augments them, a [`DataPreprocessor`] makes
//! them a [`Batch`], a [`Sampler`] says in which order, and a [`Loader`] does all of it on worker threads.
//! [`Metric`]s read the [`DataSample`]s that come back with predictions.
//!
//! Everything random draws from a [stream](Seed::stream) of its own, named by purpose, epoch and sample, so a batch
//! depends on the seed and on its position only: not on the number of workers, nor on where a run was resumed.
//!
//! Component names, config keys and results are those of MMClassification 1.0.0rc6 and MMEngine 0.10.
//!
//! ```
//! use std::sync::Arc;
//!
//! use occam_data::{ClsDataPreprocessor, Compose, DefaultSampler, InMemory, Loader, LoaderOptions, RandomFlip};
//!
//! let images = InMemory::new([2, 2, 1], vec![0; 12], vec![0, 1, 1], vec!["cat".into(), "dog".into()])?
//!     .with_pipeline(Compose::new(vec![Box::new(RandomFlip::new(0.5))]));
//! let loader = Loader::new(
//!     Arc::new(images),
//!     Arc::new(ClsDataPreprocessor::new([128.0], [64.0])),
//!     Arc::new(DefaultSampler::default()),
//!     LoaderOptions { batch_size: 2, num_workers: 1, ..LoaderOptions::default() },
//! )?;
//! for batch in loader.epoch(0, 0) {
//!     assert_eq!(batch?.inputs.shape()[1..], [1, 2, 2]);
//! }
//! # Ok::<(), occam_data::Error>(())
//! ```

pub mod color;
mod datasets;
pub mod decode;
mod error;
#[cfg(test)]
mod golden;
mod image;
mod loader;
mod metrics;
mod preprocess;
mod register;
pub mod resize;
mod sample;
mod samplers;
pub mod streams;
mod transforms;
pub mod warp;

pub use datasets::{
    AnnotatedConfig, CIFAR10, CIFAR100, CifarConfig, CifarKind, ClassNames, Concat, CustomConfig, CustomKind,
    DataPrefix, Dataset, FASHION_MNIST, ImageFiles, InMemory, Indices, MNIST, Metainfo, MnistConfig,
    MnistKind, Repeat, Selection, VocConfig, idx,
};
pub use error::{Error, Result, is_absent};
pub use image::{FlipDirection, Image};
pub use loader::{Epoch, Loader, LoaderConfig, LoaderOptions};
pub use metrics::{
    Accuracy, Average, AveragePrecision, Evaluator, Item, Metric, MultiLabelMetric, SingleLabelMetric,
    Thresholds, label_rank,
};
pub use preprocess::{
    BatchAugment, ClsDataPreprocessor, Collate, CutMix, DataPreprocessor, Mixture, Mixup, RandomBatchAugment,
    ResizeMix,
};
pub use register::register;
pub use sample::{Batch, DataSample, Sample};
pub use samplers::{DefaultSampler, InfiniteSampler, RepeatAugSampler, Sampler};
pub use streams::Seed;
pub use transforms::{
    Aspect, AutoContrast, Backend, Brightness, CenterCrop, ColorJitter, ColorTransform, Compose, Contrast,
    Cutout, Deviation, Direction, Edge, EfficientNetCenterCrop, EfficientNetRandomCrop, Equalize, Factor,
    Invert, Jitter, Lighting, LoadImageFromFile, Mode, Normalization, Normalize, Numbers, OneOrMany,
    OneOrPair, PackInputs, Pad, PadConfig, PadVal, PadValue, Padding, PaddingMode, Posterize, RandAugment,
    RandomApply, RandomChoice, RandomCrop, RandomErasing, RandomFlip, RandomGrayscale, RandomResizedCrop,
    Resize, ResizeEdge, Rotate, Sharpness, Shear, Solarize, SolarizeAdd, Transform, Translate,
};

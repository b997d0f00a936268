//! The preprocessor of classifiers.

use occam_config::{Error as ConfigError, Registry, Value};
use occam_graph::Array;
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Mixture, RandomBatchAugment};
use crate::transforms::Normalization;
use crate::{Batch, Collate, DataPreprocessor, DataSample, Error, Image, Result, Sample};

/// `(x - mean) / std` for each channel, in `f32`, then padding at the right and bottom.
///
/// | | shape | |
/// |---|---|---|
/// | images | `[height, width, channels]` each | 8 bits |
/// | result | `[batch, channels, height, width]` | `f32` |
///
/// Unlike MMClassification's, it refuses a `mean` with as many entries as neither 1 nor the image's channels, where
/// broadcasting makes a grey image three-channelled there.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClsDataPreprocessor {
    /// The mean of each channel, or of all. Images stay as they are without it.
    pub mean: Option<Vec<f32>>,
    /// The standard deviation of each channel, or of all; goes with `mean`.
    pub std: Option<Vec<f32>>,
    /// Whether to exchange the first and third of three channels before normalizing (BGR to RGB). False by default.
    pub to_rgb: bool,
    /// Height and width are padded to multiples of this. 1 by default.
    pub pad_size_divisor: usize,
    /// The value to pad with, after normalization. 0 by default.
    pub pad_value: f32,
    /// Whether to set [`DataSample::gt_score`] to the one-hot label. False by default.
    pub to_onehot: bool,
    /// Number of classes, which `to_onehot` needs.
    pub num_classes: Option<usize>,
    /// Read by the preprocessor's builder, see [`RandomBatchAugment`].
    pub batch_augments: Option<IgnoredAny>,
    /// Mixing of images in training. Labels become soft, as with `to_onehot`, which needs `num_classes`.
    #[serde(skip)]
    pub augments: Option<RandomBatchAugment>,
}

impl Default for ClsDataPreprocessor {
    fn default() -> Self {
        Self {
            mean: None,
            std: None,
            to_rgb: false,
            pad_size_divisor: 1,
            pad_value: 0.0,
            to_onehot: false,
            num_classes: None,
            batch_augments: None,
            augments: None,
        }
    }
}

const NAME: &str = "ClsDataPreprocessor";

pub(super) fn build(
    value: &Value,
    registry: &Registry,
) -> std::result::Result<Box<dyn DataPreprocessor>, ConfigError> {
    let mut preprocessor: ClsDataPreprocessor = value.parse()?;
    if let Some(augments) = value.get("batch_augments").filter(|augments| !augments.is_none()) {
        let augments = RandomBatchAugment::from_config(augments, registry).map_err(|e| e.at(augments))?;
        preprocessor = preprocessor.with_batch_augments(augments);
    }
    preprocessor.check()?;
    Ok(Box::new(preprocessor))
}

/// Value of each 8-bit sample after normalization. Images have so few values that looking them up is both exact and
/// quicker than dividing.
type Table = [f32; 256];

impl ClsDataPreprocessor {
    /// Normalizes with `mean` and `std`, nothing else.
    pub fn new(mean: impl Into<Vec<f32>>, std: impl Into<Vec<f32>>) -> Self {
        Self { mean: Some(mean.into()), std: Some(std.into()), ..Self::default() }
    }

    /// The same, mixing batches of training.
    #[must_use]
    pub fn with_batch_augments(self, augments: RandomBatchAugment) -> Self {
        Self { augments: Some(augments), ..self }
    }

    /// Checks the arguments.
    ///
    /// # Errors
    /// One of `mean` and `std` is given without the other, they have different lengths, a standard deviation is 0 or
    /// not finite, `pad_size_divisor` is 0, or `to_onehot` or `batch_augments` have no `num_classes`.
    pub fn check(&self) -> Result<()> {
        let wrong = |detail: String| Err(Error::argument(NAME, detail));
        match (&self.mean, &self.std) {
            (None, None) => {}
            (Some(mean), Some(std)) if mean.len() == std.len() && !mean.is_empty() => {
                if mean.iter().any(|x| !x.is_finite()) || std.iter().any(|x| !x.is_finite() || *x == 0.0) {
                    return wrong(format!("mean {mean:?}, std {std:?}: all must be finite, and no `std` 0"));
                }
            }
            (Some(mean), Some(std)) => {
                return wrong(format!("`mean` has {} numbers, `std` {}", mean.len(), std.len()));
            }
            _ => return wrong("`mean` and `std` go together, only one is given".to_owned()),
        }
        if self.pad_size_divisor == 0 {
            return wrong("`pad_size_divisor` must be above 0".to_owned());
        }
        if (self.to_onehot || self.augments.is_some()) && self.num_classes.is_none() {
            return wrong("`to_onehot` and `batch_augments` need `num_classes`".to_owned());
        }
        Ok(())
    }

    /// One table for each of `channels`, of samples that are normalized already, perhaps.
    fn tables(&self, channels: usize, before: Option<&Normalization>) -> Result<Vec<Table>> {
        let statistic = |values: Option<&[f32]>, neutral: f32| match values {
            None => Ok(vec![neutral; channels]),
            Some([value]) => Ok(vec![*value; channels]),
            Some(values) if values.len() == channels => Ok(values.to_vec()),
            Some(values) => Err(Error::Batch(format!(
                "images have {channels} channels, but {NAME} has `mean` and `std` for {}: give one number for each \
                 channel, or a single one",
                values.len()
            ))),
        };
        let (mean, std) = (statistic(self.mean.as_deref(), 0.0)?, statistic(self.std.as_deref(), 1.0)?);
        let first_mean = statistic(before.map(|before| before.mean.as_slice()), 0.0)?;
        let first_std = statistic(before.map(|before| before.std.as_slice()), 1.0)?;
        let statistics = first_mean.into_iter().zip(first_std).zip(mean.into_iter().zip(std));
        let table = |((first_mean, first_std), (mean, std))| -> Table {
            std::array::from_fn(|value| ((value as f32 - first_mean) / first_std - mean) / std)
        };
        Ok(statistics.map(table).collect())
    }

    /// The vector with 1 at each label.
    fn one_hot(&self, labels: &[i64]) -> Result<Option<Vec<f32>>> {
        let wanted = self.to_onehot || self.augments.is_some();
        let Some(classes) = self.num_classes.filter(|_| wanted) else { return Ok(None) };
        let too_many = || Error::Batch(format!("`num_classes` of {classes} exceeds all memory"));
        let mut score = filled(classes, 0.0).ok_or_else(too_many)?;
        for &label in labels {
            match usize::try_from(label).ok().and_then(|label| score.get_mut(label)) {
                Some(one) => *one = 1.0,
                None => return Err(Error::Batch(format!("label {label} with `num_classes` of {classes}"))),
            }
        }
        Ok(Some(score))
    }

    /// Height and width of the batch.
    fn padded(&self, samples: &[Sample]) -> Option<(usize, usize)> {
        let side = |of: fn(&Image) -> usize| {
            let longest = samples.iter().map(|sample| of(&sample.image)).max()?;
            longest.checked_next_multiple_of(self.pad_size_divisor)
        };
        Some((side(Image::height)?, side(Image::width)?))
    }
}

impl DataPreprocessor for ClsDataPreprocessor {
    fn process(
        &self,
        samples: &[Sample],
        collate: Collate,
        training: Option<&mut ChaCha8Rng>,
    ) -> Result<Batch> {
        self.check()?;
        let Some(first) = samples.first() else { return Err(Error::Batch("no samples".to_owned())) };
        if let Some(sample) = samples.iter().find(|sample| !sample.image.is_loaded()) {
            let detail = format!(
                "sample {} is still in its file; begin the pipeline with LoadImageFromFile",
                sample.index
            );
            return Err(Error::Batch(detail));
        }
        let channels = first.image.channels();
        for Sample { image, index, .. } in samples {
            let differs = image.channels() != channels || image.shape() != first.image.shape();
            if differs && (collate == Collate::Default || image.channels() != channels) {
                return Err(Error::Batch(format!(
                    "sample {index} is an {image:?}, sample {} an {:?}; crop or resize them to one size in the \
                     pipeline, or pad batches with collate_fn=dict(type='pseudo_collate')",
                    first.index, first.image
                )));
            }
        }
        let too_large = || Error::Batch(format!("{} images with padding exceed all memory", samples.len()));
        let (height, width) = self.padded(samples).ok_or_else(too_large)?;
        let plane = height.checked_mul(width).ok_or_else(too_large)?;
        let size = plane.checked_mul(channels).and_then(|n| n.checked_mul(samples.len()));
        let mut inputs = size.and_then(|size| filled(size, self.pad_value)).ok_or_else(too_large)?;

        let mut tables = self.tables(channels, first.normalization.as_deref())?;
        let mut normalization = &first.normalization;
        let swap = self.to_rgb && channels == 3;
        for (sample, target) in samples.iter().zip(inputs.chunks_exact_mut(plane * channels)) {
            if sample.normalization != *normalization {
                normalization = &sample.normalization;
                tables = self.tables(channels, normalization.as_deref())?;
            }
            for (channel, (target, table)) in target.chunks_exact_mut(plane).zip(&tables).enumerate() {
                let source = if swap { 2 - channel } else { channel };
                fill(target, width, &sample.image, source, table);
            }
        }

        let mut samples = samples
            .iter()
            .map(|sample| Ok(DataSample { gt_score: self.one_hot(&sample.gt_label)?, ..sample.into() }))
            .collect::<Result<Vec<_>>>()?;
        if let (Some(augments), Some(rng)) = (&self.augments, training) {
            let mut scores: Vec<_> =
                samples.iter_mut().map(|sample| sample.gt_score.take().unwrap_or_default()).collect();
            let shape = [samples.len(), channels, height, width];
            augments.apply(Mixture { inputs: &mut inputs, shape, scores: &mut scores }, rng);
            samples.iter_mut().zip(scores).for_each(|(sample, score)| sample.gt_score = Some(score));
        }
        Ok(Batch { inputs: Array::from_f32([samples.len(), channels, height, width], inputs)?, samples })
    }
}

/// `len` times `value`, or `None` where memory does not suffice.
fn filled(len: usize, value: f32) -> Option<Vec<f32>> {
    let mut values = Vec::new();
    values.try_reserve_exact(len).ok()?;
    values.resize(len, value);
    Some(values)
}

/// Writes one channel of `image` to the upper left of a plane with rows of `width`.
fn fill(plane: &mut [f32], width: usize, image: &Image, channel: usize, table: &Table) {
    let channels = image.channels();
    for (target, source) in plane.chunks_exact_mut(width).zip(image.rows()) {
        if channels == 1 {
            target.iter_mut().zip(source).for_each(|(to, &from)| *to = table[usize::from(from)]);
        } else {
            let source = source.iter().skip(channel).step_by(channels);
            target.iter_mut().zip(source).for_each(|(to, &from)| *to = table[usize::from(from)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(height: usize, width: usize, channels: usize, index: usize) -> Sample {
        let pixels = (0..height * width * channels).map(|i| ((i * 37 + 11 + index) % 251) as u8).collect();
        Sample::new(Image::new(height, width, channels, pixels).unwrap(), 3, index)
    }

    /// `tests/golden/make.py`: MMClassification's preprocessor on the same images.
    #[test]
    fn agrees_with_mmcls() {
        #[derive(Deserialize)]
        struct Case {
            images: Vec<[usize; 3]>,
            args: serde_json::Value,
            collate: Collate,
            shape: Vec<usize>,
            result: Vec<f32>,
        }
        let golden = include_str!("../../tests/golden/preprocessor.json");
        let cases: Vec<Case> = serde_json::from_str(golden).unwrap();
        assert!(!cases.is_empty());
        for case in cases {
            let preprocessor: ClsDataPreprocessor = serde_json::from_value(case.args.clone()).unwrap();
            let samples: Vec<_> =
                case.images.iter().enumerate().map(|(i, &[h, w, c])| sample(h, w, c, i)).collect();
            let batch = preprocessor.process(&samples, case.collate, None).unwrap();
            assert_eq!(batch.inputs.shape(), case.shape, "{}", case.args);
            assert_eq!(batch.inputs.as_f32().unwrap(), case.result, "{}", case.args);
        }
    }

    #[test]
    fn different_sizes_need_pseudo_collate() {
        let samples = [sample(2, 2, 1, 0), sample(2, 3, 1, 1)];
        let preprocessor = ClsDataPreprocessor::default();
        let error = preprocessor.process(&samples, Collate::Default, None).unwrap_err();
        assert!(
            error.to_string().contains("sample 1 is an image[2, 3, 1], sample 0 an image[2, 2, 1]"),
            "{error}"
        );
        assert_eq!(
            preprocessor.process(&samples, Collate::Pseudo, None).unwrap().inputs.shape(),
            [2, 1, 2, 3]
        );
        let mixed = [sample(2, 2, 1, 0), sample(2, 2, 3, 1)];
        assert!(preprocessor.process(&mixed, Collate::Pseudo, None).is_err());
        assert!(preprocessor.process(&[], Collate::Pseudo, None).is_err());
    }

    #[test]
    fn one_hot_labels() {
        let mut preprocessor = ClsDataPreprocessor { to_onehot: true, ..Default::default() };
        assert!(preprocessor.check().is_err());
        preprocessor.num_classes = Some(4);
        let batch = preprocessor.process(&[sample(1, 1, 1, 0)], Collate::Default, None).unwrap();
        assert_eq!(batch.samples[0].gt_score.as_deref(), Some([0.0, 0.0, 0.0, 1.0].as_slice()));
        preprocessor.num_classes = Some(3);
        assert!(preprocessor.process(&[sample(1, 1, 1, 0)], Collate::Default, None).is_err());
    }

    /// Normalizing in the pipeline and in the preprocessor is the same.
    #[test]
    fn pipelines_may_normalize() {
        use crate::{Normalize, Seed, Transform};

        let (mean, std) = (vec![123.675, 116.28, 103.53], vec![58.395, 57.12, 57.375]);
        let normalize = Normalize { mean: mean.clone(), std: std.clone(), to_rgb: true };
        let raw = [sample(2, 3, 3, 0), sample(2, 3, 3, 1)];
        let normalized =
            raw.clone().map(|sample| normalize.apply(sample, &mut Seed(0).stream("test", &[])).unwrap());
        let plain = ClsDataPreprocessor::default().process(&normalized, Collate::Default, None).unwrap();
        let preprocessor = ClsDataPreprocessor { to_rgb: true, ..ClsDataPreprocessor::new(mean, std) };
        assert_eq!(plain.inputs, preprocessor.process(&raw, Collate::Default, None).unwrap().inputs);
        let unloaded = Sample::unloaded(std::path::Path::new("x.jpg"), vec![0], 0);
        assert!(preprocessor.process(&[unloaded], Collate::Default, None).is_err());
    }

    #[test]
    fn mixes_batches_of_training_alone() {
        use std::sync::Arc;

        use super::super::Mixup;
        use crate::Seed;

        let augments = RandomBatchAugment::new(vec![Arc::new(Mixup { alpha: 1.0 })], None).unwrap();
        let preprocessor = ClsDataPreprocessor { num_classes: Some(4), ..Default::default() };
        let preprocessor = preprocessor.with_batch_augments(augments.clone());
        assert!(ClsDataPreprocessor::default().with_batch_augments(augments).check().is_err());
        let samples: Vec<_> = (0..6).map(|index| sample(2, 2, 1, 9 * index)).collect();
        let process = |training: Option<&mut ChaCha8Rng>| {
            preprocessor.process(&samples, Collate::Default, training).unwrap()
        };
        let plain = process(None);
        assert_eq!(plain.samples[0].gt_score.as_deref(), Some([0.0, 0.0, 0.0, 1.0].as_slice()));
        let mixed = process(Some(&mut Seed(1).stream("test", &[])));
        assert_ne!(plain.inputs, mixed.inputs);
        assert_eq!(mixed, process(Some(&mut Seed(1).stream("test", &[]))));
        assert_eq!(mixed.samples[2].gt_score.as_ref().map(|score| score.iter().sum::<f32>()), Some(1.0));
    }

    #[test]
    fn refuses_arguments_that_make_no_sense() {
        for json in [
            r#"{"mean": [1.0]}"#,
            r#"{"std": [1.0]}"#,
            r#"{"mean": [1.0], "std": [0.0]}"#,
            r#"{"mean": [1.0, 2.0], "std": [1.0]}"#,
            r#"{"mean": [], "std": []}"#,
            r#"{"pad_size_divisor": 0}"#,
        ] {
            let preprocessor: ClsDataPreprocessor = serde_json::from_str(json).unwrap();
            assert!(preprocessor.check().is_err(), "{json}");
        }
        let three = ClsDataPreprocessor::new([0.0; 3], [1.0; 3]);
        let error = three.process(&[sample(2, 2, 1, 0)], Collate::Default, None).unwrap_err();
        assert!(error.to_string().contains("images have 1 channels"), "{error}");
        for pad_size_divisor in [1 << 30, usize::MAX] {
            let huge = ClsDataPreprocessor { pad_size_divisor, ..Default::default() };
            assert!(huge.process(&[sample(2, 2, 1, 0)], Collate::Default, None).is_err());
        }
    }
}

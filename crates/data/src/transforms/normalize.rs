//! Normalizing within the pipeline.

use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

use crate::{Error, Result, Sample, Transform};

/// `(x - mean) / std` for each channel, as [`ClsDataPreprocessor`](crate::ClsDataPreprocessor) does it for a whole batch.
///
/// The preprocessor computes it when it makes floats of the image, before its own normalization. Only transforms that
/// move pixels may follow in the pipeline; of those that change or add any, the result would not be the original's.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normalize {
    /// The mean of each channel, or of all.
    pub mean: Vec<f32>,
    /// The standard deviation of each channel, or of all.
    pub std: Vec<f32>,
    /// Whether to exchange blue and red first. True by default.
    #[serde(default = "yes")]
    pub to_rgb: bool,
}

const NAME: &str = "Normalize";

fn yes() -> bool {
    true
}

/// What is subtracted from samples and what they are divided by.
#[derive(Debug, Clone, PartialEq)]
pub struct Normalization {
    /// The mean of each channel, or of all.
    pub mean: Vec<f32>,
    /// The standard deviation of each channel, or of all.
    pub std: Vec<f32>,
}

impl Transform for Normalize {
    fn apply(&self, mut sample: Sample, _: &mut ChaCha8Rng) -> Result<Sample> {
        let channels = sample.image.channels();
        if self.mean.len() != 1 && self.mean.len() != channels {
            let detail = format!("`mean` has {} numbers for {channels} channels", self.mean.len());
            return Err(Error::argument(NAME, detail));
        }
        if self.to_rgb && channels == 3 {
            sample.image.pixels_mut().as_chunks_mut::<3>().0.iter_mut().for_each(|pixel| pixel.swap(0, 2));
        }
        sample.normalization =
            Some(Arc::new(Normalization { mean: self.mean.clone(), std: self.std.clone() }));
        Ok(sample)
    }

    fn check(&self) -> Result<()> {
        let wrong = |detail: &str| Err(Error::argument(NAME, detail));
        if self.mean.is_empty() || self.mean.len() != self.std.len() {
            return wrong("`mean` and `std` must have one number for each channel");
        }
        if self.mean.iter().any(|x| !x.is_finite()) || self.std.iter().any(|x| !x.is_finite() || *x == 0.0) {
            return wrong("all numbers must be finite, and no `std` 0");
        }
        Ok(())
    }

    fn normalizes(&self) -> bool {
        true
    }
}

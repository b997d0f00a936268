//! Making images grey at random.

use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

use super::sizes::probability;
use crate::streams::Draw;
use crate::{Error, Image, Result, Sample, Transform};

/// Replaces the image, with probability `prob`, by the weighted mean of its channels, rounded down.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RandomGrayscale {
    /// 0.1 by default.
    pub prob: f64,
    /// Whether the mean is repeated for every channel. False by default, which leaves one channel: give it `True` where
    /// all images of a batch must have the same channels.
    pub keep_channels: bool,
    /// Weights of the channels; only their ratios count. Equal by default.
    pub channel_weights: Vec<f64>,
    /// What the channels are: `bgr` by default, or `rgb`, which is the same here. `hsv` is not supported.
    pub color_format: String,
}

impl Default for RandomGrayscale {
    fn default() -> Self {
        Self {
            prob: 0.1,
            keep_channels: false,
            channel_weights: vec![1.0; 3],
            color_format: "bgr".to_owned(),
        }
    }
}

const NAME: &str = "RandomGrayscale";

impl RandomGrayscale {
    fn gray(&self, image: &Image) -> Result<Image> {
        let channels = image.channels();
        if channels != self.channel_weights.len() {
            let detail = format!(
                "`channel_weights` has {} numbers for the {channels} channels of an image",
                self.channel_weights.len()
            );
            return Err(Error::argument(NAME, detail));
        }
        let sum: f64 = self.channel_weights.iter().sum();
        let weights: Vec<f64> = self.channel_weights.iter().map(|weight| weight / sum).collect();
        let copies = if self.keep_channels { channels } else { 1 };
        let mut pixels = Vec::with_capacity(image.pixels().len() / channels.max(1) * copies);
        for pixel in image.pixels().chunks_exact(channels) {
            let products = weights.iter().zip(pixel).map(|(weight, &sample)| weight * f64::from(sample));
            pixels.extend(std::iter::repeat_n(products.sum::<f64>() as u8, copies));
        }
        Image::new(image.height(), image.width(), copies, pixels)
    }
}

impl Transform for RandomGrayscale {
    fn apply(&self, sample: Sample, rng: &mut ChaCha8Rng) -> Result<Sample> {
        let drawn = rng.uniform_f64() < self.prob;
        if !drawn || sample.image.channels() == 1 {
            return Ok(sample);
        }
        Ok(Sample { image: self.gray(&sample.image)?, ..sample })
    }

    fn check(&self) -> Result<()> {
        probability(NAME, "prob", self.prob)?;
        if !["bgr", "rgb"].contains(&self.color_format.as_str()) {
            let detail = format!("`color_format` is {:?}, it must be 'bgr' or 'rgb'", self.color_format);
            return Err(Error::argument(NAME, detail));
        }
        let sum: f64 = self.channel_weights.iter().sum();
        if !(sum.is_finite() && sum > 0.0) || self.channel_weights.iter().any(|&weight| weight < 0.0) {
            let detail = "`channel_weights` must be 0 or above, and not all 0";
            return Err(Error::argument(NAME, detail));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Seed;

    #[test]
    fn weighs_channels_and_rounds_down() {
        let image = Image::new(1, 2, 3, vec![10, 20, 33, 0, 0, 255]).unwrap();
        let gray = |json: &str| {
            let transform: RandomGrayscale = serde_json::from_str(json).unwrap();
            transform.check().unwrap();
            let sample = Sample::new(image.clone(), 0, 0);
            transform.apply(sample, &mut Seed(0).stream("test", &[])).unwrap().image
        };
        assert_eq!(gray(r#"{"prob": 1, "keep_channels": true}"#).pixels(), [21, 21, 21, 85, 85, 85]);
        assert_eq!(gray(r#"{"prob": 1, "channel_weights": [1, 2, 1]}"#).pixels(), [20, 63]);
        assert_eq!(gray(r#"{"prob": 0}"#), image);
        for json in [r#"{"prob": 2}"#, r#"{"color_format": "hsv"}"#, r#"{"channel_weights": [0, 0]}"#] {
            assert!(serde_json::from_str::<RandomGrayscale>(json).unwrap().check().is_err());
        }
    }
}

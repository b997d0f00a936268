//! Cropping a random part and resizing it.

use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

use super::sizes::{ordered, positive, resized};
use crate::resize::{Interpolation, ResizeBackend};
use crate::streams::Draw;
use crate::{OneOrPair, Result, Sample, Transform};

/// Crops a part of random area and ratio and resizes it (Szegedy et al., 2014, arXiv:1409.4842).
///
/// The part has `crop_ratio_range` of the image's area and `aspect_ratio_range` of width to height, whose logarithm
/// is uniform. Where none fits after `max_attempts`, the largest part in the middle with a ratio in the range is taken.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandomResizedCrop {
    /// Height and width of the result, or a number for both.
    pub scale: OneOrPair,
    /// Share of the image's area. 0.08 to 1 by default.
    #[serde(default = "crop_ratio_range")]
    pub crop_ratio_range: (f64, f64),
    /// Width divided by height. 3/4 to 4/3 by default.
    #[serde(default = "aspect_ratio_range")]
    pub aspect_ratio_range: (f64, f64),
    /// How often a part is drawn. 10 by default.
    #[serde(default = "max_attempts")]
    pub max_attempts: u32,
    /// Bilinear by default.
    #[serde(default)]
    pub interpolation: Interpolation,
    /// Whose arithmetic. OpenCV's by default.
    #[serde(default)]
    pub backend: ResizeBackend,
}

const NAME: &str = "RandomResizedCrop";

pub(super) fn crop_ratio_range() -> (f64, f64) {
    (0.08, 1.0)
}

pub(super) fn aspect_ratio_range() -> (f64, f64) {
    (3.0 / 4.0, 4.0 / 3.0)
}

pub(super) fn max_attempts() -> u32 {
    10
}

/// Top, left, height and width of a part of an image.
pub(super) type Window = [usize; 4];

impl RandomResizedCrop {
    /// Crops with the default ranges, resized to `scale` by `scale`.
    pub fn new(scale: usize) -> Self {
        Self {
            scale: OneOrPair::One(scale),
            crop_ratio_range: crop_ratio_range(),
            aspect_ratio_range: aspect_ratio_range(),
            max_attempts: max_attempts(),
            interpolation: Interpolation::default(),
            backend: ResizeBackend::default(),
        }
    }

    fn window(&self, [height, width]: [usize; 2], rng: &mut ChaCha8Rng) -> Window {
        let area = (height * width) as f64;
        let (low, high) = self.aspect_ratio_range;
        for _ in 0..self.max_attempts {
            let target = rng.uniform_in(self.crop_ratio_range) * area;
            let ratio = rng.uniform_in((low.ln(), high.ln())).exp();
            let wide = (target * ratio).sqrt().round_ties_even() as usize;
            let high = (target / ratio).sqrt().round_ties_even() as usize;
            if (1..=width).contains(&wide) && (1..=height).contains(&high) {
                return [rng.below(height - high + 1), rng.below(width - wide + 1), high, wide];
            }
        }
        let ratio = width as f64 / height as f64;
        let (high, wide) = if ratio < low {
            ((width as f64 / low).round_ties_even() as usize, width)
        } else if ratio > high {
            (height, (height as f64 * high).round_ties_even() as usize)
        } else {
            (height, width)
        };
        let (high, wide) = (high.clamp(1, height), wide.clamp(1, width));
        [(height - high) / 2, (width - wide) / 2, high, wide]
    }
}

impl Transform for RandomResizedCrop {
    fn apply(&self, sample: Sample, rng: &mut ChaCha8Rng) -> Result<Sample> {
        let [top, left, height, width] = self.window(sample.image.shape(), rng);
        let part = sample.image.crop(top, left, height, width);
        let (height, width) = self.scale.pair();
        let image = resized(NAME, &part, [height, width], self.interpolation, self.backend)?;
        Ok(Sample { image, ..sample })
    }

    fn check(&self) -> Result<()> {
        self.backend.check(NAME, self.interpolation)?;
        positive(NAME, "scale", &[self.scale.pair().0, self.scale.pair().1])?;
        ordered(NAME, "crop_ratio_range", self.crop_ratio_range, 0.0)?;
        ordered(NAME, "aspect_ratio_range", self.aspect_ratio_range, f64::MIN_POSITIVE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Seed, golden};

    #[test]
    fn parts_have_the_ranges_asked_for() {
        let crop = RandomResizedCrop::new(8);
        let (mut areas, mut ratios) = (vec![], vec![]);
        for index in 0..4000 {
            let [top, left, height, width] = crop.window([300, 400], &mut Seed(3).stream("test", &[index]));
            assert!(top + height <= 300 && left + width <= 400);
            areas.push((height * width) as f64 / 120_000.0);
            ratios.push((width as f64 / height as f64).ln());
        }
        let range = |values: &[f64]| {
            values.iter().fold((f64::MAX, f64::MIN), |(low, high), &x| (low.min(x), high.max(x)))
        };
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let (low, high) = range(&areas);
        assert!(low > 0.075 && low < 0.1 && high > 0.9 && high <= 1.0, "{low} {high}");
        // Large parts often do not fit; MMClassification's mean is 0.43.
        assert!((0.41..0.45).contains(&mean(&areas)), "{}", mean(&areas));
        let (low, high) = range(&ratios);
        assert!(low > -0.31 && low < -0.27 && high < 0.31 && high > 0.27, "{low} {high}");
    }

    /// The fallback of the original, for images too long for any part.
    #[test]
    fn falls_back_to_the_middle() {
        let crop = RandomResizedCrop { max_attempts: 0, ..RandomResizedCrop::new(8) };
        let window = |shape| crop.window(shape, &mut Seed(0).stream("test", &[]));
        assert_eq!(window([100, 10]), [43, 0, 13, 10]);
        assert_eq!(window([10, 100]), [0, 43, 10, 13]);
        assert_eq!(window([30, 35]), [0, 0, 30, 35]);
        assert_eq!(window([1, 1]), [0, 0, 1, 1]);
    }

    #[test]
    fn one_pixel_is_enough() {
        let sample = Sample::new(golden::image("test", 1, 1, 3), 0, 0);
        let result = RandomResizedCrop::new(4).apply(sample, &mut Seed(0).stream("test", &[])).unwrap();
        assert_eq!(result.image.shape(), [4, 4]);
    }

    #[test]
    fn refuses_ranges_that_are_none() {
        for json in [
            r#"{"scale": 0}"#,
            r#"{"scale": 4, "crop_ratio_range": [1.0, 0.5]}"#,
            r#"{"scale": 4, "aspect_ratio_range": [0.0, 0.5]}"#,
        ] {
            assert!(serde_json::from_str::<RandomResizedCrop>(json).unwrap().check().is_err(), "{json}");
        }
    }
}

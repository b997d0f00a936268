//! Cropping a random part as EfficientNet's training does.

use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

use super::efficient_net_center_crop::centered;
use super::random_resized_crop::{Window, aspect_ratio_range, crop_ratio_range, max_attempts};
use super::sizes::{ordered, positive, resized};
use crate::resize::{Interpolation, ResizeBackend};
use crate::streams::Draw;
use crate::{Error, Result, Sample, Transform};

/// Crops a part of random ratio and height and resizes it (Tan and Le, 2019, arXiv:1905.11946).
///
/// Unlike in [`RandomResizedCrop`](crate::RandomResizedCrop), the ratio is uniform, and then the height among those
/// that keep the area in `crop_ratio_range`. Where no part fits after `max_attempts`, the one of
/// [`EfficientNetCenterCrop`](crate::EfficientNetCenterCrop) is taken.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EfficientNetRandomCrop {
    /// Height and width of the result.
    pub scale: usize,
    /// Least share of the image's area. 0.1 by default.
    #[serde(default = "min_covered")]
    pub min_covered: f64,
    /// See [`EfficientNetCenterCrop`](crate::EfficientNetCenterCrop). 32 by default.
    #[serde(default = "crop_padding")]
    pub crop_padding: usize,
    /// Share of the image's area. 0.08 to 1 by default.
    #[serde(default = "crop_ratio_range")]
    pub crop_ratio_range: (f64, f64),
    /// Width divided by height. 3/4 to 4/3 by default.
    #[serde(default = "aspect_ratio_range")]
    pub aspect_ratio_range: (f64, f64),
    /// How often a part is drawn. 10 by default.
    #[serde(default = "max_attempts")]
    pub max_attempts: u32,
    /// Bicubic by default.
    #[serde(default = "bicubic")]
    pub interpolation: Interpolation,
    /// Whose arithmetic. OpenCV's by default.
    #[serde(default)]
    pub backend: ResizeBackend,
}

const NAME: &str = "EfficientNetRandomCrop";

fn min_covered() -> f64 {
    0.1
}

pub(super) fn crop_padding() -> usize {
    32
}

pub(super) fn bicubic() -> Interpolation {
    Interpolation::Bicubic
}

impl EfficientNetRandomCrop {
    fn window(&self, [height, width]: [usize; 2], rng: &mut ChaCha8Rng) -> Window {
        let area = (height * width) as f64;
        let (least, most) = (self.crop_ratio_range.0 * area, self.crop_ratio_range.1 * area);
        for _ in 0..self.max_attempts {
            let ratio = rng.uniform_in(self.aspect_ratio_range);
            let high = |area: f64| (area / ratio).sqrt().round_ties_even();
            let mut tallest = high(most);
            if tallest * ratio > width as f64 {
                tallest = ((width as f64 + 0.5 - 1e-7) / ratio).floor();
                if tallest * ratio > width as f64 {
                    tallest -= 1.0;
                }
            }
            let tallest = tallest.min(height as f64);
            let shortest = high(least).min(tallest);
            let high = rng.uniform_in((shortest, tallest)).round_ties_even();
            let wide = (high * ratio).round_ties_even();
            let part = high * wide;
            let fits = (1.0..=height as f64).contains(&high) && (1.0..=width as f64).contains(&wide);
            if fits && part >= least && part <= most && part >= self.min_covered * area {
                let (high, wide) = (high as usize, wide as usize);
                return [rng.below(height - high + 1), rng.below(width - wide + 1), high, wide];
            }
        }
        centered([height, width], self.scale, self.crop_padding)
    }
}

impl Transform for EfficientNetRandomCrop {
    fn apply(&self, sample: Sample, rng: &mut ChaCha8Rng) -> Result<Sample> {
        let [top, left, height, width] = self.window(sample.image.shape(), rng);
        let part = sample.image.crop(top, left, height, width);
        let image = resized(NAME, &part, [self.scale; 2], self.interpolation, self.backend)?;
        Ok(Sample { image, ..sample })
    }

    fn check(&self) -> Result<()> {
        self.backend.check(NAME, self.interpolation)?;
        positive(NAME, "scale", &[self.scale])?;
        if !(self.min_covered >= 0.0) {
            return Err(Error::argument(NAME, "`min_covered` must be 0 or above"));
        }
        ordered(NAME, "crop_ratio_range", self.crop_ratio_range, 0.0)?;
        ordered(NAME, "aspect_ratio_range", self.aspect_ratio_range, f64::MIN_POSITIVE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Seed;

    #[test]
    fn parts_fit_and_cover_enough() {
        let crop: EfficientNetRandomCrop =
            serde_json::from_str(r#"{"scale": 224, "min_covered": 0.2}"#).unwrap();
        let mut areas = vec![];
        for index in 0..2000 {
            let [top, left, height, width] = crop.window([300, 400], &mut Seed(3).stream("test", &[index]));
            assert!(top + height <= 300 && left + width <= 400);
            areas.push((height * width) as f64 / 120_000.0);
        }
        assert!(areas.iter().all(|&area| (0.2..=1.0).contains(&area)));
        assert!(areas.iter().any(|&area| area < 0.25) && areas.iter().any(|&area| area > 0.85));
        for shape in [[1, 1], [1, 50], [50, 1]] {
            let [top, left, height, width] = crop.window(shape, &mut Seed(3).stream("test", &[]));
            assert!(top + height <= shape[0] && left + width <= shape[1] && height > 0 && width > 0);
        }
    }
}

//! Cropping the middle as EfficientNet's testing does.

use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

use super::efficient_net_random_crop::{bicubic, crop_padding};
use super::random_resized_crop::Window;
use super::sizes::{positive, resized};
use crate::resize::{Interpolation, ResizeBackend};
use crate::{Result, Sample, Transform};

/// Crops a square of `crop_size / (crop_size + crop_padding)` of the shorter side out of the middle, and resizes it to
/// `crop_size` (Tan and Le, 2019, arXiv:1905.11946).
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EfficientNetCenterCrop {
    /// Height and width of the result.
    pub crop_size: usize,
    /// 32 by default.
    #[serde(default = "crop_padding")]
    pub crop_padding: usize,
    /// Bicubic by default.
    #[serde(default = "bicubic")]
    pub interpolation: Interpolation,
    /// Whose arithmetic. OpenCV's by default.
    #[serde(default)]
    pub backend: ResizeBackend,
}

const NAME: &str = "EfficientNetCenterCrop";

/// The square in the middle. Its size is no whole number; MMCV rounds down where its last row and column end.
pub(super) fn centered([height, width]: [usize; 2], size: usize, padding: usize) -> Window {
    let side = size as f64 / (size.saturating_add(padding)) as f64 * height.min(width) as f64;
    let span = |len: usize| {
        let start = ((len as f64 - side) / 2.0).round_ties_even().max(0.0);
        let last = ((start + side - 1.0) as usize).min(len - 1);
        (start as usize, (last + 1).saturating_sub(start as usize).max(1))
    };
    let ((top, high), (left, wide)) = (span(height), span(width));
    [top, left, high, wide]
}

impl Transform for EfficientNetCenterCrop {
    fn apply(&self, sample: Sample, _: &mut ChaCha8Rng) -> Result<Sample> {
        let [top, left, height, width] = centered(sample.image.shape(), self.crop_size, self.crop_padding);
        let part = sample.image.crop(top, left, height, width);
        let image = resized(NAME, &part, [self.crop_size; 2], self.interpolation, self.backend)?;
        Ok(Sample { image, ..sample })
    }

    fn check(&self) -> Result<()> {
        self.backend.check(NAME, self.interpolation)?;
        positive(NAME, "crop_size", &[self.crop_size])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shapes of the parts that MMClassification's `EfficientNetCenterCrop` resizes, and where they begin.
    #[test]
    fn parts_are_those_of_mmcls() {
        assert_eq!(centered([375, 500], 224, 32), [23, 86, 328, 328]);
        assert_eq!(centered([100, 99], 224, 32), [7, 6, 86, 86]);
        assert_eq!(centered([256, 256], 224, 32), [16, 16, 224, 224]);
        assert_eq!(centered([1, 1], 224, 32), [0, 0, 1, 1]);
    }
}

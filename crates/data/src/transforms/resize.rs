//! Resizing.

use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

use super::sizes::{positive, resized};
use crate::resize::{Interpolation, ResizeBackend};
use crate::{Error, OneOrPair, Result, Sample, Transform};

/// Resizes the image to a size, or by a factor.
///
/// With `keep_ratio`, the image becomes as large as fits into `scale`, whose larger number bounds the longer side:
/// both sides are multiplied by the same factor and rounded.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Resize {
    /// Width and height, or a number for both. Goes before `scale_factor`.
    pub scale: Option<OneOrPair>,
    /// The factor of width and height, or one for both.
    pub scale_factor: Option<Factor>,
    /// Whether the ratio of the sides stays. False by default.
    pub keep_ratio: bool,
    /// Accepted without effect: there are no objects with borders.
    #[serde(rename = "clip_object_border")]
    pub _clip_object_border: bool,
    /// Whose arithmetic. OpenCV's by default.
    pub backend: ResizeBackend,
    /// Bilinear by default.
    pub interpolation: Interpolation,
}

/// One factor for both sides, or one for each.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(untagged, expecting = "a number or a pair of them")]
pub enum Factor {
    /// Both are equal.
    One(f64),
    /// Of the width and of the height.
    Pair(f64, f64),
}

impl Factor {
    fn pair(self) -> (f64, f64) {
        match self {
            Self::One(both) => (both, both),
            Self::Pair(width, height) => (width, height),
        }
    }
}

impl Default for Resize {
    fn default() -> Self {
        Self {
            scale: None,
            scale_factor: None,
            keep_ratio: false,
            _clip_object_border: true,
            backend: ResizeBackend::default(),
            interpolation: Interpolation::default(),
        }
    }
}

const NAME: &str = "Resize";

impl Resize {
    /// Height and width of the result.
    fn size(&self, [height, width]: [usize; 2]) -> [usize; 2] {
        let times = |side: usize, factor: f64| (side as f64 * factor + 0.5) as usize;
        let (wide, high) = match (self.scale, self.scale_factor.map(Factor::pair)) {
            (Some(scale), _) => scale.pair(),
            (None, Some((x, y))) => (times(width, x), times(height, y)),
            (None, None) => (width, height),
        };
        if !self.keep_ratio {
            return [high, wide];
        }
        let (long, short) = (wide.max(high) as f64, wide.min(high) as f64);
        let factor = (long / height.max(width) as f64).min(short / height.min(width) as f64);
        [times(height, factor), times(width, factor)]
    }
}

impl Transform for Resize {
    fn apply(&self, sample: Sample, _: &mut ChaCha8Rng) -> Result<Sample> {
        let size = self.size(sample.image.shape());
        let image = resized(NAME, &sample.image, size, self.interpolation, self.backend)?;
        Ok(Sample { image, ..sample })
    }

    fn check(&self) -> Result<()> {
        self.backend.check(NAME, self.interpolation)?;
        let wrong = |detail: &str| Err(Error::argument(NAME, detail));
        match (self.scale, self.scale_factor.map(Factor::pair)) {
            (None, None) => wrong("one of `scale` and `scale_factor` must be given"),
            (Some(scale), _) => positive(NAME, "scale", &[scale.pair().0, scale.pair().1]),
            (None, Some((x, y))) if x.is_finite() && y.is_finite() && x > 0.0 && y > 0.0 => Ok(()),
            _ => wrong("`scale_factor` must be above 0"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(json: &str, shape: [usize; 2]) -> [usize; 2] {
        let resize: Resize = serde_json::from_str(json).unwrap();
        resize.check().unwrap();
        resize.size(shape)
    }

    /// `mmcv.transforms.Resize` gives these shapes.
    #[test]
    fn sizes_are_those_of_mmcv() {
        assert_eq!(size(r#"{"scale": 224}"#, [375, 500]), [224, 224]);
        assert_eq!(size(r#"{"scale": [300, 200]}"#, [375, 500]), [200, 300]);
        assert_eq!(size(r#"{"scale": [300, 200], "keep_ratio": true}"#, [375, 500]), [200, 267]);
        assert_eq!(size(r#"{"scale": [200, 300], "keep_ratio": true}"#, [500, 375]), [267, 200]);
        assert_eq!(size(r#"{"scale_factor": 0.5}"#, [375, 500]), [188, 250]);
        assert_eq!(size(r#"{"scale_factor": [2.0, 0.1]}"#, [10, 10]), [1, 20]);
    }

    #[test]
    fn refuses_what_makes_no_sense() {
        for json in [
            "{}",
            r#"{"scale": 0}"#,
            r#"{"scale_factor": 0.0}"#,
            r#"{"scale": 4, "interpolation": "area", "backend": "pillow"}"#,
            r#"{"scale": 4, "interpolation": "box"}"#,
        ] {
            assert!(serde_json::from_str::<Resize>(json).unwrap().check().is_err(), "{json}");
        }
    }
}

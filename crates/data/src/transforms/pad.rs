//! Padding at the right and bottom.

use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

use super::padding::{Axis, gather};
use super::sizes::positive;
use crate::{Error, Image, PadValue, PaddingMode, Result, Sample, Transform};

/// Pads the image at the right and bottom: to a size, to a square, to multiples of a number.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pad {
    /// Width and height to reach; larger images stay.
    pub size: Option<(usize, usize)>,
    /// Both sides become multiples of this.
    pub size_divisor: Option<usize>,
    /// Whether the shorter side becomes as long as the longer one. False by default.
    pub pad_to_square: bool,
    /// The value of constant padding; 0 by default. A dict names it `img`.
    pub pad_val: PadVal,
    /// What to pad with. Constant by default.
    pub padding_mode: PaddingMode,
}

/// The value to pad with.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged, expecting = "a number, a list with one for each channel, or a dict with `img`")]
pub enum PadVal {
    /// Of the image.
    Image(PadValue),
    /// Of the image and of its map of classes, which there is none of here.
    Each {
        /// Of the image.
        img: PadValue,
        /// Accepted without effect.
        #[serde(default, rename = "seg")]
        _seg: Option<i64>,
    },
}

impl Default for Pad {
    fn default() -> Self {
        Self {
            size: None,
            size_divisor: None,
            pad_to_square: false,
            pad_val: PadVal::Image(PadValue::One(0.0)),
            padding_mode: PaddingMode::Constant,
        }
    }
}

const NAME: &str = "Pad";

impl Pad {
    pub(super) fn padded(&self, image: &Image) -> Result<Image> {
        let [height, width] = image.shape();
        let (mut high, mut wide) = match self.size {
            Some((wide, high)) => (high.max(height), wide.max(width)),
            None if self.pad_to_square => (height.max(width), height.max(width)),
            None => (height, width),
        };
        if let Some(divisor) = self.size_divisor {
            // What is too long for a number is too long for an image, which padding says.
            high = high.checked_next_multiple_of(divisor).unwrap_or(usize::MAX);
            wide = wide.checked_next_multiple_of(divisor).unwrap_or(usize::MAX);
        }
        let axis = |len, to: usize| Axis::new(len).pad(NAME, 0, to - len, self.padding_mode);
        let value = match &self.pad_val {
            PadVal::Image(value) | PadVal::Each { img: value, .. } => value,
        };
        let pixel = value.pixel(NAME, image.channels())?;
        gather(image, &axis(height, high)?, &axis(width, wide)?, &pixel)
    }
}

impl Transform for Pad {
    fn apply(&self, sample: Sample, _: &mut ChaCha8Rng) -> Result<Sample> {
        self.check()?;
        Ok(Sample { image: self.padded(&sample.image)?, ..sample })
    }

    fn check(&self) -> Result<()> {
        let wrong = |detail: &str| Err(Error::argument(NAME, detail));
        match (self.size, self.size_divisor, self.pad_to_square) {
            (Some(_), _, true) => return wrong("`size` and `pad_to_square` exclude each other"),
            (Some(_), Some(_), false) => return wrong("`size` and `size_divisor` exclude each other"),
            (None, None, false) => {
                return wrong("one of `size`, `size_divisor` and `pad_to_square` must be given");
            }
            _ => {}
        }
        positive(NAME, "size_divisor", &[self.size_divisor.unwrap_or(1)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(json: &str) -> [usize; 2] {
        let pad: Pad = serde_json::from_str(json).unwrap();
        pad.check().unwrap();
        pad.padded(&Image::new(5, 7, 1, (0..35).collect()).unwrap()).unwrap().shape()
    }

    #[test]
    fn pads_to_sizes_squares_and_multiples() {
        assert_eq!(shape(r#"{"size": [10, 4]}"#), [5, 10]);
        assert_eq!(shape(r#"{"size_divisor": 4}"#), [8, 8]);
        assert_eq!(shape(r#"{"pad_to_square": true}"#), [7, 7]);
        assert_eq!(shape(r#"{"pad_to_square": true, "size_divisor": 5}"#), [10, 10]);
        let pad: Pad =
            serde_json::from_str(r#"{"size": [3, 2], "pad_val": {"img": 9, "seg": 255}}"#).unwrap();
        let padded = pad.padded(&Image::new(1, 2, 1, vec![1, 2]).unwrap()).unwrap();
        assert_eq!(padded.pixels(), [1, 2, 9, 9, 9, 9]);
        for json in ["{}", r#"{"size": [1, 1], "size_divisor": 2}"#, r#"{"size_divisor": 0}"#] {
            assert!(serde_json::from_str::<Pad>(json).unwrap().check().is_err());
        }
        let huge: Pad = serde_json::from_str(r#"{"size_divisor": 18446744073709551615}"#).unwrap();
        assert!(huge.padded(&Image::new(1, 2, 1, vec![1, 2]).unwrap()).is_err());
    }
}

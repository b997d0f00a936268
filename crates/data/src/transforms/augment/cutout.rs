//! Covering a part of the image.

use rand_chacha::ChaCha8Rng;

use super::{Augmentation, Draws, augmentation, grey};
use crate::streams::Draw;
use crate::{Error, Image, OneOrPair, PadValue, Result};

augmentation! {
    /// Covers a rectangle whose middle is anywhere in the image (DeVries and Taylor, 2017, arXiv:1708.04552).
    ///
    /// Draws the row, then the column of the middle. A rectangle that begins outside is moved inside, one that ends
    /// outside is cut.
    pub struct Cutout {
        /// Height and width of the rectangle, or a number for both.
        #[serde(default)]
        pub shape: Option<OneOrPair>,
        /// The color, of all channels or of each. 128 by default.
        #[serde(default = "grey")]
        pub pad_val: PadValue,
    }
}

impl Augmentation for Cutout {
    const NAME: &'static str = "Cutout";
    const MAGNITUDE: Option<&'static str> = Some("shape");
    const SIGNED: bool = false;

    fn draws(&self) -> Draws<'_> {
        self.common()
    }

    fn given(&self) -> Option<f64> {
        self.shape.map(|shape| shape.pair().0 as f64)
    }

    fn change(&self, mut image: Image, magnitude: f64, rng: &mut ChaCha8Rng) -> Result<Image> {
        let side = magnitude.max(0.0) as usize;
        let (high, wide) = self.shape.map_or((side, side), OneOrPair::pair);
        let [height, width] = image.shape();
        let mut start = |len: usize, side: usize| {
            let middle = rng.uniform_in((0.0, len as f64));
            (middle - side as f64 / 2.0).max(0.0) as usize
        };
        let (top, left) = (start(height, high), start(width, wide));
        let channels = image.channels();
        let color = self.pad_val.pixel(Self::NAME, channels)?;
        let columns = left * channels..left.saturating_add(wide).min(width) * channels;
        for row in image.rows_mut().skip(top).take(high) {
            for pixel in row.get_mut(columns.clone()).unwrap_or_default().chunks_exact_mut(channels) {
                pixel.copy_from_slice(&color);
            }
        }
        Ok(image)
    }

    fn check_own(&self) -> Result<()> {
        match self.magnitude_range {
            Some((start, end)) if start < 0.0 || end < 0.0 => {
                Err(Error::argument(Self::NAME, "`magnitude_range` must be 0 or above"))
            }
            _ => Ok(()),
        }
    }
}

//! Images in memory.

use serde::Deserialize;

use crate::{Error, Result};

/// An image of 8-bit samples, height x width x channels, row by row.
#[derive(Clone, PartialEq, Eq)]
pub struct Image {
    height: usize,
    width: usize,
    channels: usize,
    pixels: Vec<u8>,
}

/// How an image is mirrored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FlipDirection {
    /// Left and right change places.
    Horizontal,
    /// Top and bottom change places.
    Vertical,
    /// Both: a rotation by half a turn.
    Diagonal,
}

impl Image {
    /// An image over `pixels`.
    ///
    /// # Errors
    /// A size is 0, or `pixels` has not `height * width * channels` elements.
    pub fn new(height: usize, width: usize, channels: usize, pixels: Vec<u8>) -> Result<Self> {
        let size = height.checked_mul(width).and_then(|n| n.checked_mul(channels));
        if size != Some(pixels.len()) || pixels.is_empty() {
            return Err(Error::Image(format!("{height} x {width} x {channels} over {} bytes", pixels.len())));
        }
        Ok(Self { height, width, channels, pixels })
    }

    /// An image that is still in its file: all sizes are 0. [`LoadImageFromFile`](crate::LoadImageFromFile) puts the
    /// decoded one in its place.
    pub fn unloaded() -> Self {
        Self { height: 0, width: 0, channels: 0, pixels: vec![] }
    }

    /// Whether there are pixels.
    pub fn is_loaded(&self) -> bool {
        !self.pixels.is_empty()
    }

    /// Number of rows; at least 1, as all sizes, of an image that is loaded.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Number of columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Samples a pixel.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Height and width.
    pub fn shape(&self) -> [usize; 2] {
        [self.height, self.width]
    }

    /// The samples, row by row, the channels of a pixel together.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// The samples, to be changed in place.
    pub fn pixels_mut(&mut self) -> &mut [u8] {
        &mut self.pixels
    }

    /// The rows, `width * channels` samples each.
    pub fn rows(&self) -> std::slice::ChunksExact<'_, u8> {
        self.pixels.chunks_exact((self.width * self.channels).max(1))
    }

    /// The rows, to be changed in place.
    pub fn rows_mut(&mut self) -> std::slice::ChunksExactMut<'_, u8> {
        self.pixels.chunks_exact_mut((self.width * self.channels).max(1))
    }

    /// The image with rows and columns exchanged.
    #[must_use]
    pub fn transposed(&self) -> Self {
        let mut pixels = Vec::with_capacity(self.pixels.len());
        for x in 0..self.width {
            let at = x * self.channels;
            for row in self.rows() {
                pixels.extend_from_slice(row.get(at..at + self.channels).unwrap_or_default());
            }
        }
        Self { height: self.width, width: self.height, channels: self.channels, pixels }
    }

    /// The part of `height` rows and `width` columns from row `top` and column `left` on, or as much of it as there
    /// is; never less than one pixel of a loaded image.
    #[must_use]
    pub fn crop(&self, top: usize, left: usize, height: usize, width: usize) -> Self {
        let (top, left) = (top.min(self.height.saturating_sub(1)), left.min(self.width.saturating_sub(1)));
        let (height, width) = (height.max(1).min(self.height - top), width.max(1).min(self.width - left));
        let columns = left * self.channels..(left + width) * self.channels;
        let mut pixels = Vec::with_capacity(height * width * self.channels);
        for row in self.rows().skip(top).take(height) {
            pixels.extend_from_slice(row.get(columns.clone()).unwrap_or_default());
        }
        Self { height, width, channels: self.channels, pixels }
    }

    /// Row `y`; empty past the last one.
    pub fn row(&self, y: usize) -> &[u8] {
        self.rows().nth(y).unwrap_or_default()
    }

    /// Mirrors the image in place.
    pub fn flip(&mut self, direction: FlipDirection) {
        match direction {
            FlipDirection::Horizontal => {
                let channels = self.channels;
                for row in self.rows_mut() {
                    reverse_pixels(row, channels);
                }
            }
            FlipDirection::Vertical => {
                let stride = (self.width * self.channels).max(1);
                let (upper, lower) = self.pixels.split_at_mut(self.height / 2 * stride);
                for (a, b) in upper.chunks_exact_mut(stride).zip(lower.rchunks_exact_mut(stride)) {
                    a.swap_with_slice(b);
                }
            }
            FlipDirection::Diagonal => reverse_pixels(&mut self.pixels, self.channels),
        }
    }
}

/// Reverses the order of pixels, not that of the samples in each.
fn reverse_pixels(samples: &mut [u8], channels: usize) {
    samples.reverse();
    if channels > 1 {
        samples.chunks_exact_mut(channels).for_each(<[u8]>::reverse);
    }
}

impl std::fmt::Debug for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "image[{}, {}, {}]", self.height, self.width, self.channels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 3 x 2, pixels named `(10 y + x, 100 + 10 y + x)`.
    fn image() -> Image {
        let pixels = (0..3).flat_map(|y| (0..2).flat_map(move |x| [10 * y + x, 100 + 10 * y + x]));
        Image::new(3, 2, 2, pixels.collect()).unwrap()
    }

    #[test]
    fn flips_keep_channels_together() {
        let cases = [
            (FlipDirection::Horizontal, [1, 101, 0, 100, 11, 111, 10, 110, 21, 121, 20, 120]),
            (FlipDirection::Vertical, [20, 120, 21, 121, 10, 110, 11, 111, 0, 100, 1, 101]),
            (FlipDirection::Diagonal, [21, 121, 20, 120, 11, 111, 10, 110, 1, 101, 0, 100]),
        ];
        for (direction, expected) in cases {
            let mut flipped = image();
            flipped.flip(direction);
            assert_eq!(flipped.pixels(), expected, "{direction:?}");
            flipped.flip(direction);
            assert_eq!(flipped, image());
        }
    }

    #[test]
    fn crops_what_there_is() {
        assert_eq!(image().crop(1, 1, 5, 5).pixels(), [11, 111, 21, 121]);
        assert_eq!(image().crop(9, 9, 0, 0).pixels(), [21, 121]);
        assert_eq!(image().crop(0, 0, 1, 1).shape(), [1, 1]);
        assert_eq!(image().transposed().pixels(), [0, 100, 10, 110, 20, 120, 1, 101, 11, 111, 21, 121]);
        let mut unloaded = Image::unloaded();
        unloaded.flip(FlipDirection::Vertical);
        assert_eq!(unloaded.crop(0, 0, 1, 1), Image::unloaded());
    }

    #[test]
    fn refuses_sizes_that_do_not_fit() {
        assert!(Image::new(2, 2, 1, vec![0; 3]).is_err());
        assert!(Image::new(0, 2, 1, vec![]).is_err());
        assert!(Image::new(usize::MAX, 2, 1, vec![0]).is_err());
        assert_eq!(image().row(1), [10, 110, 11, 111]);
        assert!(image().row(3).is_empty());
    }
}

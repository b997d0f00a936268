//! From the bytes of an image file to pixels, as OpenCV's `imdecode` gives them.
//!
//! The format is found by content, never by the name: JPEG, PNG, WebP, BMP and PNM. Sizes are checked on the header,
//! before memory is taken.

mod jpeg;
mod raster;

use std::fs::File;
use std::io::Read;
use std::path::Path;

use ::image::metadata::Orientation;
use serde::Deserialize;

use crate::{Error, FlipDirection, Image, Result};

/// Which samples a decoded image has (`color_type` of `LoadImageFromFile`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColorType {
    /// Blue, green, red: grey images are repeated, transparency is dropped. Turned upright by the Exif orientation.
    #[default]
    Color,
    /// One channel, turned upright.
    Grayscale,
    /// As in the file: one channel, blue-green-red, or these with transparency; never turned.
    Unchanged,
    /// As `Color`, never turned.
    ColorIgnoreOrientation,
    /// As `Grayscale`, never turned.
    GrayscaleIgnoreOrientation,
}

/// Whose habits decoding follows (`imdecode_backend` of `LoadImageFromFile`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DecodeBackend {
    /// OpenCV.
    #[default]
    Cv2,
    /// Pillow as MMCV calls it: grey images with transparency are laid over the color (124, 117, 104), and grey is
    /// computed from red, green and blue with 16 bits. JPEG differs from OpenCV's in CMYK images only.
    Pillow,
    /// libjpeg-turbo as MMCV calls it: the orientation is ignored.
    TurboJpeg,
}

/// Most pixels of an image: 2^27, which decode to 400 MB. A header that announces more is refused before memory is
/// taken.
pub const MAX_PIXELS: u64 = 1 << 27;

/// Largest file that is read at all.
const MAX_FILE: u64 = 1 << 30;

/// Reads and decodes the image file at `path`.
///
/// # Errors
/// The file cannot be read, is empty, is no image of a known format, announces more than [`MAX_PIXELS`], or is cut
/// short or damaged. Every error names the file.
pub fn read(path: &Path, color: ColorType, backend: DecodeBackend) -> Result<Image> {
    let unreadable = |source| Error::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    let length = file.metadata().map_err(unreadable)?.len();
    if length > MAX_FILE {
        return Err(corrupt(path, format!("{length} bytes are too many for an image")));
    }
    file.take(MAX_FILE).read_to_end(&mut bytes).map_err(unreadable)?;
    decode(&bytes, color, backend).map_err(|detail| corrupt(path, detail))
}

fn corrupt(path: &Path, detail: String) -> Error {
    Error::Corrupt { path: path.to_owned(), detail }
}

/// Decodes the content of an image file.
///
/// # Errors
/// Says why `bytes` is no image that can be decoded.
pub fn decode(bytes: &[u8], color: ColorType, backend: DecodeBackend) -> Result<Image, String> {
    if bytes.is_empty() {
        return Err("the file is empty".to_owned());
    }
    let gray = matches!(color, ColorType::Grayscale | ColorType::GrayscaleIgnoreOrientation);
    let upright =
        matches!(color, ColorType::Color | ColorType::Grayscale) && backend != DecodeBackend::TurboJpeg;
    let (image, orientation) = if bytes.starts_with(&[0xff, 0xd8]) {
        jpeg::decode(bytes, gray, color == ColorType::Unchanged)?
    } else {
        raster::decode(bytes, color, backend)?
    };
    Ok(if upright { turn(image, orientation) } else { image })
}

/// Refuses sizes of 0 and above [`MAX_PIXELS`].
fn check_size(width: u64, height: u64) -> Result<(), String> {
    match width.checked_mul(height) {
        Some(1..=MAX_PIXELS) => Ok(()),
        Some(0) => Err(format!("the header announces {width} x {height} pixels")),
        _ => Err(format!(
            "the header announces {width} x {height} pixels, more than the {MAX_PIXELS} that are decoded; make the \
             image smaller if that is its true size"
        )),
    }
}

/// The image as the Exif orientation wants it to be seen.
fn turn(mut image: Image, orientation: Orientation) -> Image {
    let transposed = matches!(
        orientation,
        Orientation::Rotate90
            | Orientation::Rotate270
            | Orientation::Rotate90FlipH
            | Orientation::Rotate270FlipH
    );
    if transposed {
        image = image.transposed();
    }
    let flip = match orientation {
        Orientation::NoTransforms | Orientation::Rotate90FlipH => return image,
        Orientation::FlipHorizontal | Orientation::Rotate90 => FlipDirection::Horizontal,
        Orientation::FlipVertical | Orientation::Rotate270 => FlipDirection::Vertical,
        Orientation::Rotate180 | Orientation::Rotate270FlipH => FlipDirection::Diagonal,
    };
    image.flip(flip);
    image
}

/// Grey of red, green and blue with the weights of ITU-R BT.601 in 14 bits, rounded: OpenCV's decoders.
fn gray(red: u8, green: u8, blue: u8) -> u8 {
    let sum = 4899 * u32::from(red) + 9617 * u32::from(green) + 1868 * u32::from(blue);
    ((sum + (1 << 13)) >> 14) as u8
}

/// As [`gray`] with 15 bits: OpenCV's `cvtColor`.
pub(crate) fn gray15(red: u8, green: u8, blue: u8) -> u8 {
    let sum = 9798 * u32::from(red) + 19235 * u32::from(green) + 3735 * u32::from(blue);
    ((sum + (1 << 14)) >> 15) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_as_exif_says() {
        // 0 1 2
        // 3 4 5
        let image = || Image::new(2, 3, 1, (0..6).collect()).unwrap();
        let cases: [(u8, [usize; 2], [u8; 6]); 8] = [
            (1, [2, 3], [0, 1, 2, 3, 4, 5]),
            (2, [2, 3], [2, 1, 0, 5, 4, 3]),
            (3, [2, 3], [5, 4, 3, 2, 1, 0]),
            (4, [2, 3], [3, 4, 5, 0, 1, 2]),
            (5, [3, 2], [0, 3, 1, 4, 2, 5]),
            (6, [3, 2], [3, 0, 4, 1, 5, 2]),
            (7, [3, 2], [5, 2, 4, 1, 3, 0]),
            (8, [3, 2], [2, 5, 1, 4, 0, 3]),
        ];
        for (exif, shape, pixels) in cases {
            let turned = turn(image(), Orientation::from_exif(exif).unwrap());
            assert_eq!((turned.shape(), turned.pixels()), (shape, pixels.as_slice()), "orientation {exif}");
        }
    }

    #[test]
    fn refuses_absurd_sizes() {
        assert!(check_size(1, 1).is_ok());
        assert!(check_size(0, 5).is_err());
        assert!(check_size(1 << 27, 1).is_ok());
        assert!(check_size((1 << 27) + 1, 1).is_err());
        assert!(check_size(u64::MAX, 2).is_err());
    }
}

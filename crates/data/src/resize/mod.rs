//! Changing the size of an image, in the arithmetic of OpenCV or of Pillow.

pub(crate) mod coefficients;
mod cv2;
mod cv2_area;
mod pillow;

use serde::Deserialize;

use crate::decode::MAX_PIXELS;
use crate::{Error, Image, Result};

/// How pixels between pixels are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Interpolation {
    /// The pixel at the rounded down place.
    Nearest,
    /// Weights of a triangle.
    #[default]
    Bilinear,
    /// Weights of a cubic: OpenCV's with `a = -0.75`, Pillow's with `-0.5`.
    Bicubic,
    /// The mean of the area that a pixel covers; enlarging, nearly bilinear. OpenCV alone.
    Area,
    /// Weights of a windowed sinc: 4 lobes in OpenCV, 3 in Pillow.
    Lanczos,
    /// The mean of the pixels covered. Pillow alone.
    Box,
    /// Weights of a Hamming window. Pillow alone.
    Hamming,
}

/// Whose arithmetic changes sizes.
///
/// OpenCV takes samples at the places of the new pixels, Pillow means over the area that a new pixel covers, so that
/// small images look smoother.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResizeBackend {
    /// OpenCV.
    #[default]
    Cv2,
    /// Pillow.
    Pillow,
}

impl ResizeBackend {
    /// Checks that `interpolation` is one of this backend.
    ///
    /// # Errors
    /// It is the other's.
    pub fn check(self, component: &'static str, interpolation: Interpolation) -> Result<()> {
        let other = match self {
            Self::Cv2 => matches!(interpolation, Interpolation::Box | Interpolation::Hamming),
            Self::Pillow => interpolation == Interpolation::Area,
        };
        if other {
            let detail = format!("`interpolation` {interpolation:?} is none of `backend` {self:?}");
            return Err(Error::argument(component, detail.to_lowercase()));
        }
        Ok(())
    }
}

/// `image` with `height` rows and `width` columns.
///
/// | backend | interpolation | equal to the original |
/// |---|---|---|
/// | OpenCV 4.11 | nearest, bilinear, area, lanczos | bit for bit |
/// | OpenCV 4.11 | bicubic | but for 1 of 10,000 samples, by 1 |
/// | Pillow 13 | all | bit for bit |
///
/// # Errors
/// `image` is not loaded, a size is 0 or the result too large, or the interpolation is not one of the backend.
pub fn resize(
    image: &Image,
    height: usize,
    width: usize,
    interpolation: Interpolation,
    backend: ResizeBackend,
) -> Result<Image> {
    backend.check("resize", interpolation)?;
    let pixels = height.checked_mul(width).map_or(u64::MAX, |pixels| pixels as u64);
    if !image.is_loaded() || pixels == 0 || pixels > MAX_PIXELS {
        return Err(Error::Image(format!("cannot resize an {image:?} to {height} x {width}")));
    }
    if image.shape() == [height, width] {
        return Ok(image.clone());
    }
    let size = [height, width];
    let pixels = match backend {
        ResizeBackend::Cv2 => cv2::resize(image, size, interpolation),
        ResizeBackend::Pillow => pillow::resize(image, size, interpolation),
    };
    Image::new(height, width, image.channels(), pixels)
}

/// The pixels at the given rows and columns of `image`.
fn pick(image: &Image, rows: &[usize], columns: &[usize]) -> Vec<u8> {
    let channels = image.channels();
    let mut pixels = Vec::with_capacity(rows.len() * columns.len() * channels);
    for &y in rows {
        let row = image.row(y);
        for &x in columns {
            pixels.extend_from_slice(row.get(x * channels..(x + 1) * channels).unwrap_or_default());
        }
    }
    pixels
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden;

    #[derive(Deserialize)]
    struct Args {
        size: [usize; 3],
        interpolation: Interpolation,
    }

    fn check(file: &str, backend: ResizeBackend) {
        for golden::Case { args, image: expected } in golden::cases::<Args>(file) {
            let [height, width, channels] = args.size;
            let source = golden::image("resize", height, width, channels);
            let result =
                resize(&source, expected.height(), expected.width(), args.interpolation, backend).unwrap();
            let (most, share) = golden::difference(&result, &expected);
            let to = expected.shape();
            let bound = match (backend, args.interpolation) {
                (ResizeBackend::Cv2, Interpolation::Bicubic) => (1, 2e-4),
                _ => (0, 0.0),
            };
            assert!(
                most <= bound.0 && share <= bound.1,
                "{backend:?} {:?} {:?} to {to:?}: {most} {share}",
                args.interpolation,
                args.size
            );
        }
    }

    #[test]
    fn equals_opencv() {
        check("resize_cv2", ResizeBackend::Cv2);
    }

    #[test]
    fn equals_pillow() {
        check("resize_pillow", ResizeBackend::Pillow);
    }

    #[test]
    fn refuses_what_it_cannot_do() {
        let image = golden::image("resize", 2, 2, 1);
        let resize =
            |height, width| resize(&image, height, width, Interpolation::Bilinear, ResizeBackend::Cv2);
        assert!(resize(0, 3).is_err() && resize(1 << 40, 1 << 40).is_err() && resize(usize::MAX, 1).is_err());
        assert!(ResizeBackend::Cv2.check("Resize", Interpolation::Box).is_err());
        let message = ResizeBackend::Pillow.check("Resize", Interpolation::Area).unwrap_err().to_string();
        assert!(message.contains("`interpolation` area is none of `backend` pillow"), "{message}");
    }
}

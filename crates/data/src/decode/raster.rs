//! PNG, WebP, BMP and PNM.

use std::io::Cursor;

use ::image::metadata::Orientation;
use ::image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};

use super::{ColorType, DecodeBackend, MAX_PIXELS, check_size};
use crate::Image;

/// What MMCV lays under a grey image with transparency where Pillow decodes it: red, green, blue.
const CANVAS: [u8; 3] = [124, 117, 104];

/// The image and its orientation.
pub(super) fn decode(
    bytes: &[u8],
    color: ColorType,
    backend: DecodeBackend,
) -> Result<(Image, Orientation), String> {
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|e| e.to_string())?;
    let Some(format) = reader.format() else {
        return Err("the content is no JPEG, PNG, WebP, BMP or PNM".to_owned());
    };
    let broken = |error| match error {
        ::image::ImageError::Unsupported(_) => {
            format!("{format:?} images are not read; convert the file to JPEG or PNG")
        }
        error => format!("the {format:?} cannot be decoded ({error})"),
    };
    let mut decoder = reader.into_decoder().map_err(broken)?;
    let (width, height) = decoder.dimensions();
    check_size(width.into(), height.into())?;
    let mut limits = Limits::no_limits();
    // Up to 16 bits of four channels, and as much for the decoder.
    limits.max_alloc = Some(16 * MAX_PIXELS);
    decoder.set_limits(limits).map_err(broken)?;
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let image = DynamicImage::from_decoder(decoder).map_err(broken)?;

    let (channels, samples) = bytes_of(image);
    let gray_wanted = matches!(color, ColorType::Grayscale | ColorType::GrayscaleIgnoreOrientation);
    let pillow = backend == DecodeBackend::Pillow;
    let (pixels, channels): (Vec<u8>, usize) = match (color, channels) {
        (ColorType::Unchanged, 1) => (samples, 1),
        (ColorType::Unchanged, 4) => {
            let pixels = samples.as_chunks::<4>().0.iter();
            (pixels.flat_map(|&[r, g, b, a]| [b, g, r, a]).collect(), 4)
        }
        // OpenCV has no images of two channels.
        (ColorType::Unchanged, 2) => {
            let pixels = samples.as_chunks::<2>().0.iter();
            (pixels.flat_map(|&[grey, alpha]| [grey, grey, grey, alpha]).collect(), 4)
        }
        _ => {
            let rgb = samples.chunks_exact(channels).map(|pixel| match *pixel {
                [grey, alpha] if pillow => CANVAS.map(|under| over(grey, under, alpha)),
                [red, green, blue] | [red, green, blue, _] => [red, green, blue],
                _ => [pixel.first().copied().unwrap_or_default(); 3],
            });
            if gray_wanted {
                let grey = match format {
                    _ if pillow => gray_of_pillow,
                    ImageFormat::Png => gray_of_png,
                    ImageFormat::WebP => super::gray15,
                    _ => super::gray,
                };
                (rgb.map(|[red, green, blue]| grey(red, green, blue)).collect(), 1)
            } else {
                (rgb.flat_map(|[red, green, blue]| [blue, green, red]).collect(), 3)
            }
        }
    };
    let image = Image::new(height as usize, width as usize, channels, pixels).map_err(|e| e.to_string())?;
    Ok((image, orientation))
}

/// Channels and samples; of 16 bits the upper 8, as libpng strips them for OpenCV.
fn bytes_of(image: DynamicImage) -> (usize, Vec<u8>) {
    let upper = |samples: Vec<u16>| samples.into_iter().map(|sample| (sample >> 8) as u8).collect();
    match image {
        DynamicImage::ImageLuma8(image) => (1, image.into_raw()),
        DynamicImage::ImageLumaA8(image) => (2, image.into_raw()),
        DynamicImage::ImageRgb8(image) => (3, image.into_raw()),
        DynamicImage::ImageRgba8(image) => (4, image.into_raw()),
        DynamicImage::ImageLuma16(image) => (1, upper(image.into_raw())),
        DynamicImage::ImageLumaA16(image) => (2, upper(image.into_raw())),
        DynamicImage::ImageRgb16(image) => (3, upper(image.into_raw())),
        DynamicImage::ImageRgba16(image) => (4, upper(image.into_raw())),
        other => (3, other.into_rgb8().into_raw()),
    }
}

/// `grey` over `under` with transparency, rounded as Pillow's `paste` does.
fn over(grey: u8, under: u8, alpha: u8) -> u8 {
    let alpha = u32::from(alpha);
    let blend = u32::from(grey) * alpha + u32::from(under) * (255 - alpha) + 128;
    ((blend + (blend >> 8)) >> 8) as u8
}

/// Pillow's conversion to grey.
fn gray_of_pillow(red: u8, green: u8, blue: u8) -> u8 {
    ((19595 * u32::from(red) + 38470 * u32::from(green) + 7471 * u32::from(blue) + 0x8000) >> 16) as u8
}

/// libpng's conversion to grey, which rounds down.
fn gray_of_png(red: u8, green: u8, blue: u8) -> u8 {
    ((9797 * u32::from(red) + 19234 * u32::from(green) + 3737 * u32::from(blue)) >> 15) as u8
}

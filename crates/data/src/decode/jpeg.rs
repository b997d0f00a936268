//! JPEG.

use ::image::metadata::Orientation;
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::check_size;
use crate::Image;

/// The image and its orientation: one channel where `gray` or the file is grey and `unchanged`, else blue, green, red.
pub(super) fn decode(bytes: &[u8], gray: bool, unchanged: bool) -> Result<(Image, Orientation), String> {
    let options = DecoderOptions::default()
        .set_strict_mode(false)
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX));
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    let broken = |error| format!("the JPEG cannot be decoded ({error})");
    decoder.decode_headers().map_err(broken)?;
    let (width, height) = decoder.dimensions().ok_or("the JPEG has no frame header")?;
    check_size(width as u64, height as u64)?;
    if !ends(bytes) {
        return Err("the JPEG is cut short: it has no end marker".to_owned());
    }
    let orientation = decoder
        .exif()
        .and_then(|exif| Orientation::from_exif_chunk(exif))
        .unwrap_or(Orientation::NoTransforms);

    let input = decoder.input_colorspace().ok_or("the JPEG has no frame header")?;
    let luma = input == ColorSpace::Luma || (gray && input == ColorSpace::YCbCr);
    let output = match input {
        _ if luma => ColorSpace::Luma,
        ColorSpace::CMYK => ColorSpace::CMYK,
        _ => ColorSpace::RGB,
    };
    decoder.set_options(options.jpeg_set_out_colorspace(output));
    let samples = decoder.decode().map_err(broken)?;
    let (pixels, channels) = match output {
        ColorSpace::Luma if gray || unchanged => (samples, 1),
        ColorSpace::Luma => (samples.iter().flat_map(|&grey| [grey; 3]).collect(), 3),
        ColorSpace::CMYK => {
            (samples.as_chunks::<4>().0.iter().flat_map(|&pixel| bgr_of_cmyk(pixel)).collect(), 3)
        }
        _ => {
            let mut samples = samples;
            samples.as_chunks_mut::<3>().0.iter_mut().for_each(|pixel| pixel.swap(0, 2));
            (samples, 3)
        }
    };
    let pixels: Vec<u8> = if gray && channels == 3 {
        pixels.as_chunks::<3>().0.iter().map(|&[blue, green, red]| super::gray(red, green, blue)).collect()
    } else {
        pixels
    };
    let channels = if gray { 1 } else { channels };
    let image = Image::new(height, width, channels, pixels).map_err(|error| error.to_string())?;
    Ok((image, orientation))
}

/// OpenCV's colors of Adobe's CMYK, whose samples are stored inverted.
fn bgr_of_cmyk([cyan, magenta, yellow, key]: [u8; 4]) -> [u8; 3] {
    let key = i32::from(key);
    [yellow, magenta, cyan].map(|ink| (key - (((255 - i32::from(ink)) * key) >> 8)) as u8)
}

/// Whether the end marker follows the first scan. It cannot be part of a scan's data, which stuffs its 0xff bytes;
/// the segments before the first scan, among them thumbnails with an end of their own, are skipped by their lengths.
fn ends(bytes: &[u8]) -> bool {
    let mut at = 2;
    loop {
        let (Some(&0xff), Some(&marker)) = (bytes.get(at), bytes.get(at + 1)) else { return false };
        match marker {
            // Fill bytes and markers without a segment.
            0xff => at += 1,
            0x01 | 0xd0..=0xd8 => at += 2,
            0xda => break,
            _ => {
                let (Some(&high), Some(&low)) = (bytes.get(at + 2), bytes.get(at + 3)) else { return false };
                at += 2 + usize::from(u16::from_be_bytes([high, low]));
            }
        }
    }
    bytes.get(at..).is_some_and(|rest| rest.windows(2).rev().any(|pair| pair == [0xff, 0xd9]))
}

//! An image as a model's input.

use std::path::Path;

use occam_data::decode::{ColorType, DecodeBackend, read};
use occam_data::resize::{Interpolation, ResizeBackend, resize};
use occam_graph::{Array, Bindings, DType, Data, Fact};

use crate::cli::common::check_normalization;
use crate::diagnostic::Failure;

/// The image in the file, resized bilinearly to the input's size: `(x − mean) / std` of floats, `x` itself of `u8`.
///
/// Channels come second (`[N, C, H, W]`), or last where only the last axis can be one of channels.
///
/// # Errors
/// The file is no image, or the input is not of a form that images have.
pub fn input(
    path: &Path,
    fact: &Fact,
    bindings: &Bindings,
    mean: &[f32],
    std: &[f32],
    bgr: bool,
) -> Result<Array, Failure> {
    let no_image = || {
        Failure::new(format!("the model's input {fact} is not one of images")).with_help(
            "[1, 3, H, W] or [1, H, W, 3] of floats or u8 elements is; --inputs takes arrays of any kind",
        )
    };
    let channels = |n: usize| n == 1 || n == 3;
    let shape = super::shape(fact, bindings)?;
    let &[n, a, b, c] = shape.as_slice() else { return Err(no_image()) };
    let last = channels(c) && !channels(a);
    let (depth, height, width) = if last { (c, a, b) } else { (a, b, c) };
    if n != 1 || !channels(depth) {
        return Err(no_image());
    }
    // Sizes that the model leaves open are those of the image.
    let color = if depth == 1 { ColorType::Grayscale } else { ColorType::Color };
    let image = read(path, color, DecodeBackend::Cv2)?;
    let open = |axis: usize, wanted: usize, own: usize| match fact.shape.get(axis) {
        Some(d) if d.known().is_some() || wanted != 1 => wanted,
        _ => own,
    };
    let (h, w) = if last { (1, 2) } else { (2, 3) };
    let (height, width) = (open(h, height, image.height()), open(w, width, image.width()));
    let image = resize(&image, height, width, Interpolation::Bilinear, ResizeBackend::Cv2)?;
    let value = |list: &[f32], channel: usize, default: f32| match list {
        [] => default,
        [one] => *one,
        many => many.get(channel).copied().unwrap_or(default),
    };
    check_normalization(mean, std, depth)?;
    let mut order = Vec::with_capacity(height * width * depth);
    let pixels = image.pixels();
    // Decoded images are blue, green, red.
    let source = |channel: usize| if bgr || depth == 1 { channel } else { depth - 1 - channel };
    let at = |pixel: usize, channel: usize| pixels.get(pixel * depth + source(channel)).copied().unwrap_or(0);
    if last {
        (0..height * width).for_each(|p| order.extend((0..depth).map(|c| (at(p, c), c))));
    } else {
        (0..depth).for_each(|c| order.extend((0..height * width).map(|p| (at(p, c), c))));
    }
    let shape = if last { vec![1, height, width, depth] } else { vec![1, depth, height, width] };
    Ok(match fact.dtype {
        float if float.is_float() => {
            let normal = |(x, c): (u8, usize)| (f32::from(x) - value(mean, c, 0.0)) / value(std, c, 255.0);
            let image = Array::from_f32(shape, order.into_iter().map(normal).collect())?;
            if float == DType::F32 { image } else { super::cast(&image, float).map_err(|_| no_image())? }
        }
        DType::U8 => Array::new(shape, Data::U8(order.into_iter().map(|(x, _)| x).collect()))?,
        _ => return Err(no_image()),
    })
}

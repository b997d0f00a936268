//! Moving pixels by an affine map: rotating, shearing, translating, in the arithmetic of OpenCV's `warpAffine`.

use std::sync::OnceLock;

use crate::resize::{Interpolation, coefficients};
use crate::{Error, Image, Result};

/// Where a pixel goes: `x' = m[0] x + m[1] y + m[2]`, `y' = m[3] x + m[4] y + m[5]`.
pub type Affine = [f64; 6];

/// The rotation by `angle` degrees, clockwise, around `center` (x, y), enlarging by `scale`.
pub fn rotation(center: (f64, f64), angle: f64, scale: f64) -> Affine {
    // OpenCV takes the center in f32 and turns counterclockwise.
    let (x, y) = (f64::from(center.0 as f32), f64::from(center.1 as f32));
    let (sine, cosine) = (-angle).to_radians().sin_cos();
    let (a, b) = (scale * cosine, scale * sine);
    [a, b, (1.0 - a) * x - b * y, -b, a, b * x + (1.0 - a) * y]
}

/// The inverse; zeros where there is none.
fn inverse([a, b, c, d, e, f]: Affine) -> Affine {
    let determinant = a * e - b * d;
    let scale = if determinant == 0.0 { 0.0 } else { 1.0 / determinant };
    let (p, q, r, s) = (e * scale, -b * scale, -d * scale, a * scale);
    [p, q, -p * c - q * f, r, s, -r * c - s * f]
}

/// Bits of a coordinate behind the point.
const BITS: u32 = 10;
/// Bits of them that choose the weights.
const STEPS: u32 = 5;
/// Weights are integers, with 2^15 for 1.
const ONE: f32 = 32768.0;

/// `image` moved by `map`, in its own size, with `border` (a value a channel) where nothing comes from.
///
/// | interpolation | equal to OpenCV 4.11 |
/// |---|---|
/// | nearest, bicubic, lanczos | bit for bit |
/// | bilinear; area is bilinear | bit for bit |
///
/// # Errors
/// `border` has not one value for each channel, the map is not finite, or the interpolation is Pillow's.
pub fn warp(image: &Image, map: Affine, interpolation: Interpolation, border: &[u8]) -> Result<Image> {
    if border.len() != image.channels() || map.iter().any(|x| !x.is_finite()) {
        return Err(Error::Image(format!("cannot move an {image:?} by {map:?} over {border:?}")));
    }
    let map = inverse(map);
    let pixels = match interpolation {
        Interpolation::Nearest => nearest(image, map, border),
        Interpolation::Bilinear | Interpolation::Area => {
            static TABLE: OnceLock<Vec<[[i32; 2]; 2]>> = OnceLock::new();
            weighted(image, map, border, TABLE.get_or_init(|| table(coefficients::linear)))
        }
        Interpolation::Bicubic => {
            static TABLE: OnceLock<Vec<[[i32; 4]; 4]>> = OnceLock::new();
            weighted(image, map, border, TABLE.get_or_init(|| table(coefficients::cubic)))
        }
        Interpolation::Lanczos => {
            static TABLE: OnceLock<Vec<[[i32; 8]; 8]>> = OnceLock::new();
            weighted(image, map, border, TABLE.get_or_init(|| table(coefficients::lanczos)))
        }
        Interpolation::Box | Interpolation::Hamming => {
            return Err(Error::Image(format!("cannot move pixels with {interpolation:?} interpolation")));
        }
    };
    Image::new(image.height(), image.width(), image.channels(), pixels)
}

/// Calls `each` with every pixel's place in the source, in steps of `2^-BITS` plus `half`.
fn places(image: &Image, map: Affine, half: i32, mut each: impl FnMut(i32, i32)) {
    let scale = f64::from(1u32 << BITS);
    let fixed = |x: f64| (x * scale).round_ties_even() as i32;
    let steps: Vec<_> =
        (0..image.width()).map(|x| (fixed(map[0] * x as f64), fixed(map[3] * x as f64))).collect();
    for y in 0..image.height() {
        let start = |step: f64, offset: f64| fixed(step * y as f64 + offset).saturating_add(half);
        let (x0, y0) = (start(map[1], map[2]), start(map[4], map[5]));
        for &(dx, dy) in &steps {
            each(x0.saturating_add(dx), y0.saturating_add(dy));
        }
    }
}

/// The pixel in row `y` and column `x`, or `border` outside the image.
fn pixel<'a>(image: &'a Image, border: &'a [u8], y: i32, x: i32) -> &'a [u8] {
    let inside = |at: i32, len: usize| usize::try_from(at).ok().filter(|&at| at < len);
    match (inside(y, image.height()), inside(x, image.width())) {
        (Some(y), Some(x)) => {
            let at = (y * image.width() + x) * image.channels();
            image.pixels().get(at..at + image.channels()).unwrap_or(border)
        }
        _ => border,
    }
}

fn nearest(image: &Image, map: Affine, border: &[u8]) -> Vec<u8> {
    let mut pixels = Vec::with_capacity(image.pixels().len());
    places(image, map, 1 << (BITS - 1), |x, y| {
        pixels.extend_from_slice(pixel(image, border, y >> BITS, x >> BITS));
    });
    pixels
}

/// Weights of `K` by `K` neighbours for every fraction of rows, then of columns, in steps of `2^-STEPS`.
fn table<const K: usize>(weights: fn(f32) -> [f32; K]) -> Vec<[[i32; K]; K]> {
    let steps = 1u32 << STEPS;
    let along: Vec<[f32; K]> = (0..steps).map(|at| weights(at as f32 / steps as f32)).collect();
    let pairs = along.iter().flat_map(|down| along.iter().map(move |across| (down, across)));
    pairs
        .map(|(down, across)| {
            let limit = |product: f32| (product * ONE).round_ties_even().clamp(-32768.0, 32767.0) as i32;
            let mut table = down.map(|down| across.map(|across| limit(down * across)));
            balance(&mut table);
            table
        })
        .collect()
}

/// Makes the weights' sum exactly 1, at the expense of the largest or the smallest of the four in the middle.
fn balance<const K: usize>(table: &mut [[i32; K]; K]) {
    let excess = table.iter().flatten().sum::<i32>() - ONE as i32;
    if excess == 0 {
        return;
    }
    let middle = K / 2;
    let (mut least, mut most) = ((middle, middle), (middle, middle));
    for y in middle..(middle + 2).min(K) {
        for x in middle..(middle + 2).min(K) {
            if table[y][x] < table[least.0][least.1] {
                least = (y, x);
            } else if table[y][x] > table[most.0][most.1] {
                most = (y, x);
            }
        }
    }
    let (y, x) = if excess < 0 { most } else { least };
    table[y][x] -= excess;
}

fn weighted<const K: usize>(image: &Image, map: Affine, border: &[u8], table: &[[[i32; K]; K]]) -> Vec<u8> {
    let drop = BITS - STEPS;
    let mask = (1 << STEPS) - 1;
    let before = K as i32 / 2 - 1;
    let mut pixels = Vec::with_capacity(image.pixels().len());
    let mut sums = vec![0i32; image.channels()];
    places(image, map, 1 << (drop - 1), |x, y| {
        let (x, y) = (x >> drop, y >> drop);
        let Some(weights) = table.get((((y & mask) << STEPS) + (x & mask)) as usize) else { return };
        let (left, top) = ((x >> STEPS) - before, (y >> STEPS) - before);
        sums.fill(1 << 14);
        for (y, weights) in (top..).zip(weights) {
            for (x, &weight) in (left..).zip(weights) {
                for (sum, &sample) in sums.iter_mut().zip(pixel(image, border, y, x)) {
                    *sum += i32::from(sample) * weight;
                }
            }
        }
        pixels.extend(sums.iter().map(|sum| (sum >> 15).clamp(0, 255) as u8));
    });
    pixels
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::golden;

    #[derive(Debug, Deserialize)]
    #[serde(tag = "op", rename_all = "lowercase")]
    enum Op {
        Rotate { angle: f64, scale: f64, center: Option<(f64, f64)>, interpolation: Interpolation },
        Shear { magnitude: f32, direction: String, interpolation: Interpolation },
        Translate { offset: f32, direction: String, interpolation: Interpolation },
    }

    #[test]
    fn equals_opencv() {
        let source = golden::image("warp", 29, 37, 3);
        let mut wrong = vec![];
        for golden::Case { args, image: expected } in golden::cases::<Op>("warp") {
            let (map, interpolation) = match &args {
                Op::Rotate { angle, scale, center, interpolation } => {
                    (rotation(center.unwrap_or((18.0, 14.0)), *angle, *scale), *interpolation)
                }
                Op::Shear { magnitude, direction, interpolation } => {
                    let magnitude = f64::from(*magnitude);
                    let map = match direction.as_str() {
                        "horizontal" => [1.0, magnitude, 0.0, 0.0, 1.0, 0.0],
                        _ => [1.0, 0.0, 0.0, magnitude, 1.0, 0.0],
                    };
                    (map, *interpolation)
                }
                Op::Translate { offset, direction, interpolation } => {
                    let offset = f64::from(*offset);
                    let map = match direction.as_str() {
                        "horizontal" => [1.0, 0.0, offset, 0.0, 1.0, 0.0],
                        _ => [1.0, 0.0, 0.0, 0.0, 1.0, offset],
                    };
                    (map, *interpolation)
                }
            };
            let result = warp(&source, map, interpolation, &[128, 7, 250]).unwrap();
            let (most, share) = golden::difference(&result, &expected);
            if most > 0 {
                wrong.push(format!("{args:?}: {most} {share}"));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn refuses_what_it_cannot_do() {
        let image = golden::image("warp", 2, 2, 1);
        let same = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0];
        assert!(warp(&image, same, Interpolation::Nearest, &[0, 0]).is_err());
        assert!(warp(&image, [f64::NAN; 6], Interpolation::Nearest, &[0]).is_err());
        assert!(warp(&image, same, Interpolation::Box, &[0]).is_err());
        for interpolation in [Interpolation::Nearest, Interpolation::Bilinear, Interpolation::Lanczos] {
            assert_eq!(warp(&image, same, interpolation, &[0]).unwrap(), image);
            let far = [1e9, 0.0, 1e300, 0.0, 1e9, -1e300];
            assert!(warp(&image, far, interpolation, &[9]).is_ok());
            assert!(warp(&image, [0.0; 6], interpolation, &[9]).is_ok());
        }
    }
}

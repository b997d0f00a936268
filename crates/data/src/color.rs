//! Changing the colors of an image, in the arithmetic of MMCV and OpenCV.
//!
//! Channels are blue, green and red; an image of one channel is its own grey. Blends are rounded down where MMCV
//! does so.

use crate::Image;
use crate::decode::gray15;

/// The value of each 8-bit sample after a change.
pub type Table = [u8; 256];

/// Replaces each sample by its value in `table`.
pub fn replace(image: &mut Image, table: &Table) {
    for sample in image.pixels_mut() {
        *sample = table[usize::from(*sample)];
    }
}

/// The table of a function of samples.
pub fn table(value: impl Fn(u8) -> u8) -> Table {
    std::array::from_fn(|sample| value(sample as u8))
}

/// `factor · sample + (1 - factor) · other`, clipped and rounded down.
fn blend(sample: u8, other: u8, factor: f64) -> u8 {
    let sum = f64::from(sample) * factor + f64::from(other) * (1.0 - factor);
    (sum as f32).clamp(0.0, 255.0) as u8
}

/// Blends with black: `factor · image`.
pub fn brightness(image: &mut Image, factor: f64) {
    replace(image, &table(|sample| blend(sample, 0, factor)));
}

/// Blends with the mean of the grey image, rounded half to even.
pub fn contrast(image: &mut Image, factor: f64) {
    let mut sum = 0u64;
    let mut count = 0u64;
    for_gray(image, |grey, _| {
        sum += u64::from(grey);
        count += 1;
    });
    let mean = (sum as f64 / count.max(1) as f64).round_ties_even() as u8;
    replace(image, &table(|sample| blend(sample, mean, factor)));
}

/// Blends with the grey image, rounded half to even.
pub fn saturation(image: &mut Image, factor: f64) {
    // OpenCV multiplies the grey in f32 and fuses the rest.
    let (factor, rest) = (f64::from(factor as f32), (1.0 - factor) as f32);
    for_gray(image, |grey, pixel| {
        let grey = f64::from(f32::from(grey) * rest);
        for sample in pixel {
            let sum = (f64::from(*sample) * factor + grey) as f32;
            *sample = sum.round_ties_even().clamp(0.0, 255.0) as u8;
        }
    });
}

/// Calls `each` with every pixel and its grey.
fn for_gray(image: &mut Image, mut each: impl FnMut(u8, &mut [u8])) {
    let channels = image.channels().max(1);
    for pixel in image.pixels_mut().chunks_exact_mut(channels) {
        let grey = match *pixel {
            [blue, green, red] | [blue, green, red, _] => gray15(red, green, blue),
            _ => pixel.first().copied().unwrap_or_default(),
        };
        each(grey, pixel);
    }
}

/// Blends with the image smoothed by the kernel `[[1, 1, 1], [1, 5, 1], [1, 1, 1]] / 13`.
pub fn sharpness(image: &mut Image, factor: f64) {
    let smooth = smoothed(image);
    for (sample, smooth) in image.pixels_mut().iter_mut().zip(smooth) {
        *sample = blend(*sample, smooth, factor);
    }
}

/// The image under the kernel of [`sharpness`], mirrored at its outermost pixels, rounded half to even.
fn smoothed(image: &Image) -> Vec<u8> {
    let [height, width] = image.shape();
    let channels = image.channels();
    let (edge, middle) = ((1.0f64 / 13.0) as f32, (5.0f64 / 13.0) as f32);
    let around = |at: usize, len: usize| {
        let last = len - 1;
        [
            if at == 0 { 1.min(last) } else { at - 1 },
            at,
            if at == last { last.saturating_sub(1) } else { at + 1 },
        ]
    };
    let mut smooth = Vec::with_capacity(image.pixels().len());
    for y in 0..height {
        let rows = around(y, height).map(|y| image.row(y));
        for x in 0..width {
            let columns = around(x, width);
            for channel in 0..channels {
                let mut sum = 0.0;
                for (j, row) in rows.iter().enumerate() {
                    for (i, column) in columns.iter().enumerate() {
                        let weight = if (i, j) == (1, 1) { middle } else { edge };
                        let sample = row.get(column * channels + channel).copied().unwrap_or_default();
                        sum += f32::from(sample) * weight;
                    }
                }
                smooth.push(sum.round_ties_even().clamp(0.0, 255.0) as u8);
            }
        }
    }
    smooth
}

/// Stretches each channel so that its least sample becomes 0 and its largest 255.
pub fn auto_contrast(image: &mut Image) {
    by_channel(image, |counts| {
        let low = counts.iter().position(|&count| count > 0)?;
        let high = counts.iter().rposition(|&count| count > 0)?;
        if low >= high {
            return None;
        }
        let scale = 255.0 / (high - low) as f64;
        let offset = -(low as f64) * scale;
        Some(table(|sample| (f64::from(sample) * scale + offset).clamp(0.0, 255.0) as u8))
    });
}

/// Spreads each channel so that its samples are about equally frequent.
pub fn equalize(image: &mut Image) {
    by_channel(image, |counts| {
        let total: u64 = counts.iter().sum();
        let last = counts.iter().rev().copied().find(|&count| count > 0)?;
        let step = (total - last) / 255;
        if step == 0 {
            return None;
        }
        let mut below = 0;
        Some(std::array::from_fn(|sample| {
            let value = if sample == 0 { 0 } else { ((below + step / 2) / step).min(255) };
            below += counts[sample];
            value as u8
        }))
    });
}

/// Replaces the samples of each channel by the table that `make` finds for their frequencies, if it finds one.
fn by_channel(image: &mut Image, make: impl Fn(&[u64; 256]) -> Option<Table>) {
    let channels = image.channels().max(1);
    let mut counts = vec![[0u64; 256]; channels];
    for pixel in image.pixels().chunks_exact(channels) {
        for (counts, &sample) in counts.iter_mut().zip(pixel) {
            counts[usize::from(sample)] += 1;
        }
    }
    let tables: Vec<_> = counts.iter().map(make).collect();
    for pixel in image.pixels_mut().chunks_exact_mut(channels) {
        for (sample, table) in pixel.iter_mut().zip(&tables) {
            if let Some(table) = table {
                *sample = table[usize::from(*sample)];
            }
        }
    }
}

/// Turns the hue by `turn` of a full circle, from -0.5 to 0.5, in steps of 1/256; grey images stay.
pub fn hue(image: &mut Image, turn: f64) {
    if image.channels() < 3 {
        return;
    }
    let shift = (turn * 255.0) as i32 as u8;
    let channels = image.channels();
    for pixel in image.pixels_mut().chunks_exact_mut(channels) {
        if let [blue, green, red, ..] = pixel {
            let [h, s, v] = hsv([*blue, *green, *red]);
            [*blue, *green, *red] = bgr([h.wrapping_add(shift), s, v]);
        }
    }
}

/// Bits behind the point of the quotients of [`hsv`].
const SHIFT: i32 = 12;

/// Hue of 256 steps, saturation and value: OpenCV's `COLOR_BGR2HSV_FULL`.
fn hsv([blue, green, red]: [u8; 3]) -> [u8; 3] {
    let [b, g, r] = [blue, green, red].map(i32::from);
    let value = b.max(g).max(r);
    let range = value - b.min(g).min(r);
    let quotient = |numerator: i32, denominator: f64| match denominator {
        0.0 => 0,
        denominator => (f64::from(numerator << SHIFT) / denominator).round_ties_even() as i32,
    };
    let round = |product: i32| (product + (1 << (SHIFT - 1))) >> SHIFT;
    let saturation = round(range * quotient(255, f64::from(value)));
    let sector = if value == r {
        g - b
    } else if value == g {
        b - r + 2 * range
    } else {
        r - g + 4 * range
    };
    let hue = round(sector * quotient(256, 6.0 * f64::from(range)));
    let hue = if hue < 0 { hue + 256 } else { hue };
    [hue.clamp(0, 255) as u8, saturation as u8, value as u8]
}

/// Blue, green and red of a hue of 256 steps, a saturation and a value: OpenCV's `COLOR_HSV2BGR_FULL`, whose circle has
/// 255 steps.
fn bgr([hue, saturation, value]: [u8; 3]) -> [u8; 3] {
    let (s, v) = (f32::from(saturation) * (1.0 / 255.0), f32::from(value) * (1.0 / 255.0));
    let h = (f32::from(hue) * (6.0 / 255.0)) % 6.0;
    let sector = h.floor();
    let h = h - sector;
    let tab = [v, v * (1.0 - s), v * (1.0 - s * h), v * (1.0 - s * (1.0 - h))];
    let order = match sector as u8 {
        1 => [1, 0, 2],
        2 => [3, 0, 1],
        3 => [0, 2, 1],
        4 => [0, 1, 3],
        5 => [2, 1, 0],
        _ => [1, 3, 0],
    };
    order.map(|at: usize| (tab[at] * 255.0).round_ties_even().clamp(0.0, 255.0) as u8)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde::Deserialize;

    use super::*;
    use crate::golden;

    #[derive(Deserialize)]
    struct Args {
        op: String,
        source: String,
        #[serde(default)]
        value: f64,
    }

    /// MMCV 2.0.1 on OpenCV 4.11, bit for bit.
    #[test]
    fn equals_mmcv() {
        let noise = golden::image("color", 25, 30, 3);
        let mut dull = noise.clone();
        replace(&mut dull, &table(|sample| sample / 3 + 60));
        let flat = Image::new(4, 5, 3, vec![77; 60]).unwrap();
        let mut sources =
            HashMap::from([("noise".to_owned(), noise), ("dull".into(), dull), ("flat".into(), flat)]);
        let mut wrong = vec![];
        for golden::Case { args, image: expected } in golden::cases::<Args>("color") {
            if args.op == "source" {
                sources.insert(args.source, expected);
                continue;
            }
            let mut image = sources[&args.source].clone();
            match args.op.as_str() {
                "brightness" => brightness(&mut image, args.value),
                "contrast" => contrast(&mut image, args.value),
                "color" => saturation(&mut image, args.value),
                "sharpness" => sharpness(&mut image, args.value),
                "hue" => hue(&mut image, args.value),
                "auto_contrast" => auto_contrast(&mut image),
                "equalize" => equalize(&mut image),
                "invert" => replace(&mut image, &table(|sample| 255 - sample)),
                "solarize" => {
                    replace(&mut image, &table(|sample| crate::transforms::solarized(sample, args.value)))
                }
                "posterize" => {
                    replace(&mut image, &table(|sample| crate::transforms::posterized(sample, args.value)))
                }
                other => panic!("{other}"),
            }
            let (most, share) = golden::difference(&image, &expected);
            if most > 0 {
                wrong.push(format!("{} {} {}: {most} {share}", args.op, args.source, args.value));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn small_and_grey_images_are_no_trouble() {
        for channels in [1, 3, 4] {
            let mut image = golden::image("color", 1, 1, channels);
            let before = image.clone();
            sharpness(&mut image, 1.0);
            saturation(&mut image, 1.0);
            contrast(&mut image, 1.0);
            equalize(&mut image);
            auto_contrast(&mut image);
            assert_eq!(image, before);
            hue(&mut image, 0.25);
        }
    }
}

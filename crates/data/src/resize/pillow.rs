//! Pillow's resampling: weights of 22 bits over the area that a new pixel covers.

use super::{Interpolation, pick};
use crate::Image;

/// Bits of a weight behind the point: what 32 bits leave of a sum of 8-bit samples with two bits to spare.
const BITS: u32 = 22;

/// The samples of `image` resized to `[height, width]`.
///
/// Rows go first, unless there are many to be left out: that is what Pillow 13 does. Older versions always begin with
/// rows, which some samples tell by 1.
pub(super) fn resize(image: &Image, [height, width]: [usize; 2], interpolation: Interpolation) -> Vec<u8> {
    if interpolation == Interpolation::Nearest {
        return pick(image, &nearest(image.height(), height), &nearest(image.width(), width));
    }
    let filter = Filter::new(interpolation);
    let (from, channels) = (image.shape(), image.channels());
    if height < from[0] && 2 * width * from[0] > from[1] * (from[0] + height) {
        let rows = down(image.pixels(), from[0], height, from[1] * channels, &filter);
        along(&rows, from[1], width, channels, &filter)
    } else {
        let rows = along(image.pixels(), from[1], width, channels, &filter);
        down(&rows, from[0], height, width * channels, &filter)
    }
}

/// Rows of `len` pixels resized to `to` pixels.
fn along(pixels: &[u8], len: usize, to: usize, channels: usize, filter: &Filter) -> Vec<u8> {
    if len == to {
        return pixels.to_vec();
    }
    let runs = Runs::new(len, to, filter);
    let rows = pixels.chunks_exact(len * channels);
    let mut resized = vec![0; rows.len() * to * channels];
    for (row, target) in rows.zip(resized.chunks_exact_mut(to * channels)) {
        match channels {
            3 => runs.along::<3>(row, target),
            1 => runs.along::<1>(row, target),
            _ => runs.along_any(row, target, channels),
        }
    }
    resized
}

/// Columns of `len` samples, in rows of `stride` samples, resized to `to` samples.
fn down(pixels: &[u8], len: usize, to: usize, stride: usize, filter: &Filter) -> Vec<u8> {
    if len == to {
        return pixels.to_vec();
    }
    let mut resized = vec![0; to * stride];
    let mut sums = vec![0; stride];
    for (run, target) in Runs::new(len, to, filter).0.iter().zip(resized.chunks_exact_mut(stride)) {
        sums.fill(1 << (BITS - 1));
        for (row, &weight) in pixels.chunks_exact(stride).skip(run.start).zip(&run.weights) {
            for (sum, &sample) in sums.iter_mut().zip(row) {
                *sum += i32::from(sample) * weight;
            }
        }
        target.iter_mut().zip(&sums).for_each(|(to, &sum)| *to = clip(sum));
    }
    resized
}

fn clip(sum: i32) -> u8 {
    (sum >> BITS).clamp(0, 255) as u8
}

/// Positions of the nearest pixels; the place is summed up step by step, with the original's rounding.
fn nearest(len: usize, to: usize) -> Vec<usize> {
    let step = len as f64 / to as f64;
    let mut place = step * 0.5;
    (0..to)
        .map(|_| {
            let at = (place as usize).min(len - 1);
            place += step;
            at
        })
        .collect()
}

/// A function of the distance, 0 past its support.
struct Filter {
    support: f64,
    weight: fn(f64) -> f64,
}

impl Filter {
    fn new(interpolation: Interpolation) -> Self {
        match interpolation {
            Interpolation::Bicubic => Self { support: 2.0, weight: bicubic },
            Interpolation::Lanczos => Self {
                support: 3.0,
                weight: |x| if (-3.0..3.0).contains(&x) { sinc(x) * sinc(x / 3.0) } else { 0.0 },
            },
            Interpolation::Box => {
                Self { support: 0.5, weight: |x| if x > -0.5 && x <= 0.5 { 1.0 } else { 0.0 } }
            }
            Interpolation::Hamming => Self { support: 1.0, weight: hamming },
            _ => Self { support: 1.0, weight: |x| (1.0 - x.abs()).max(0.0) },
        }
    }
}

fn bicubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

fn hamming(x: f64) -> f64 {
    match x.abs() {
        0.0 => 1.0,
        x if x >= 1.0 => 0.0,
        x => {
            let x = x * std::f64::consts::PI;
            x.sin() / x * (0.54 + 0.46 * x.cos())
        }
    }
}

fn sinc(x: f64) -> f64 {
    let x = x * std::f64::consts::PI;
    if x == 0.0 { 1.0 } else { x.sin() / x }
}

/// Neighbouring positions and their weights.
struct Run {
    start: usize,
    weights: Vec<i32>,
}

/// For each new position, what it is summed from.
struct Runs(Vec<Run>);

impl Runs {
    fn new(len: usize, to: usize, filter: &Filter) -> Self {
        let scale = len as f64 / to as f64;
        let widening = scale.max(1.0);
        let support = filter.support * widening;
        let run = |at: usize| {
            let center = (at as f64 + 0.5) * scale;
            let start = ((center - support + 0.5) as isize).max(0) as usize;
            let end = ((center + support + 0.5) as usize).min(len);
            let weight = |at: usize| (filter.weight)((at as f64 - center + 0.5) * (1.0 / widening));
            let mut weights: Vec<f64> = (start..end).map(weight).collect();
            let sum: f64 = weights.iter().sum();
            if sum != 0.0 {
                weights.iter_mut().for_each(|weight| *weight /= sum);
            }
            let whole = |weight: f64| {
                let scaled = weight * f64::from(1u32 << BITS);
                (if weight < 0.0 { scaled - 0.5 } else { scaled + 0.5 }) as i32
            };
            Run { start, weights: weights.into_iter().map(whole).collect() }
        };
        Self((0..to).map(run).collect())
    }

    fn along<const CHANNELS: usize>(&self, row: &[u8], target: &mut [u8]) {
        let row = row.as_chunks::<CHANNELS>().0;
        for (target, run) in target.as_chunks_mut::<CHANNELS>().0.iter_mut().zip(&self.0) {
            let mut sum = [1 << (BITS - 1); CHANNELS];
            let pixels = row.get(run.start..).unwrap_or_default();
            for (pixel, &weight) in pixels.iter().zip(&run.weights) {
                for (sum, &sample) in sum.iter_mut().zip(pixel) {
                    *sum += i32::from(sample) * weight;
                }
            }
            *target = sum.map(clip);
        }
    }

    fn along_any(&self, row: &[u8], target: &mut [u8], channels: usize) {
        for (target, run) in target.chunks_exact_mut(channels).zip(&self.0) {
            for (channel, target) in target.iter_mut().enumerate() {
                let samples = row.iter().skip(run.start * channels + channel).step_by(channels);
                let products = samples.zip(&run.weights).map(|(&sample, &weight)| i32::from(sample) * weight);
                *target = clip((1 << (BITS - 1)) + products.sum::<i32>());
            }
        }
    }
}

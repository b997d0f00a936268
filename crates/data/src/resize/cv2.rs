//! OpenCV's resampling at the places of the new pixels: separable weights, integers of 11 bits.
//!
//! Cubic weights are floats: the x86 builds of OpenCV that are commonly installed leave these to Intel's library, which
//! computes so. Other builds round weights to 11 bits, which one sample in thirty tells by 1.

use std::ops::{AddAssign, Mul};

use super::coefficients::{cubic, lanczos, linear};
use super::{Interpolation, cv2_area, pick};
use crate::Image;

/// Weights are integers, with 2^11 for 1.
const ONE: f32 = 2048.0;

/// The samples of `image` resized to `[height, width]`.
pub(super) fn resize(image: &Image, [height, width]: [usize; 2], interpolation: Interpolation) -> Vec<u8> {
    // The original divides twice.
    let scale = |from: usize, to: usize| 1.0 / (to as f64 / from as f64);
    let (down, across) = (scale(image.height(), height), scale(image.width(), width));
    let integral = |scale: f64| (scale - scale.round_ties_even()).abs() < f64::EPSILON;
    let both_whole = integral(down) && integral(across);
    let halved = both_whole && down.round_ties_even() == 2.0 && across.round_ties_even() == 2.0;
    match interpolation {
        Interpolation::Nearest => {
            let places = |to: usize, scale: f64, len: usize| -> Vec<usize> {
                (0..to).map(|at| ((at as f64 * scale).floor() as usize).min(len - 1)).collect()
            };
            pick(image, &places(height, down, image.height()), &places(width, across, image.width()))
        }
        Interpolation::Area if down >= 1.0 && across >= 1.0 => {
            if both_whole {
                let size = [down.round_ties_even() as usize, across.round_ties_even() as usize];
                cv2_area::blocks(image, [height, width], size)
            } else {
                cv2_area::shrink(image, [height, width], [down, across])
            }
        }
        Interpolation::Bilinear if halved => cv2_area::blocks(image, [height, width], [2, 2]),
        Interpolation::Bicubic => {
            let axis = |len, to, scale| Axis::new(len, to, |at| centered(at, scale), |x, _| cubic(x));
            let (rows, columns) = (axis(image.height(), height, down), axis(image.width(), width, across));
            separable(image, &rows, &columns, round_float)
        }
        Interpolation::Lanczos => {
            let axis =
                |len, to, scale| Axis::new(len, to, |at| centered(at, scale), |x, _| whole(lanczos(x)));
            let (rows, columns) = (axis(image.height(), height, down), axis(image.width(), width, across));
            separable(image, &rows, &columns, round_exact)
        }
        Interpolation::Area => {
            let place = |scale: f64| {
                move |at: usize| {
                    let first = (at as f64 * scale).floor();
                    let x = ((at as f64 + 1.0) - (first + 1.0) / scale) as f32;
                    (first as isize, if x <= 0.0 { 0.0 } else { x - x.floor() })
                }
            };
            let rows = Axis::new(image.height(), height, place(down), |x, _| whole(linear(x)));
            let columns = Axis::new(image.width(), width, place(across), inside);
            separable(image, &rows, &columns, round_linear)
        }
        _ => {
            let rows = Axis::new(image.height(), height, |at| centered(at, down), |x, _| whole(linear(x)));
            let columns = Axis::new(image.width(), width, |at| centered(at, across), inside);
            separable(image, &rows, &columns, round_linear)
        }
    }
}

/// The pixel before the middle of new pixel `at`, and how far past it the middle is.
fn centered(at: usize, scale: f64) -> (isize, f32) {
    let place = ((at as f64 + 0.5) * scale - 0.5) as f32;
    let first = place.floor();
    (first as isize, place - first)
}

/// Linear weights along a row, which are those of one pixel outside it. Rows outside the image keep both weights, whose
/// rounding shows.
fn inside(x: f32, outside: bool) -> [i32; 2] {
    whole(linear(if outside { 0.0 } else { x }))
}

/// Weights as integers.
fn whole<const K: usize>(weights: [f32; K]) -> [i32; K] {
    weights.map(|weight| (weight * ONE).round_ties_even() as i32)
}

/// What samples are summed in.
trait Number: Copy + Default + From<u8> + Mul<Output = Self> + AddAssign {}
impl Number for i32 {}
impl Number for f32 {}

/// Where the pixels along one axis come from: for each, `K` positions and their weights.
struct Axis<T, const K: usize> {
    places: Vec<[usize; K]>,
    weights: Vec<[T; K]>,
}

impl<T: Number, const K: usize> Axis<T, K> {
    /// `place` gives the position before a new pixel and the fraction past it, `weights` what these stand for.
    fn new(
        len: usize,
        to: usize,
        place: impl Fn(usize) -> (isize, f32),
        weights: impl Fn(f32, bool) -> [T; K],
    ) -> Self {
        let last = len as isize - 1;
        let (places, weights) = (0..to)
            .map(|at| {
                let (first, x) = place(at);
                let places = std::array::from_fn(|k| {
                    (first + k as isize + 1 - K as isize / 2).clamp(0, last) as usize
                });
                (places, weights(x, first < 0 || first >= last))
            })
            .unzip();
        Self { places, weights }
    }
}

/// One new row from `K` rows of sums and their weights.
type Round<T, const K: usize> = fn([&[T]; K], [T; K], &mut [u8]);

/// Rows first, then columns. Each row of sums is computed once, for columns move down only.
fn separable<T: Number, const K: usize>(
    image: &Image,
    rows: &Axis<T, K>,
    columns: &Axis<T, K>,
    round: Round<T, K>,
) -> Vec<u8> {
    let channels = image.channels();
    let stride = columns.places.len() * channels;
    let mut pixels = vec![0; rows.places.len() * stride];
    // Row `y` is kept at `y` modulo K, so that K neighbours never meet.
    let mut kept: [(Option<usize>, Vec<T>); K] = std::array::from_fn(|_| (None, vec![T::default(); stride]));
    let along = Horizontal::new(columns, channels, image.width());
    for ((places, weights), target) in
        rows.places.iter().zip(&rows.weights).zip(pixels.chunks_exact_mut(stride))
    {
        for &y in places {
            let (row, sums) = &mut kept[y % K];
            if *row != Some(y) {
                along.apply(image.row(y), sums);
                *row = Some(y);
            }
        }
        round(places.map(|y| kept[y % K].1.as_slice()), *weights, target);
    }
    pixels
}

/// The weighted sums along a row. Neighbours outside the row are its ends, so their weights are added to those of the
/// ends: each sum goes over one run of pixels.
struct Horizontal<T> {
    channels: usize,
    /// Pixels of a run: K, or as many as the row has.
    taps: usize,
    starts: Vec<usize>,
    weights: Vec<T>,
}

impl<T: Number> Horizontal<T> {
    fn new<const K: usize>(axis: &Axis<T, K>, channels: usize, width: usize) -> Self {
        let taps = K.min(width);
        let mut weights = vec![T::default(); axis.places.len() * taps];
        let mut starts = Vec::with_capacity(axis.places.len());
        for ((places, from), to) in axis.places.iter().zip(&axis.weights).zip(weights.chunks_exact_mut(taps))
        {
            let start = places[0].min(width - taps);
            for (&place, &weight) in places.iter().zip(from) {
                if let Some(sum) = to.get_mut(place.saturating_sub(start)) {
                    *sum += weight;
                }
            }
            starts.push(start);
        }
        Self { channels, taps, starts, weights }
    }

    fn apply(&self, row: &[u8], sums: &mut [T]) {
        match (self.taps, self.channels) {
            (2, 1) => self.run::<2, 1>(row, sums),
            (2, 3) => self.run::<2, 3>(row, sums),
            (4, 1) => self.run::<4, 1>(row, sums),
            (4, 3) => self.run::<4, 3>(row, sums),
            (8, 1) => self.run::<8, 1>(row, sums),
            (8, 3) => self.run::<8, 3>(row, sums),
            _ => self.any(row, sums),
        }
    }

    fn run<const TAPS: usize, const CHANNELS: usize>(&self, row: &[u8], sums: &mut [T]) {
        let row = row.as_chunks::<CHANNELS>().0;
        let weights = self.weights.as_chunks::<TAPS>().0;
        let targets = sums.as_chunks_mut::<CHANNELS>().0;
        for ((target, &start), weights) in targets.iter_mut().zip(&self.starts).zip(weights) {
            let Some(pixels) = row.get(start..start + TAPS) else { continue };
            let mut sum = [T::default(); CHANNELS];
            for (pixel, &weight) in pixels.iter().zip(weights) {
                for (sum, &sample) in sum.iter_mut().zip(pixel) {
                    *sum += T::from(sample) * weight;
                }
            }
            *target = sum;
        }
    }

    fn any(&self, row: &[u8], sums: &mut [T]) {
        let channels = self.channels;
        let runs = self.starts.iter().zip(self.weights.chunks_exact(self.taps));
        for (target, (&start, weights)) in sums.chunks_exact_mut(channels).zip(runs) {
            target.fill(T::default());
            let pixels = row.chunks_exact(channels).skip(start);
            for (pixel, &weight) in pixels.zip(weights) {
                for (sum, &sample) in target.iter_mut().zip(pixel) {
                    *sum += T::from(sample) * weight;
                }
            }
        }
    }
}

/// Drops bits before and after multiplying, as the original's vectors of 16 bits do.
fn round_linear([above, below]: [&[i32]; 2], [first, second]: [i32; 2], target: &mut [u8]) {
    for ((target, &above), &below) in target.iter_mut().zip(above).zip(below) {
        let sum = ((first * (above >> 4)) >> 16) + ((second * (below >> 4)) >> 16);
        *target = ((sum + 2) >> 2) as u8;
    }
}

/// The rounded sum, in floats.
fn round_float([a, b, c, d]: [&[f32]; 4], weights: [f32; 4], target: &mut [u8]) {
    for ((((target, &a), &b), &c), &d) in target.iter_mut().zip(a).zip(b).zip(c).zip(d) {
        let sum = a * weights[0] + b * weights[1] + c * weights[2] + d * weights[3];
        *target = sum.round_ties_even() as u8;
    }
}

/// The rounded sum, in integers.
fn round_exact<const K: usize>(rows: [&[i32]; K], weights: [i32; K], target: &mut [u8]) {
    for (at, target) in target.iter_mut().enumerate() {
        let products = rows
            .iter()
            .zip(weights)
            .map(|(row, weight)| row.get(at).copied().unwrap_or_default().wrapping_mul(weight));
        let sum = products.fold(1 << 21, i32::wrapping_add);
        *target = (sum >> 22).clamp(0, 255) as u8;
    }
}

//! Fake quantization: rounding to the grid of integers and back, with its gradients.
//!
//! With `q = round(x · (1 / s)) + z`, ties to even: `y = (clamp(q, q_min, q_max) − z) · s`. As in PyTorch
//! (`fake_quantize_per_tensor_affine`, `fake_quantize_per_channel_affine`) `x` is multiplied by the inverse of the
//! scale, and the whole zero point is added after rounding; a NaN becomes `q_min`.

use rayon::prelude::*;

use crate::channels::Layout;
use crate::memory::Output;
use crate::vector::{sum, vectorize};

/// Elements of a task.
const CHUNK: usize = 1 << 14;

/// Elements whose terms are put aside before they are summed.
const BLOCK: usize = 512;

/// A grid of integers for every channel.
///
/// Activations have their channels on axis 1 (`[n, channels, inner]`), weights on axis 0 (`n` is 1); one grid for
/// the tensor is one channel (`[1, 1, inner]`).
#[derive(Debug, Clone, Copy)]
pub struct Grid<'a> {
    /// `s`, `[channels]`
    pub scale: &'a [f32],
    /// `z`, `[channels]`, whole numbers: learnable ones are rounded and clamped by the caller.
    pub zero_point: &'a [f32],
    /// `q_min`
    pub low: i32,
    /// `q_max`
    pub high: i32,
    /// Sizes of the tensor.
    pub layout: Layout,
}

/// The grid of one channel.
#[derive(Debug, Clone, Copy)]
struct One {
    scale: f32,
    inverse: f32,
    zero: f32,
    low: f32,
    high: f32,
}

impl One {
    #[inline(always)]
    fn clamp(&self, q: f32) -> f32 {
        q.max(self.low).min(self.high)
    }

    #[inline(always)]
    fn inside(&self, q: f32) -> bool {
        (q >= self.low) & (q <= self.high)
    }

    #[inline(always)]
    fn value(&self, x: f32) -> f32 {
        (self.clamp((x * self.inverse).round_ties_even() + self.zero) - self.zero) * self.scale
    }

    #[inline(always)]
    fn passed(&self, x: f32, dy: f32) -> f32 {
        let inside = self.inside((x * self.inverse).round_ties_even() + self.zero);
        // A product, as PyTorch's: what is not finite stays visible.
        if inside { dy } else { dy * 0.0 }
    }

    /// `[dx, ds, dz]` of an element.
    #[inline(always)]
    fn learned(&self, x: f32, dy: f32) -> [f32; 3] {
        // Rounded after the zero point is added, as PyTorch does on this way and only on it.
        let q = (x * self.inverse + self.zero).round_ties_even();
        let inside = self.inside(q);
        let steps = self.clamp(q) - self.zero;
        let ds = if inside { (steps * self.scale - x) * self.inverse } else { steps };
        [if inside { dy } else { dy * 0.0 }, dy * ds, if inside { 0.0 } else { -dy * self.scale }]
    }
}

/// Elements of one row within a chunk.
struct Segment {
    start: usize,
    len: usize,
    channel: usize,
}

impl Grid<'_> {
    fn check(&self, slices: &[&[f32]]) {
        let (elements, channels) = (self.layout.elements(), self.layout.channels);
        assert!(
            slices.iter().all(|s| s.len() >= elements)
                && self.scale.len() >= channels
                && self.zero_point.len() >= channels,
            "sizes do not fit the slices"
        );
    }

    #[inline(always)]
    fn of(&self, channel: usize) -> One {
        let scale = self.scale[channel];
        One {
            scale,
            inverse: 1.0 / scale,
            zero: self.zero_point[channel],
            low: self.low as f32,
            high: self.high as f32,
        }
    }

    fn chunks(&self) -> impl IndexedParallelIterator<Item = usize> + use<> {
        (0..self.layout.elements().div_ceil(CHUNK)).into_par_iter()
    }

    /// The rows of a chunk, in order.
    #[inline(always)]
    fn segments(&self, chunk: usize) -> impl Iterator<Item = Segment> + use<> {
        let Layout { channels, inner, .. } = self.layout;
        let (mut at, end) = (chunk * CHUNK, ((chunk + 1) * CHUNK).min(self.layout.elements()));
        std::iter::from_fn(move || {
            if at >= end {
                return None;
            }
            let row = at / inner;
            let segment =
                Segment { start: at, len: ((row + 1) * inner).min(end) - at, channel: row % channels };
            at += segment.len;
            Some(segment)
        })
    }
}

/// `y = (clamp(round(x / s) + z, q_min, q_max) − z) · s`, of the shape of `x`.
///
/// # Panics
/// A slice is shorter than its sizes say.
pub fn forward(x: &[f32], grid: &Grid<'_>) -> Vec<f32> {
    grid.check(&[x]);
    let mut out = Output::new(grid.layout.elements());
    let to = out.shared();
    grid.chunks().for_each(|chunk| {
        vectorize(
            #[inline(always)]
            || {
                for segment in grid.segments(chunk) {
                    let one = grid.of(segment.channel);
                    for (i, &x) in x[segment.start..][..segment.len].iter().enumerate() {
                        // SAFETY: an element of this task's chunk.
                        unsafe { *to.at(segment.start + i) = one.value(x) };
                    }
                }
            },
        );
    });
    // SAFETY: the chunks make up the tensor.
    unsafe { out.finish() }
}

/// The straight-through gradient, of the shape of `x`: `dx = dy` where `q_min ≤ q ≤ q_max`, else 0.
///
/// # Panics
/// A slice is shorter than its sizes say.
pub fn backward(x: &[f32], dy: &[f32], grid: &Grid<'_>) -> Vec<f32> {
    grid.check(&[x, dy]);
    let mut dx = Output::new(grid.layout.elements());
    let to = dx.shared();
    grid.chunks().for_each(|chunk| {
        vectorize(
            #[inline(always)]
            || {
                for segment in grid.segments(chunk) {
                    let one = grid.of(segment.channel);
                    let own = segment.start..segment.start + segment.len;
                    for (i, (&x, &dy)) in x[own.clone()].iter().zip(&dy[own]).enumerate() {
                        // SAFETY: an element of this task's chunk.
                        unsafe { *to.at(segment.start + i) = one.passed(x, dy) };
                    }
                }
            },
        );
    });
    // SAFETY: the chunks make up the tensor.
    unsafe { dx.finish() }
}

/// Gradients of `x`, of the scales and of the zero points: learned step sizes (Esser et al., 2020, arXiv:1902.08153).
///
/// `dx` as in [`backward`]; `ds = f · Σ dy · r` with `r = round(x / s) − x / s` inside the range, `q_min − z` below
/// and `q_max − z` above; `dz = f · Σ dy · (−s)` over what lies outside, with the caller's factor `f`. The shapes are
/// those of `x`, `[channels]` and `[channels]`. As PyTorch's `_fake_quantize_learnable_per_tensor_affine` this way
/// back rounds `x · (1 / s) + z`, which differs from the way there where `x / s` lies halfway and `z` is odd.
///
/// # Panics
/// A slice is shorter than its sizes say.
pub fn backward_learnable(x: &[f32], dy: &[f32], grid: &Grid<'_>, factor: f32) -> [Vec<f32>; 3] {
    grid.check(&[x, dy]);
    let mut dx = Output::new(grid.layout.elements());
    let to = dx.shared();
    let work = |chunk: usize| {
        vectorize(
            #[inline(always)]
            || {
                let mut sums: Vec<[f64; 2]> = Vec::new();
                let (mut scales, mut zeros) = ([0f32; BLOCK], [0f32; BLOCK]);
                for segment in grid.segments(chunk) {
                    let one = grid.of(segment.channel);
                    let (mut ds, mut dz) = (0f64, 0f64);
                    for first in (0..segment.len).step_by(BLOCK) {
                        let (start, len) = (segment.start + first, BLOCK.min(segment.len - first));
                        let terms = scales.iter_mut().zip(&mut zeros);
                        let both = x[start..start + len].iter().zip(&dy[start..start + len]);
                        for (i, ((&x, &dy), (s, z))) in both.zip(terms).enumerate() {
                            let learned = one.learned(x, dy);
                            // SAFETY: an element of this task's chunk.
                            unsafe { *to.at(start + i) = learned[0] };
                            (*s, *z) = (learned[1], learned[2]);
                        }
                        ds += f64::from(sum(&scales[..len]));
                        dz += f64::from(sum(&zeros[..len]));
                    }
                    sums.push([ds, dz]);
                }
                sums
            },
        )
    };
    let sums: Vec<Vec<[f64; 2]>> = grid.chunks().map(work).collect();
    let mut totals = vec![[0f64; 2]; grid.layout.channels];
    for (chunk, sums) in sums.iter().enumerate() {
        for (segment, sum) in grid.segments(chunk).zip(sums) {
            let total = &mut totals[segment.channel];
            *total = [total[0] + sum[0], total[1] + sum[1]];
        }
    }
    let part = |i: usize| totals.iter().map(|t| (t[i] * f64::from(factor)) as f32).collect();
    // SAFETY: the chunks make up the tensor.
    [unsafe { dx.finish() }, part(0), part(1)]
}

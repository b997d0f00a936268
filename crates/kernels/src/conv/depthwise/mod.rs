//! Depthwise convolution, directly: every channel has one kernel.
//!
//! A plane is laid out with its padding, columns split by what is left of them at the stride, so that every tap reads
//! runs without gaps at any stride and dilation; then one vector of outputs is a sum over the taps.

mod backward;
mod phases;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

pub(super) use backward::backward;

use super::{Dims, Epilogue};
use crate::arch::arch;
use crate::memory::{Output, Shared, room, with_scratch};
use crate::tile::{load, store};

/// Elements of a laid out plane that are never too many.
const FEW: usize = 1 << 18;

/// Largest product of strides: each pair of remainders has a list of taps.
const PHASES: usize = 1 << 10;

/// Whether every group has one input and one output channel, and a plane, laid out, is not much larger than it is: far
/// taps and long strides leave most of it empty.
pub(super) fn fits(d: &Dims) -> bool {
    let g = &d.geometry;
    if !(g.groups > 1 && g.groups == d.c && d.c == d.o) {
        return false;
    }
    let (oh, ow) = d.output();
    let most = FEW.max(8 * (d.h * d.w).max(oh * ow.next_multiple_of(LANES)));
    let small = |extent: [usize; 3]| {
        let all = extent.iter().try_fold(1usize, |all, &size| all.checked_mul(size));
        all.is_some_and(|all| all <= most)
    };
    let back = match backward::mirrored(d) {
        Some(mirror) => small(Plan::extent(&mirror)),
        None => small(phases::extent(d)),
    };
    g.stride[0].saturating_mul(g.stride[1]) <= PHASES && small(Plan::extent(d)) && back
}

/// The laid out plane.
#[derive(Debug, Clone)]
struct Plan {
    h: usize,
    w: usize,
    oh: usize,
    ow: usize,
    stride: [usize; 2],
    padding: [usize; 2],
    /// Rows of the laid out plane, and of the part that the image fills.
    rows: usize,
    /// Columns of one remainder, whole vectors of outputs at every tap included.
    width: usize,
    /// Where each tap begins: `row · stride + column`, row-major over the kernel.
    taps: Vec<usize>,
}

/// Most lanes that a processor has.
const LANES: usize = 16;

impl Plan {
    /// Rows, remainders of a column, and columns of a remainder.
    fn extent(d: &Dims) -> [usize; 3] {
        let g = &d.geometry;
        let (oh, ow) = d.output();
        let [sy, sx] = g.stride;
        let reach = |k: usize, axis: usize| (k - 1) * g.dilation[axis];
        [(oh - 1) * sy + reach(d.kh, 0) + 1, sx, ow.next_multiple_of(LANES) + reach(d.kw, 1) / sx + 1]
    }

    fn new(d: &Dims) -> Self {
        let g = &d.geometry;
        let (oh, ow) = d.output();
        let [rows, sx, width] = Self::extent(d);
        let taps = (0..d.kh * d.kw)
            .map(|t| {
                let (y, x) = (t / d.kw * g.dilation[0], t % d.kw * g.dilation[1]);
                (y * sx + x % sx) * width + x / sx
            })
            .collect();
        let padding = [g.padding[0].0, g.padding[1].0];
        Self { h: d.h, w: d.w, oh, ow, stride: g.stride, padding, rows, width, taps }
    }

    fn len(&self) -> usize {
        self.rows * self.stride[1] * self.width
    }

    /// Elements between the rows that two rows of outputs begin with.
    fn step(&self) -> usize {
        self.stride[0] * self.stride[1] * self.width
    }

    /// Runs of the image in the laid out plane: calls `f(offset in the plane, offset in the image, length)`; elements
    /// of the image lie `stride[1]` apart.
    #[inline(always)]
    fn runs(&self, mut f: impl FnMut(usize, usize, usize)) {
        let sx = self.stride[1];
        for row in 0..self.rows {
            let Some(y) = row.checked_sub(self.padding[0]).filter(|&y| y < self.h) else { continue };
            for phase in 0..sx {
                // Column `i · sx + phase` of the padded row is `x + padding`.
                let first = self.padding[1].saturating_sub(phase).div_ceil(sx);
                let x = first * sx + phase - self.padding[1];
                let len = self.w.saturating_sub(x).div_ceil(sx).min(self.width.saturating_sub(first));
                if len > 0 {
                    f((row * sx + phase) * self.width + first, y * self.w + x, len);
                }
            }
        }
    }

    /// Fills the laid out plane, whose padding is zero already.
    #[inline(always)]
    fn spread(&self, image: &[f32], plane: &mut [f32]) {
        let sx = self.stride[1];
        self.runs(|to, from, len| {
            let plane = &mut plane[to..to + len];
            if sx == 1 {
                plane.copy_from_slice(&image[from..from + len]);
            } else {
                plane.iter_mut().zip(image[from..].iter().step_by(sx)).for_each(|(p, &v)| *p = v);
            }
        });
    }
}

/// `act(scale · y + bias + residual)`, plane by plane.
pub(super) fn forward(x: &[f32], w: &[f32], d: &Dims, epilogue: &Epilogue<'_>) -> Vec<f32> {
    let plan = Plan::new(d);
    let mut out = Output::new(d.output_len());
    let to = out.shared();
    let (plane, pixels) = (d.h * d.w, plan.oh * plan.ow);
    let k = d.kh * d.kw;
    let chunk = (d.n * d.c).div_ceil(8 * rayon::current_num_threads()).max(1);
    (0..(d.n * d.c).div_ceil(chunk)).into_par_iter().for_each(|task| {
        with_scratch(|scratch| {
            let laid = room(&mut scratch.a, plan.len());
            laid.fill(0.0);
            for i in task * chunk..((task + 1) * chunk).min(d.n * d.c) {
                let c = i % d.c;
                let factor = epilogue.scale.and_then(|s| s.get(c)).copied().unwrap_or(1.0);
                let weights: Vec<f32> = w[c * d.weight_row()..][..k].iter().map(|w| w * factor).collect();
                arch().dispatch(Plane {
                    plan: &plan,
                    image: &x[i * plane..(i + 1) * plane],
                    laid,
                    weights: &weights,
                    to,
                    first: i * pixels,
                    bias: epilogue.bias.and_then(|b| b.get(c)).copied().unwrap_or(0.0),
                    epilogue,
                });
            }
        });
    });
    // SAFETY: every plane was written.
    unsafe { out.finish() }
}

/// One plane of outputs.
struct Plane<'a> {
    plan: &'a Plan,
    image: &'a [f32],
    laid: &'a mut [f32],
    weights: &'a [f32],
    to: Shared,
    first: usize,
    bias: f32,
    epilogue: &'a Epilogue<'a>,
}

impl WithSimd for Plane<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Plane { plan, image, laid, weights, to, first, bias, epilogue } = self;
        plan.spread(image, laid);
        // SAFETY: a plane of the output begins at `first`, and is this task's.
        unsafe {
            if let (Ok(taps), Ok(weights)) = (<&[usize; 9]>::try_from(&plan.taps[..]), weights.try_into()) {
                rows::<S, 9>(simd, plan, laid, taps, weights, (to, first), bias, epilogue);
            } else {
                rows_any(simd, plan, laid, weights, (to, first), bias, epilogue);
            }
        }
    }
}

/// Sums of all rows for a kernel of `T` taps.
///
/// # Safety
/// A plane of the output begins at `to`.
#[allow(clippy::too_many_arguments)]
#[inline(always)]
unsafe fn rows<S: Simd, const T: usize>(
    simd: S,
    plan: &Plan,
    laid: &[f32],
    taps: &[usize; T],
    weights: &[f32; T],
    to: (Shared, usize),
    bias: f32,
    epilogue: &Epilogue<'_>,
) {
    let weights = weights.map(|w| simd.splat_f32s(w));
    for oy in 0..plan.oh {
        for ox in (0..plan.ow).step_by(S::F32_LANES) {
            let mut sum = simd.splat_f32s(bias);
            let base = oy * plan.step() + ox;
            for (tap, &w) in taps.iter().zip(&weights) {
                // SAFETY: the laid out plane holds whole vectors at every tap.
                let v = unsafe { load::<S>(laid.as_ptr().add(base + tap)) };
                sum = simd.mul_add_e_f32s(v, w, sum);
            }
            // SAFETY: the caller's promise.
            unsafe { put(simd, sum, plan, to, oy, ox, epilogue) };
        }
    }
}

/// As [`rows`], for any number of taps.
///
/// # Safety
/// A plane of the output begins at `to`.
#[inline(always)]
unsafe fn rows_any<S: Simd>(
    simd: S,
    plan: &Plan,
    laid: &[f32],
    weights: &[f32],
    to: (Shared, usize),
    bias: f32,
    epilogue: &Epilogue<'_>,
) {
    for oy in 0..plan.oh {
        for ox in (0..plan.ow).step_by(S::F32_LANES) {
            let mut sum = simd.splat_f32s(bias);
            let base = oy * plan.step() + ox;
            for (tap, &w) in plan.taps.iter().zip(weights) {
                // SAFETY: the laid out plane holds whole vectors at every tap.
                let v = unsafe { load::<S>(laid.as_ptr().add(base + tap)) };
                sum = simd.mul_add_e_f32s(v, simd.splat_f32s(w), sum);
            }
            // SAFETY: the caller's promise.
            unsafe { put(simd, sum, plan, to, oy, ox, epilogue) };
        }
    }
}

/// Stores a vector of outputs of row `oy` from column `ox` on, as far as the row goes.
///
/// # Safety
/// A plane of the output begins at `to`.
#[inline(always)]
unsafe fn put<S: Simd>(
    simd: S,
    sum: S::f32s,
    plan: &Plan,
    (to, first): (Shared, usize),
    oy: usize,
    ox: usize,
    epilogue: &Epilogue<'_>,
) {
    let (low, high) = epilogue.activation.range();
    let at = first + oy * plan.ow + ox;
    // SAFETY: the caller's promise; the residual has the output's shape.
    unsafe {
        if ox + S::F32_LANES <= plan.ow {
            let mut sum = sum;
            if let Some(residual) = epilogue.residual {
                sum = simd.add_f32s(sum, load::<S>(residual.as_ptr().add(at)));
            }
            let sum = simd.min_f32s(simd.splat_f32s(high), simd.max_f32s(simd.splat_f32s(low), sum));
            store::<S>(to.at(at), sum);
            return;
        }
        let mut line = [0.0; LANES];
        store::<S>(line.as_mut_ptr(), sum);
        for (i, &v) in line.iter().enumerate().take(plan.ow - ox) {
            let v = v + epilogue.residual.map_or(0.0, |r| r[at + i]);
            let v = if v < low { low } else { v };
            *to.at(at + i) = if v > high { high } else { v };
        }
    }
}

//! The gradient of a strided depthwise convolution's input.
//!
//! Pixels that are equally far from the last multiple of the stride, a phase, are reached by the same taps. Each phase
//! is a convolution of the output's gradient at stride 1, so that every pixel is written once, by a sum.

use std::mem::MaybeUninit;

use pulp::Simd;

use super::LANES;
use crate::conv::{Dims, Geometry};
use crate::tile::{load, store};

/// A tap of a phase: how far it reaches back in the laid out plane, and its weight.
#[derive(Debug, Clone, Copy)]
struct Tap {
    back: usize,
    weight: usize,
}

/// Phases with their taps, and how the output's gradient is laid out for them.
#[derive(Debug, Clone)]
pub(super) struct Phases {
    stride: [usize; 2],
    padding: [usize; 2],
    /// Size of the input.
    size: [usize; 2],
    /// Columns of the output.
    ow: usize,
    /// Rows and columns of zeros before the gradient.
    before: [usize; 2],
    rows: usize,
    width: usize,
    /// By row phase, then column phase.
    taps: Vec<Vec<Tap>>,
}

/// Rows and columns of zeros before the gradient.
fn before(d: &Dims) -> [usize; 2] {
    let Geometry { stride: [sy, sx], dilation, .. } = d.geometry;
    [(d.kh - 1) * dilation[0] / sy, (d.kw - 1) * dilation[1] / sx]
}

/// Rows, planes (one) and columns of the laid out gradient.
pub(super) fn extent(d: &Dims) -> [usize; 3] {
    let Geometry { stride: [sy, sx], padding, .. } = d.geometry;
    let ((oh, ow), before) = (d.output(), before(d));
    let reached = |size: usize, padding: usize, stride: usize| (size + padding).div_ceil(stride);
    let rows = before[0] + oh.max(reached(d.h, padding[0].0, sy));
    [rows, 1, before[1] + ow.max(reached(d.w, padding[1].0, sx)) + LANES]
}

impl Phases {
    pub(super) fn new(d: &Dims) -> Self {
        let g = &d.geometry;
        let [sy, sx] = g.stride;
        let (_, ow) = d.output();
        let padding = [g.padding[0].0, g.padding[1].0];
        let ([rows, _, width], before) = (extent(d), before(d));
        let mut taps = vec![Vec::new(); sy * sx];
        for t in 0..d.kh * d.kw {
            let (y, x) = (t / d.kw * g.dilation[0], t % d.kw * g.dilation[1]);
            if let Some(phase) = taps.get_mut(y % sy * sx + x % sx) {
                phase.push(Tap { back: y / sy * width + x / sx, weight: t });
            }
        }
        Self { stride: g.stride, padding, size: [d.h, d.w], ow, before, rows, width, taps }
    }

    /// Elements of the laid out plane and of one line for each column phase.
    pub(super) fn len(&self) -> usize {
        self.rows * self.width + self.stride[1] * self.line()
    }

    fn line(&self) -> usize {
        self.size[1].div_ceil(self.stride[1]).next_multiple_of(LANES)
    }

    /// `dx` of one plane, written in full; `room` has [`Phases::len`] elements and zeros wherever no gradient is laid out.
    #[inline(always)]
    pub(super) fn plane<S: Simd>(
        &self,
        simd: S,
        dy: &[f32],
        weights: &[f32],
        room: &mut [f32],
        dx: &mut [MaybeUninit<f32>],
    ) {
        let (laid, lines) = room.split_at_mut(self.rows * self.width);
        let [sy, sx] = self.stride;
        let [h, w] = self.size;
        let rows = laid.chunks_exact_mut(self.width).skip(self.before[0]);
        for (to, from) in rows.zip(dy.chunks_exact(self.ow)) {
            to[self.before[1]..self.before[1] + self.ow].copy_from_slice(from);
        }
        let line = self.line();
        for (y, dx) in dx.chunks_exact_mut(w).enumerate().take(h) {
            let row = (y + self.padding[0]) / sy + self.before[0];
            for first in 0..sx.min(w) {
                let column = first + self.padding[1];
                let taps = &self.taps[(y + self.padding[0]) % sy * sx + column % sx];
                let base = row * self.width + column / sx + self.before[1];
                for at in (0..(w - first).div_ceil(sx)).step_by(S::F32_LANES) {
                    let mut sum = simd.splat_f32s(0.0);
                    for tap in taps {
                        // SAFETY: rows and columns of zeros lie before and behind what the taps reach.
                        let v = unsafe { load::<S>(laid.as_ptr().add(base + at - tap.back)) };
                        sum = simd.mul_add_e_f32s(v, simd.splat_f32s(weights[tap.weight]), sum);
                    }
                    // SAFETY: a line holds whole vectors.
                    unsafe { store::<S>(lines.as_mut_ptr().add(first * line + at), sum) };
                }
            }
            if sx == 2 {
                // Two columns at a time, so that the loop is one of whole vectors.
                let (even, odd) = lines.split_at(line);
                dx.chunks_exact_mut(2).zip(even.iter().zip(odd)).for_each(|(to, (&a, &b))| {
                    to[0].write(a);
                    to[1].write(b);
                });
                if let (1, Some(last)) = (w % 2, dx.last_mut()) {
                    last.write(even[w / 2]);
                }
                continue;
            }
            for (first, line) in lines.chunks_exact(line).enumerate().take(w) {
                dx[first..].iter_mut().step_by(sx).zip(line).for_each(|(to, &v)| {
                    to.write(v);
                });
            }
        }
    }
}

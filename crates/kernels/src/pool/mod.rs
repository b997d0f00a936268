//! Pooling over windows of planes, and over whole planes.
//!
//! Window `(oy, ox)` of a plane covers rows `oy · s_h − p_h .. + k_h` and columns `ox · s_w − p_w .. + k_w`, less what
//! lies outside the image.

mod adaptive;
mod columns;
mod global;
mod max;
mod pairs;

use std::ops::Range;

use rayon::prelude::*;

pub use self::adaptive::{
    Adaptive, adaptive_avg_backward, adaptive_avg_forward, adaptive_max_backward, adaptive_max_forward,
};
use self::columns::Columns;
pub use self::global::{global_avg_backward, global_avg_forward};
pub use self::max::{max_backward, max_forward, max_forward_only};
use crate::memory::Output;
use crate::vector::vectorize;

/// Windows over planes.
///
/// The caller chooses the size of the output, and with it whether a window may begin in the last columns
/// (`ceil_mode`): windows may reach beyond the padded image. Strides of 0 count as 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    /// Rows and columns of a window.
    pub kernel: [usize; 2],
    /// Distance of windows.
    pub stride: [usize; 2],
    /// Rows above and below, columns left and right of the image.
    pub padding: [usize; 2],
    /// Rows and columns of an input plane.
    pub input: [usize; 2],
    /// Rows and columns of an output plane.
    pub output: [usize; 2],
}

impl Pool {
    /// Elements of an input plane.
    pub fn input_plane(&self) -> usize {
        self.input[0] * self.input[1]
    }

    /// Elements of an output plane.
    pub fn output_plane(&self) -> usize {
        self.output[0] * self.output[1]
    }

    /// What window `at` covers of the image.
    #[inline(always)]
    fn window(&self, axis: usize, at: usize) -> Range<usize> {
        let (from, size) = (at * self.stride[axis].max(1), self.input[axis]);
        let inside = |v: usize| v.saturating_sub(self.padding[axis]).min(size);
        inside(from)..inside(from + self.kernel[axis])
    }

    /// Elements that window `at` counts for.
    fn count(&self, axis: usize, at: usize, include_pad: bool) -> f32 {
        let count = if include_pad {
            let from = at * self.stride[axis].max(1);
            let padded = self.input[axis] + 2 * self.padding[axis];
            (from + self.kernel[axis]).min(padded).saturating_sub(from)
        } else {
            self.window(axis, at).len()
        };
        count.max(1) as f32
    }

    /// Elements that each row (axis 0) or column (axis 1) of windows counts for in a mean: those inside the image, and
    /// of the padding where `include_pad`, at least 1.
    pub fn counts(&self, axis: usize, include_pad: bool) -> Vec<f32> {
        (0..self.output[axis]).map(|at| self.count(axis, at, include_pad)).collect()
    }

    /// Planes that are worth a task.
    fn planes_per_task(&self) -> usize {
        ((1 << 14) / self.input_plane().max(1)).max(1)
    }
}

fn check(x: &[f32], planes: usize, plane: usize) {
    assert!(x.len() >= planes * plane, "sizes do not fit the slice");
}

/// Folds windows with an operation whose order does not matter: first along columns, then along rows.
fn fold(
    x: &[f32],
    planes: usize,
    pool: &Pool,
    empty: f32,
    op: impl Fn(f32, f32) -> f32 + Copy + Send + Sync,
    finish: impl Fn(usize, &mut [f32]) + Copy + Send + Sync,
) -> Vec<f32> {
    let (plane, out_plane) = (pool.input_plane(), pool.output_plane());
    check(x, planes, plane);
    let mut out = Output::new(planes * out_plane);
    let to = out.shared();
    let (columns, [_, width], [rows, out_width]) = (Columns::new(pool), pool.input, pool.output);
    let buffers = || (vec![0.0; width], vec![0.0; columns.line()], vec![0.0; columns.wide]);
    let tasks = (0..planes).into_par_iter().with_min_len(pool.planes_per_task());
    tasks.for_each_init(buffers, |(row, line, sums), p| {
        vectorize(
            #[inline(always)]
            || {
                let x = &x[p * plane..(p + 1) * plane];
                for oy in 0..rows {
                    row.fill(empty);
                    for iy in pool.window(0, oy) {
                        for (a, &v) in row.iter_mut().zip(&x[iy * width..(iy + 1) * width]) {
                            *a = op(*a, v);
                        }
                    }
                    columns.sort(row, line, empty);
                    sums.fill(empty);
                    for kx in 0..columns.kernel {
                        for (a, &v) in sums.iter_mut().zip(&line[columns.tap(kx)]) {
                            *a = op(*a, v);
                        }
                    }
                    let sums = &mut sums[..out_width];
                    finish(oy, sums);
                    // SAFETY: a row of this task's plane.
                    unsafe { to.put(p * out_plane + oy * out_width, sums) };
                }
            },
        );
    });
    // SAFETY: every row of every plane was written.
    unsafe { out.finish() }
}

/// Runs `add(buffers, plane, dx)` on every input plane, which is 0 before.
fn gradient<T>(
    planes: usize,
    pool: &Pool,
    buffers: impl Fn() -> T + Send + Sync,
    add: impl Fn(&mut T, usize, &mut [f32]) + Send + Sync,
) -> Vec<f32> {
    let plane = pool.input_plane();
    let mut dx = Output::new(planes * plane);
    let to = dx.shared();
    let tasks = (0..planes).into_par_iter().with_min_len(pool.planes_per_task());
    tasks.for_each_init(buffers, |buffers, p| {
        // SAFETY: this task's plane.
        add(buffers, p, unsafe { to.zeros(p * plane, plane) });
    });
    // SAFETY: every plane was written.
    unsafe { dx.finish() }
}

/// The mean of every window, `[planes, oh, ow]`: the sum of what it covers of the image, over the number of elements
/// it covers of the padded image with `count_include_pad`, else of the image. 0 where it covers nothing.
///
/// # Panics
/// `x` is shorter than `planes` input planes.
pub fn avg_forward(x: &[f32], planes: usize, pool: &Pool, count_include_pad: bool) -> Vec<f32> {
    let (rows, columns) = (pool.counts(0, count_include_pad), pool.counts(1, count_include_pad));
    fold(
        x,
        planes,
        pool,
        0.0,
        |a, v| a + v,
        |oy, sums| {
            for (sum, columns) in sums.iter_mut().zip(&columns) {
                *sum /= rows[oy] * columns;
            }
        },
    )
}

/// `dx[i] = Σ dy[o] / count[o]` over the windows that cover `i`, `[planes, h, w]`.
///
/// # Panics
/// `dy` is shorter than `planes` output planes.
pub fn avg_backward(dy: &[f32], planes: usize, pool: &Pool, count_include_pad: bool) -> Vec<f32> {
    let out_plane = pool.output_plane();
    check(dy, planes, out_plane);
    let (columns, [_, width], [rows, out_width]) = (Columns::new(pool), pool.input, pool.output);
    let (down, across) = (pool.counts(0, count_include_pad), pool.counts(1, count_include_pad));
    let buffers = || (vec![0.0; columns.wide], vec![0.0; columns.line()], vec![0.0; width]);
    gradient(planes, pool, buffers, |(shares, line, row), p, dx| {
        vectorize(
            #[inline(always)]
            || {
                for oy in 0..rows {
                    let dy = &dy[p * out_plane + oy * out_width..][..out_width];
                    for ((share, &g), across) in shares.iter_mut().zip(dy).zip(&across) {
                        *share = g / (down[oy] * across);
                    }
                    line.fill(0.0);
                    for kx in 0..columns.kernel {
                        for (sum, &share) in line[columns.tap(kx)].iter_mut().zip(&*shares) {
                            *sum += share;
                        }
                    }
                    columns.unsort(line, row);
                    for iy in pool.window(0, oy) {
                        for (d, &v) in dx[iy * width..(iy + 1) * width].iter_mut().zip(&*row) {
                            *d += v;
                        }
                    }
                }
            },
        );
    })
}

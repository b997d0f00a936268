//! Pooling to a size that is asked for: windows of nearly equal size that cover the plane.
//!
//! Window `i` of `n` along an axis of `size` elements begins at `floor(i · size / n)` and ends before
//! `ceil((i + 1) · size / n)`, as `torch.nn.AdaptiveAvgPool2d` has them: where `n` does not divide `size`, neighbours
//! share elements, and where it is larger, elements are in several windows.

use std::ops::Range;

use rayon::prelude::*;

use super::check;
use super::max::wins;
use crate::memory::Output;

/// Elements that are worth a task.
const TASK: usize = 1 << 14;

/// Planes of one size, pooled to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Adaptive {
    /// Rows and columns of an input plane.
    pub input: [usize; 2],
    /// Rows and columns of an output plane.
    pub output: [usize; 2],
}

impl Adaptive {
    /// Elements of an input plane.
    pub fn input_plane(&self) -> usize {
        self.input[0] * self.input[1]
    }

    /// Elements of an output plane.
    pub fn output_plane(&self) -> usize {
        self.output[0] * self.output[1]
    }

    /// What window `at` along `axis` covers.
    pub fn window(&self, axis: usize, at: usize) -> Range<usize> {
        let (size, n) = (self.input[axis] as u128, self.output[axis].max(1) as u128);
        let at = at as u128;
        // At most `size`.
        (at * size / n) as usize..((at + 1) * size).div_ceil(n) as usize
    }

    fn windows(&self) -> [Vec<Range<usize>>; 2] {
        [0, 1].map(|axis| (0..self.output[axis]).map(|at| self.window(axis, at)).collect())
    }

    fn planes_per_task(&self) -> usize {
        (TASK / self.input_plane().max(self.output_plane()).max(1)).max(1)
    }
}

/// The mean of every window, `[planes, oh, ow]`; NaN where the input has no elements.
///
/// # Panics
/// `x` is shorter than `planes` input planes.
pub fn adaptive_avg_forward(x: &[f32], planes: usize, pool: &Adaptive) -> Vec<f32> {
    let (plane, out_plane, width) = (pool.input_plane(), pool.output_plane(), pool.input[1]);
    check(x, planes, plane);
    let [rows, columns] = pool.windows();
    let mut out = Output::new(planes * out_plane);
    let to = out.shared();
    let tasks = (0..planes).into_par_iter().with_min_len(pool.planes_per_task());
    tasks.for_each_init(
        || vec![0.0f32; width],
        |sums, p| {
            let x = &x[p * plane..(p + 1) * plane];
            for (oy, rows) in rows.iter().enumerate() {
                sums.fill(0.0);
                for iy in rows.clone() {
                    sums.iter_mut().zip(&x[iy * width..(iy + 1) * width]).for_each(|(sum, v)| *sum += v);
                }
                for (ox, columns) in columns.iter().enumerate() {
                    let sum: f32 = sums[columns.clone()].iter().sum();
                    // SAFETY: an element of this task's plane.
                    unsafe {
                        *to.at(p * out_plane + oy * pool.output[1] + ox) =
                            sum / (rows.len() * columns.len()) as f32;
                    }
                }
            }
        },
    );
    // SAFETY: every element of every plane was written.
    unsafe { out.finish() }
}

/// `dx[i] = Σ dy[o] / count[o]` over the windows that cover `i`, `[planes, h, w]`.
///
/// # Panics
/// `dy` is shorter than `planes` output planes.
pub fn adaptive_avg_backward(dy: &[f32], planes: usize, pool: &Adaptive) -> Vec<f32> {
    let (plane, out_plane, width) = (pool.input_plane(), pool.output_plane(), pool.input[1]);
    check(dy, planes, out_plane);
    let [rows, columns] = pool.windows();
    let mut dx = Output::new(planes * plane);
    let to = dx.shared();
    let tasks = (0..planes).into_par_iter().with_min_len(pool.planes_per_task());
    tasks.for_each_init(
        || vec![0.0f32; width],
        |row, p| {
            // SAFETY: this task's plane.
            let dx = unsafe { to.zeros(p * plane, plane) };
            for (oy, rows) in rows.iter().enumerate() {
                row.fill(0.0);
                let dy = &dy[p * out_plane + oy * pool.output[1]..][..pool.output[1]];
                for (columns, &g) in columns.iter().zip(dy) {
                    let share = g / (rows.len() * columns.len()) as f32;
                    row[columns.clone()].iter_mut().for_each(|v| *v += share);
                }
                for iy in rows.clone() {
                    dx[iy * width..(iy + 1) * width].iter_mut().zip(&*row).for_each(|(d, v)| *d += v);
                }
            }
        },
    );
    // SAFETY: every plane was written.
    unsafe { dx.finish() }
}

/// The largest element of every window and where it lies in its input plane, both `[planes, oh, ow]`; of equal elements
/// the first in row order, and the last NaN where there is one, as in PyTorch. −∞ where the input has no elements.
///
/// # Panics
/// `x` is shorter than `planes` input planes.
pub fn adaptive_max_forward(x: &[f32], planes: usize, pool: &Adaptive) -> (Vec<f32>, Vec<u32>) {
    let (plane, out_plane, width) = (pool.input_plane(), pool.output_plane(), pool.input[1]);
    check(x, planes, plane);
    let [rows, columns] = pool.windows();
    let mut out = Output::new(planes * out_plane);
    let to = out.shared();
    let mut indices = vec![0u32; planes * out_plane];
    let tasks = indices.par_chunks_mut(out_plane.max(1)).with_min_len(pool.planes_per_task());
    tasks.enumerate().for_each(|(p, indices)| {
        let x = &x[p * plane..(p + 1) * plane];
        let windows = rows.iter().flat_map(|rows| columns.iter().map(move |columns| (rows, columns)));
        for (o, (place, (rows, columns))) in indices.iter_mut().zip(windows).enumerate() {
            let first = rows.start * width + columns.start;
            let (mut largest, mut here) = (f32::NEG_INFINITY, first);
            for iy in rows.clone() {
                for ix in columns.clone() {
                    let v = x[iy * width + ix];
                    if wins(v, largest) {
                        (largest, here) = (v, iy * width + ix);
                    }
                }
            }
            *place = here as u32;
            // SAFETY: an element of this task's plane.
            unsafe { *to.at(p * out_plane + o) = largest };
        }
    });
    // SAFETY: every element of every plane was written.
    (unsafe { out.finish() }, indices)
}

/// `dx[i] = Σ dy[o]` over the windows whose largest element is `i`, `[planes, h, w]`; `indices` as
/// [`adaptive_max_forward`] gives them. An index outside the plane is passed over.
///
/// # Panics
/// `dy` or `indices` is shorter than `planes` output planes.
pub fn adaptive_max_backward(dy: &[f32], indices: &[u32], planes: usize, pool: &Adaptive) -> Vec<f32> {
    let (plane, out_plane) = (pool.input_plane(), pool.output_plane());
    check(dy, planes, out_plane);
    assert!(indices.len() >= planes * out_plane, "sizes do not fit the slice");
    let mut dx = Output::new(planes * plane);
    let to = dx.shared();
    let tasks = (0..planes).into_par_iter().with_min_len(pool.planes_per_task());
    tasks.for_each(|p| {
        // SAFETY: this task's plane.
        let dx = unsafe { to.zeros(p * plane, plane) };
        let own = p * out_plane..(p + 1) * out_plane;
        for (&i, &g) in indices[own.clone()].iter().zip(&dy[own]) {
            if let Some(d) = dx.get_mut(i as usize) {
                *d += g;
            }
        }
    });
    // SAFETY: every plane was written.
    unsafe { dx.finish() }
}

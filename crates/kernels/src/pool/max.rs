//! The largest elements of windows.

use rayon::prelude::*;

use super::columns::Columns;
use super::{Pool, check, fold, gradient, pairs};
use crate::memory::Output;
use crate::vector::vectorize;

/// Whether `v` takes the place of the largest so far, as PyTorch decides it: the first of equals stays, the last NaN
/// wins.
#[inline(always)]
pub(super) fn wins(v: f32, largest: f32) -> bool {
    (v > largest) | v.is_nan()
}

/// The largest element of every window, `[planes, oh, ow]`; −∞ where a window covers nothing, NaN where it covers one.
///
/// # Panics
/// `x` is shorter than `planes` input planes.
pub fn max_forward_only(x: &[f32], planes: usize, pool: &Pool) -> Vec<f32> {
    let largest = |a: f32, v: f32| if wins(v, a) { v } else { a };
    fold(x, planes, pool, f32::NEG_INFINITY, largest, |_, _| {})
}

/// The largest element of every window and where it lies in its input plane, both `[planes, oh, ow]`.
///
/// As in PyTorch the first of equal elements in row order is taken, and the last NaN where there is one. A window
/// that covers nothing gives −∞.
///
/// # Panics
/// `x` is shorter than `planes` input planes.
pub fn max_forward(x: &[f32], planes: usize, pool: &Pool) -> (Vec<f32>, Vec<u32>) {
    if pairs::fits(pool) {
        return pairs::forward(x, planes, pool);
    }
    let (plane, out_plane) = (pool.input_plane(), pool.output_plane());
    check(x, planes, plane);
    let mut out = Output::new(planes * out_plane);
    let to = out.shared();
    let mut indices = vec![0u32; planes * out_plane];
    let (columns, [height, width], [_, out_width]) = (Columns::new(pool), pool.input, pool.output);
    let first: Vec<u32> = (0..out_width).map(|ox| pool.window(1, ox).start as u32).collect();
    let buffers =
        || (vec![0.0; height * columns.line()], vec![0.0f32; columns.wide], vec![0u32; columns.wide]);
    let tasks = indices.par_chunks_mut(out_plane.max(1)).with_min_len(pool.planes_per_task());
    tasks.enumerate().for_each_init(buffers, |(lines, largest, places), (p, indices)| {
        vectorize(
            #[inline(always)]
            || {
                let (x, line, stride) =
                    (&x[p * plane..(p + 1) * plane], columns.line(), columns.stride as u32);
                for iy in 0..height {
                    let row = &x[iy * width..(iy + 1) * width];
                    columns.sort(row, &mut lines[iy * line..(iy + 1) * line], f32::NEG_INFINITY);
                }
                for (oy, indices) in indices.chunks_exact_mut(out_width.max(1)).enumerate() {
                    let rows = pool.window(0, oy);
                    largest.fill(f32::NEG_INFINITY);
                    for (place, &first) in places.iter_mut().zip(&first) {
                        *place = first + (rows.start * width) as u32;
                    }
                    for iy in rows {
                        let line = &lines[iy * line..(iy + 1) * line];
                        for kx in 0..columns.kernel {
                            // Wraps left of the image, where nothing wins.
                            let base = ((iy * width + kx) as u32).wrapping_sub(columns.padding as u32);
                            let taps = &line[columns.tap(kx)];
                            let (largest, places) = (&mut largest[..taps.len()], &mut places[..taps.len()]);
                            for (ox, &v) in taps.iter().enumerate() {
                                let take = wins(v, largest[ox]);
                                let here = base.wrapping_add((ox as u32).wrapping_mul(stride));
                                largest[ox] = if take { v } else { largest[ox] };
                                places[ox] = if take { here } else { places[ox] };
                            }
                        }
                    }
                    indices.copy_from_slice(&places[..out_width]);
                    // SAFETY: a row of this task's plane.
                    unsafe { to.put(p * out_plane + oy * out_width, &largest[..out_width]) };
                }
            },
        );
    });
    // SAFETY: every row of every plane was written.
    (unsafe { out.finish() }, indices)
}

/// `dx[i] = Σ dy[o]` over the windows whose largest element is `i`, `[planes, h, w]`; `indices` as [`max_forward`]
/// gives them. An index outside the plane is passed over.
///
/// # Panics
/// `dy` or `indices` is shorter than `planes` output planes.
pub fn max_backward(dy: &[f32], indices: &[u32], planes: usize, pool: &Pool) -> Vec<f32> {
    let out_plane = pool.output_plane();
    check(dy, planes, out_plane);
    assert!(indices.len() >= planes * out_plane, "sizes do not fit the slice");
    gradient(
        planes,
        pool,
        || (),
        |(), p, dx| {
            let own = p * out_plane..(p + 1) * out_plane;
            for (&i, &g) in indices[own.clone()].iter().zip(&dy[own]) {
                if let Some(d) = dx.get_mut(i as usize) {
                    *d += g;
                }
            }
        },
    )
}

//! The largest of 2x2 elements that do not overlap: the pooling of most plain networks.

use rayon::prelude::*;

use super::max::wins;
use super::{Pool, check};
use crate::memory::Output;
use crate::vector::vectorize;

/// Whether all windows are 2x2, lie side by side and inside the image.
pub(super) fn fits(pool: &Pool) -> bool {
    let inside = pool.output.iter().zip(pool.input).all(|(&out, input)| 2 * out <= input);
    pool.kernel == [2, 2] && pool.stride == [2, 2] && pool.padding == [0, 0] && inside
}

/// As [`super::max_forward`].
pub(super) fn forward(x: &[f32], planes: usize, pool: &Pool) -> (Vec<f32>, Vec<u32>) {
    let (plane, out_plane) = (pool.input_plane(), pool.output_plane());
    check(x, planes, plane);
    let ([_, width], [_, out_width]) = (pool.input, pool.output);
    let mut out = Output::new(planes * out_plane);
    let to = out.shared();
    let mut indices = vec![0u32; planes * out_plane];
    let tasks = indices.par_chunks_mut(out_plane.max(1)).with_min_len(pool.planes_per_task());
    tasks.enumerate().for_each(|(p, indices)| {
        vectorize(
            #[inline(always)]
            || {
                let x = &x[p * plane..(p + 1) * plane];
                for (oy, places) in indices.chunks_exact_mut(out_width.max(1)).enumerate() {
                    let first = 2 * oy * width;
                    let above = &x[first..first + 2 * out_width];
                    let below = &x[first + width..first + width + 2 * out_width];
                    // SAFETY: a row of this task's plane.
                    let out = unsafe { to.slice(p * out_plane + oy * out_width, out_width) };
                    let pairs = above.chunks_exact(2).zip(below.chunks_exact(2));
                    for (ox, ((out, place), (above, below))) in
                        out.iter_mut().zip(places.iter_mut()).zip(pairs).enumerate()
                    {
                        let base = (first + 2 * ox) as u32;
                        let (mut largest, mut here) = (above[0], base);
                        for (v, i) in [
                            (above[1], base + 1),
                            (below[0], base + width as u32),
                            (below[1], base + width as u32 + 1),
                        ] {
                            let take = wins(v, largest);
                            largest = if take { v } else { largest };
                            here = if take { i } else { here };
                        }
                        out.write(largest);
                        *place = here;
                    }
                }
            },
        );
    });
    // SAFETY: every row of every plane was written.
    (unsafe { out.finish() }, indices)
}

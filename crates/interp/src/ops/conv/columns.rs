//! Convolution over any number of axes as a product with the columns of taps.

use rayon::prelude::*;

use super::Plan;
use crate::Result;
use crate::numbers::Element;
use crate::product::{Layout, Multiply, Sizes, multiply};
use crate::view::{count, strides, walk};

/// Where tap `tap` of the window at `at` lies along spatial axis `i`; none in the padding.
fn place(plan: &Plan, i: usize, at: usize, tap: usize) -> Option<usize> {
    let (stride, dilation) = (plan.window.stride.get(i)?, plan.window.dilation.get(i)?);
    let p = (at * stride + tap * dilation).checked_sub(plan.at.get(i)?.before)?;
    (p < *plan.spatial.get(i)?).then_some(p)
}

/// For every position along the first `axes` spatial axes an image whose channels are those of the input at every tap of
/// these axes: `[N · P.., C · K.., rest..]`; zeros outside the input.
pub(super) fn unfold<T: Element>(plan: &Plan, x: &[T], axes: usize) -> Result<Vec<T>> {
    let kernel = plan.window.kernel.get(..axes).unwrap_or_default();
    let positions: Vec<usize> = plan.at.iter().take(axes).map(|p| p.count).collect();
    let rest: usize = plan.spatial.iter().skip(axes).product();
    let inside = strides(plan.spatial.get(..axes).unwrap_or_default());
    let plane: usize = plan.spatial.iter().product();
    let (outer, taps) = (count(&positions)?, count(kernel)?);
    let mut to = vec![T::from_i64(0); count(&[plan.n, outer, plan.c, taps, rest])?];
    if to.is_empty() {
        return Ok(to);
    }
    let of = |mut flat: usize, sizes: &[usize]| {
        let mut index = vec![0; sizes.len()];
        for (i, n) in index.iter_mut().zip(sizes).rev() {
            *i = flat % (*n).max(1);
            flat /= (*n).max(1);
        }
        index
    };
    to.par_chunks_mut(rest * taps * plan.c).enumerate().for_each(|(image, to)| {
        let (n, at) = (image / outer, of(image % outer, &positions));
        for tap in 0..taps {
            let offset = of(tap, kernel)
                .iter()
                .zip(&at)
                .enumerate()
                .map(|(i, (&k, &a))| Some(place(plan, i, a, k)? * inside.get(i)?))
                .sum::<Option<usize>>();
            let Some(offset) = offset else { continue };
            for channel in 0..plan.c {
                let from = (n * plan.c + channel) * plane + offset * rest;
                let row = channel * taps + tap;
                if let (Some(to), Some(from)) =
                    (to.get_mut(row * rest..(row + 1) * rest), x.get(from..from + rest))
                {
                    to.copy_from_slice(from);
                }
            }
        }
    });
    Ok(to)
}

/// `[n, outer, channels, ..]` as `[n, channels, outer, ..]`.
pub(super) fn swap<T: Element>(y: &[T], n: usize, outer: usize, channels: usize) -> Vec<T> {
    let plane = y.len() / (n * outer * channels).max(1);
    let mut to = Vec::with_capacity(y.len());
    for i in 0..n {
        for c in 0..channels {
            for o in 0..outer {
                let from = ((i * outer + o) * channels + c) * plane;
                to.extend_from_slice(y.get(from..from + plane).unwrap_or_default());
            }
        }
    }
    to
}

/// The columns of one image's group: `[C / groups · K.., P..]`, zeros outside the input.
fn gather<T: Element>(plan: &Plan, x: &[T], columns: &mut [T]) {
    let (kernel, pixels) = (&plan.window.kernel, plan.pixels());
    let plane: usize = plan.spatial.iter().product();
    let taps: usize = kernel.iter().product();
    let own = strides(&plan.spatial);
    let positions: Vec<usize> = plan.at.iter().map(|p| p.count).collect();
    let ones = strides(&positions);
    columns.par_chunks_mut(pixels.max(1)).enumerate().for_each(|(row, columns)| {
        let (channel, mut tap) = (row / taps.max(1), row % taps.max(1));
        let mut index = vec![0; kernel.len()];
        for (i, n) in index.iter_mut().zip(kernel).rev() {
            *i = tap % (*n).max(1);
            tap /= (*n).max(1);
        }
        // By axis and position: where the tap lies in the plane.
        let offsets: Vec<Vec<Option<usize>>> = index
            .iter()
            .enumerate()
            .map(|(i, &k)| {
                let step = own.get(i).copied().unwrap_or(1);
                (0..positions.get(i).copied().unwrap_or(0))
                    .map(|a| Some(place(plan, i, a, k)? * step))
                    .collect()
            })
            .collect();
        walk(&positions, [&ones], |[p]| {
            let (mut rest, mut at) = (p, Some(channel * plane));
            for (list, one) in offsets.iter().zip(&ones) {
                let o = list.get(rest / (*one).max(1)).copied().flatten();
                rest %= (*one).max(1);
                at = at.zip(o).map(|(a, o)| a + o);
            }
            if let (Some(to), Some(&v)) = (columns.get_mut(p), at.and_then(|a| x.get(a))) {
                *to = v;
            }
        });
    });
}

/// The convolution without a bias, `[n, o, P..]`.
pub(super) fn conv<T: Multiply>(plan: &Plan, x: &[T], w: &[T]) -> Result<Vec<T>> {
    let pixels = plan.pixels();
    let (cg, og) = (plan.c / plan.groups, plan.o / plan.groups);
    let depth = count(&[cg, plan.window.kernel.iter().product()])?;
    let plane: usize = plan.spatial.iter().product();
    let mut y = vec![T::default(); count(&plan.shape)?];
    if y.is_empty() {
        return Ok(y);
    }
    let sizes = Sizes { m: og, k: depth, n: pixels };
    let mut columns = vec![T::default(); count(&[depth, pixels])?];
    for (i, y) in y.chunks_mut(og * pixels).enumerate() {
        let (image, group) = (i / plan.groups, i % plan.groups);
        let x = x.get((image * plan.c + group * cg) * plane..).unwrap_or_default();
        let w = w.get(group * og * depth..).unwrap_or_default();
        columns.fill(T::default());
        gather(plan, x, &mut columns);
        multiply(sizes, (w, Layout::of(depth, false)), (&columns, Layout::of(pixels, false)), y, true)?;
    }
    Ok(y)
}

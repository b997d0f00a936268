//! Planes split by the remainders of row and column, so that a strided convolution reads runs without gaps.

use std::borrow::Cow;

use rayon::prelude::*;

use super::Dims;
use super::gather::Tap;

/// The source of a gathering product: `planes` planes of `[h, w]` a channel.
pub(super) struct Source<'a> {
    pub(super) data: Cow<'a, [f32]>,
    pub(super) planes: usize,
    pub(super) h: usize,
    pub(super) w: usize,
    pub(super) taps: Vec<Tap>,
}

/// Input planes of a forward convolution and its taps, row-major over the kernel.
pub(super) fn of<'a>(x: &'a [f32], d: &Dims) -> Source<'a> {
    let g = &d.geometry;
    let offset = |k: usize, axis: usize| (k * g.dilation[axis]) as isize - g.padding[axis].0 as isize;
    let offsets: Vec<_> = (0..d.kh * d.kw).map(|t| (offset(t / d.kw, 0), offset(t % d.kw, 1))).collect();
    split(x, [d.n * d.c, d.h, d.w], g.stride, &offsets)
}

/// Splits `count` planes of `[h, w]` by what is left of row and column at `stride`, as far as `offsets` reach them.
pub(super) fn split<'a>(
    x: &'a [f32],
    [count, height, width]: [usize; 3],
    stride: [usize; 2],
    offsets: &[(isize, isize)],
) -> Source<'a> {
    if stride == [1, 1] {
        let taps = offsets.iter().map(|&(dy, dx)| Tap { plane: 0, dy, dx }).collect();
        return Source { data: Cow::Borrowed(x), planes: 1, h: height, w: width, taps };
    }
    let [sy, sx] = [stride[0] as isize, stride[1] as isize];
    let mut used: Vec<(usize, usize)> = Vec::new();
    let place = |&(dy, dx): &(isize, isize)| {
        let remainder = (dy.rem_euclid(sy) as usize, dx.rem_euclid(sx) as usize);
        let plane = used.iter().position(|r| *r == remainder).unwrap_or_else(|| {
            used.push(remainder);
            used.len() - 1
        });
        Tap { plane, dy: dy.div_euclid(sy), dx: dx.div_euclid(sx) }
    };
    let taps = offsets.iter().map(place).collect();
    let (h, w) = (height.div_ceil(stride[0]), width.div_ceil(stride[1]));
    let plane = h * w;
    let mut data = vec![0.0; count * used.len() * plane];
    if plane > 0 && !used.is_empty() {
        data.par_chunks_mut(used.len() * plane).zip(x.par_chunks(height * width)).for_each(|(to, from)| {
            for (to, &(py, px)) in to.chunks_exact_mut(plane).zip(&used) {
                for (y, to) in to.chunks_exact_mut(w).enumerate() {
                    let row = y * stride[0] + py;
                    if let Some(from) = from.get(row * width..(row + 1) * width) {
                        let from = from.get(px..).unwrap_or(&[]).iter().step_by(stride[1]);
                        to.iter_mut().zip(from).for_each(|(t, &v)| *t = v);
                    }
                }
            }
        });
    }
    Source { data: Cow::Owned(data), planes: used.len(), h, w, taps }
}

//! The gradient of a convolution's input.

use super::forward::{Job, Place};
use super::gather::{Grid, Tap};
use super::weights::Packed;
use super::{Dims, winograd};
use crate::Activation;
use crate::memory::Output;

/// Taps that reach input positions of one remainder, along one axis: kernel index and offset in the gradient.
fn reach(d: &Dims, axis: usize, remainder: usize) -> Vec<(usize, isize)> {
    let g = &d.geometry;
    let (k, stride) = ([d.kh, d.kw][axis], g.stride[axis] as isize);
    (0..k)
        .filter_map(|tap| {
            let distance = (remainder + g.padding[axis].0) as isize - (tap * g.dilation[axis]) as isize;
            (distance.rem_euclid(stride) == 0).then(|| (tap, distance.div_euclid(stride)))
        })
        .collect()
}

/// `dx` of `y = x ⋆ w`, from `dy`: `[n, c, h, w]`.
///
/// # Panics
/// [`Dims::check`] refuses the sizes, or a slice is shorter than they say.
pub fn input_grad(w: &[f32], dy: &[f32], d: &Dims) -> Vec<f32> {
    assert_eq!(d.check(), Ok(()), "{d:?}");
    assert!(dy.len() >= d.output_len() && d.has_weights(w), "sizes do not fit the slices");
    if winograd::pays(d) {
        return winograd::USUAL.input_grad(w, dy, d);
    }
    let (oh, ow) = d.output();
    let (cg, og) = d.group();
    let [sy, sx] = d.geometry.stride;
    let mut out = Output::new(d.input_len());
    // Remainders beyond the image are no position's.
    for (py, px) in (0..sy.min(d.h)).flat_map(|py| (0..sx.min(d.w)).map(move |px| (py, px))) {
        let (gh, gw) = ((d.h - py).div_ceil(sy), (d.w - px).div_ceil(sx));
        let (rows, columns) = (reach(d, 0, py), reach(d, 1, px));
        let mut taps = Vec::new();
        let mut kernel = Vec::new();
        for &(ky, dy) in &rows {
            for &(kx, dx) in &columns {
                taps.push(Tap { plane: 0, dy, dx });
                kernel.push(ky * d.kw + kx);
            }
        }
        for g in 0..d.geometry.groups.max(1) {
            let at = |row: usize, o: usize, tap: usize| {
                (g * og + o) * d.weight_row() + row * d.kh * d.kw + kernel.get(tap).copied().unwrap_or(0)
            };
            let weights = Packed::new(w, cg, [og, taps.len()], at, None);
            Job {
                grid: Grid {
                    data: &dy[..d.output_len()],
                    taps: &taps,
                    planes: 1,
                    h: oh,
                    w: ow,
                    gh,
                    gw,
                    image: d.o * oh * ow,
                    first: g * og * oh * ow,
                },
                weights: &weights,
                images: d.n,
                channels: og,
                out: out.shared(),
                place: Place {
                    image: d.c * d.h * d.w,
                    first: g * cg * d.h * d.w,
                    plane: d.h * d.w,
                    width: d.w,
                    step: [sy, sx],
                    start: [py, px],
                },
                bias: None,
                residual: None,
                activation: Activation::None,
            }
            .run();
        }
    }
    // SAFETY: every position has one pair of remainders, and its job writes it, zeros where no tap reaches it.
    unsafe { out.finish() }
}

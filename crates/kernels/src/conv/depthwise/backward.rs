//! Gradients of a depthwise convolution.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::phases::Phases;
use super::{LANES, Plan, rows, rows_any};
use crate::arch::arch;
use crate::conv::{Dims, Epilogue};
use crate::memory::{Output, Scratch, Shared, room, with_scratch};
use crate::tile::load;

/// Gradients of `x` and `w`, each where wanted.
pub(in crate::conv) fn backward(
    x: &[f32],
    w: &[f32],
    dy: &[f32],
    d: &Dims,
    wanted: [bool; 2],
) -> [Option<Vec<f32>>; 2] {
    let plan = Plan::new(d);
    let k = d.kh * d.kw;
    let mut dx = wanted[0].then(|| Output::new(d.input_len()));
    let mut dw = wanted[1].then(|| Output::new(d.weight_len()));
    let (dx_to, dw_to) = (dx.as_mut().map(Output::shared), dw.as_mut().map(Output::shared));
    let mirror = mirrored(d).map(|d| Plan::new(&d));
    let phases = mirror.is_none().then(|| Phases::new(d));
    (0..d.c).into_par_iter().for_each(|c| {
        with_scratch(|scratch| {
            arch().dispatch(Channel {
                plan: &plan,
                mirror: mirror.as_ref(),
                phases: phases.as_ref(),
                d,
                x,
                dy,
                weights: &w[c * d.weight_row()..][..k],
                c,
                dx: dx_to,
                dw: dw_to,
                scratch,
            });
        });
    });
    // SAFETY: every channel wrote its planes and its kernel.
    unsafe { [dx.map(|v| v.finish()), dw.map(|v| v.finish())] }
}

/// The convolution of the output's gradient with mirrored kernels, at stride 1.
pub(super) fn mirrored(d: &Dims) -> Option<Dims> {
    let g = &d.geometry;
    if g.stride != [1, 1] {
        return None;
    }
    let (oh, ow) = d.output();
    let reach = [(d.kh - 1) * g.dilation[0], (d.kw - 1) * g.dilation[1]];
    let before = [reach[0].checked_sub(g.padding[0].0)?, reach[1].checked_sub(g.padding[1].0)?];
    let mut mirror = *d;
    mirror.h = oh;
    mirror.w = ow;
    mirror.geometry.padding = [
        (before[0], (d.h + reach[0]).checked_sub(oh + before[0])?),
        (before[1], (d.w + reach[1]).checked_sub(ow + before[1])?),
    ];
    Some(mirror)
}

/// One channel of all images.
struct Channel<'a> {
    plan: &'a Plan,
    mirror: Option<&'a Plan>,
    phases: Option<&'a Phases>,
    d: &'a Dims,
    x: &'a [f32],
    dy: &'a [f32],
    weights: &'a [f32],
    c: usize,
    dx: Option<Shared>,
    dw: Option<Shared>,
    scratch: &'a mut Scratch,
}

impl WithSimd for Channel<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Channel { plan, mirror, phases, d, x, dy, weights, c, dx, dw, scratch } = self;
        let (plane, pixels) = (d.h * d.w, plan.oh * plan.ow);
        // Rows of gradients, filled up with zeros to whole vectors.
        let width = plan.ow.next_multiple_of(LANES);
        let laid = room(&mut scratch.a, plan.len());
        let grads = room(&mut scratch.b, plan.oh * width);
        let back = room(&mut scratch.c, mirror.map_or(0, Plan::len) + phases.map_or(0, Phases::len));
        laid.fill(0.0);
        grads.fill(0.0);
        back.fill(0.0);
        let mut flipped = weights.to_vec();
        flipped.reverse();
        let mut sums = vec![0f64; weights.len()];
        for n in 0..d.n {
            let i = n * d.c + c;
            let dy = &dy[i * pixels..(i + 1) * pixels];
            for (to, from) in grads.chunks_exact_mut(width).zip(dy.chunks_exact(plan.ow)) {
                to[..plan.ow].copy_from_slice(from);
            }
            if dw.is_some() {
                plan.spread(&x[i * plane..(i + 1) * plane], laid);
                tap_sums(simd, plan, laid, grads, width, &mut sums);
            }
            let Some(dx) = dx else { continue };
            if let Some(mirror) = mirror {
                mirror.spread(dy, back);
                // SAFETY: the plane of the input's gradient is this task's.
                unsafe {
                    let to = (dx, i * plane);
                    let epilogue = Epilogue::default();
                    if let (Ok(taps), Ok(weights)) =
                        (<&[usize; 9]>::try_from(&mirror.taps[..]), flipped[..].try_into())
                    {
                        rows::<S, 9>(simd, mirror, back, taps, weights, to, 0.0, &epilogue);
                    } else {
                        rows_any(simd, mirror, back, &flipped, to, 0.0, &epilogue);
                    }
                }
                continue;
            }
            let Some(phases) = phases else { continue };
            // SAFETY: the plane of the input's gradient is this task's.
            let dx = unsafe { dx.slice(i * plane, plane) };
            phases.plane(simd, dy, weights, back, dx);
        }
        if let Some(dw) = dw {
            for (t, &sum) in sums.iter().enumerate() {
                // SAFETY: the kernel is this task's.
                unsafe { *dw.at(c * weights.len() + t) = sum as f32 };
            }
        }
    }
}

/// Adds `Σ dy · x` of one plane for every tap.
#[inline(always)]
fn tap_sums<S: Simd>(simd: S, plan: &Plan, laid: &[f32], grads: &[f32], width: usize, sums: &mut [f64]) {
    let mut t = 0;
    while t < sums.len() {
        let left = sums.len() - t;
        if left >= 9 {
            taps::<S, 9>(simd, plan, laid, grads, width, &plan.taps[t..t + 9], &mut sums[t..t + 9]);
            t += 9;
        } else if left >= 3 {
            taps::<S, 3>(simd, plan, laid, grads, width, &plan.taps[t..t + 3], &mut sums[t..t + 3]);
            t += 3;
        } else {
            taps::<S, 1>(simd, plan, laid, grads, width, &plan.taps[t..t + 1], &mut sums[t..t + 1]);
            t += 1;
        }
    }
}

/// [`tap_sums`] of `T` taps.
#[inline(always)]
fn taps<S: Simd, const T: usize>(
    simd: S,
    plan: &Plan,
    laid: &[f32],
    grads: &[f32],
    width: usize,
    offsets: &[usize],
    sums: &mut [f64],
) {
    let mut parts = [simd.splat_f32s(0.0); T];
    for oy in 0..plan.oh {
        for ox in (0..plan.ow).step_by(S::F32_LANES) {
            let base = oy * plan.step() + ox;
            // SAFETY: both planes hold whole vectors at every tap.
            unsafe {
                let g = load::<S>(grads.as_ptr().add(oy * width + ox));
                for (part, tap) in parts.iter_mut().zip(offsets) {
                    *part = simd.mul_add_e_f32s(load::<S>(laid.as_ptr().add(base + tap)), g, *part);
                }
            }
        }
    }
    for (sum, part) in sums.iter_mut().zip(parts) {
        *sum += f64::from(simd.reduce_sum_f32s(part));
    }
}

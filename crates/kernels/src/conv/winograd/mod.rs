//! 3x3 convolutions of stride 1 by Winograd's minimal filtering, `F(2x2, 3x3)` (Lavin and Gray, 2016,
//! arXiv:1509.09308): 16 products for 2x2 outputs where the definition has 36.
//!
//! With `d` a 4x4 tile of the image, `g` the kernel, `y` 2x2 outputs: `y = Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A`, summed over
//! channels, which makes 16 products of matrices. By its adjoint, `dg = Gᵀ [(A dy Aᵀ) ⊙ (Bᵀ d B)] G`, summed over tiles.
//! `Bᵀ = [1 0 -1 0; 0 1 1 0; 0 -1 1 0; 0 1 0 -1]`, `G = [1 0 0; ½ ½ ½; ½ -½ ½; 0 0 1]`, `Aᵀ = [1 1 1 0; 0 1 -1 -1]`.
//!
//! The tiles are the patches of a 4x4 kernel of stride 2, so they are gathered as those are, sixteen rows a channel.

mod near;
mod outputs;
mod staged;
mod staged_grad;
mod weight_grad;

use pulp::Simd;
use rayon::prelude::*;

use super::gather::Grid;
use super::planes::{Source, split};
use super::{Dims, Epilogue};
use crate::memory::Output;
use crate::tile::{self, load, store};
use crate::vector::vectorize;
use outputs::Outputs;

/// Products of a tile.
const POINTS: usize = 16;

/// From which sizes on work is done in stages, and in how large ones.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Elements of transformed kernels from which on each is read once for many tiles, though the transformed tiles
    /// then leave the near caches.
    large: usize,
    /// Elements that a stage leaves to the next at most.
    stage: usize,
    /// Sums of a weight gradient that every thread may keep for itself.
    own: usize,
}

/// What suits processors of today.
pub(super) const USUAL: Limits = Limits { large: 2 * 1024 * 1024, stage: 4 * 1024 * 1024, own: 1024 * 1024 };

/// Whether a convolution has this form and enough channels to pay for the transforms.
pub(super) fn fits(d: &Dims) -> bool {
    let g = &d.geometry;
    let (oh, ow) = d.output();
    [d.kh, d.kw] == [3, 3]
        && g.stride == [1, 1]
        && g.dilation == [1, 1]
        && g.groups == 1
        && d.c >= 12
        && d.o >= 12
        && oh * ow > 1
        && g.padding.iter().all(|p| p.0 <= 2 && p.1 <= 2)
}

/// Tiles from which on outputs and input gradients are quicker by this form: with fewer, transforming the kernels takes
/// longer than the products it saves.
const MANY: usize = 128;

/// Whether a convolution [fits] and has tiles enough to pay for the kernels' transform.
pub(super) fn pays(d: &Dims) -> bool {
    let (oh, ow) = d.output();
    fits(d) && d.n * oh.div_ceil(2) * ow.div_ceil(2) >= MANY
}

/// Tiles of `x`: planes `[h, w]`, `padding` zeros before.
fn tiles<'a>(x: &'a [f32], planes: [usize; 3], padding: [usize; 2]) -> Source<'a> {
    let offset = |i: usize, axis: usize| i as isize - padding[axis] as isize;
    let offsets: Vec<_> = (0..POINTS).map(|t| (offset(t / 4, 0), offset(t % 4, 1))).collect();
    split(x, planes, [2, 2], &offsets)
}

fn grid<'a>(source: &'a Source<'a>, channels: usize, (oh, ow): (usize, usize)) -> Grid<'a> {
    Grid {
        data: &source.data,
        taps: &source.taps,
        planes: source.planes,
        h: source.h,
        w: source.w,
        gh: oh.div_ceil(2),
        gw: ow.div_ceil(2),
        image: channels * source.planes * source.h * source.w,
        first: 0,
    }
}

/// Rows that are transformed together: a tile has at most so many.
const ROWS: usize = 8;

/// Element by element.
#[inline(always)]
fn zip(a: [f32; ROWS], b: [f32; ROWS], f: impl Fn(f32, f32) -> f32) -> [f32; ROWS] {
    let mut out = [0.0; ROWS];
    for (o, (a, b)) in out.iter_mut().zip(a.into_iter().zip(b)) {
        *o = f(a, b);
    }
    out
}

/// `G g Gᵀ` of a kernel for each of [`ROWS`] rows.
#[inline(always)]
fn kernel(g: &[[f32; ROWS]; 9]) -> [[f32; ROWS]; POINTS] {
    let along = |a: [f32; ROWS], b: [f32; ROWS], c: [f32; ROWS]| {
        let outer = zip(a, c, |a, c| 0.5 * (a + c));
        [a, zip(outer, b, |o, b| 0.5f32.mul_add(b, o)), zip(outer, b, |o, b| (-0.5f32).mul_add(b, o)), c]
    };
    let columns = [0, 1, 2].map(|x| along(g[x], g[3 + x], g[6 + x]));
    let mut out = [[0.0; ROWS]; POINTS];
    for (y, out) in out.chunks_exact_mut(4).enumerate() {
        out.copy_from_slice(&along(columns[0][y], columns[1][y], columns[2][y]));
    }
    out
}

/// Where a kernel lies among the weights: the distance of rows, of steps of the inner dimension, and whether it is
/// mirrored.
#[derive(Clone, Copy)]
struct Kernels {
    row: usize,
    step: usize,
    mirrored: bool,
}

/// Transformed kernels in panels, `[point, rows / MR, depth, MR]`.
fn kernels(w: &[f32], rows: usize, depth: usize, at: Kernels, scale: Option<&[f32]>) -> Vec<f32> {
    let (mr, _) = tile::shape();
    let panels = rows.div_ceil(mr);
    let mut out = Output::new(POINTS * panels * depth * mr);
    let shared = out.shared();
    (0..panels).into_par_iter().for_each(|panel| {
        let count = mr.min(rows - panel * mr);
        let mut factors = [1.0; ROWS];
        for (i, f) in factors.iter_mut().enumerate().take(count) {
            *f = scale.and_then(|s| s.get(panel * mr + i)).copied().unwrap_or(1.0);
        }
        vectorize(
            #[inline(always)]
            || {
                let mut g = [[0.0; ROWS]; 9];
                for k in 0..depth {
                    for i in 0..count {
                        let from = (panel * mr + i) * at.row + k * at.step;
                        let kernel = &w[from..from + 9];
                        for (t, g) in g.iter_mut().enumerate() {
                            g[i] = kernel[if at.mirrored { 8 - t } else { t }] * factors[i];
                        }
                    }
                    for (f, v) in kernel(&g).into_iter().enumerate() {
                        // SAFETY: inside the buffer, and every panel is of one task.
                        unsafe {
                            let to = shared.at(((f * panels + panel) * depth + k) * mr);
                            std::ptr::copy_nonoverlapping(v.as_ptr(), to, mr.min(ROWS));
                        }
                    }
                }
            },
        );
    });
    // SAFETY: all points of all panels were written; a tile has at most `ROWS` rows.
    unsafe { out.finish() }
}

/// `Bᵀ d B` of sixteen rows of `width` elements, vector by vector; points go to rows `point` elements apart.
///
/// # Safety
/// `rows` has `16 · width` elements, whole vectors make up `width`, and `to` has room for all points.
#[inline(always)]
unsafe fn transform_tiles<S: Simd>(simd: S, rows: *const f32, width: usize, to: *mut f32, point: usize) {
    let along = |d: [S::f32s; 4]| {
        [
            simd.sub_f32s(d[0], d[2]),
            simd.add_f32s(d[1], d[2]),
            simd.sub_f32s(d[2], d[1]),
            simd.sub_f32s(d[1], d[3]),
        ]
    };
    for v in (0..width).step_by(S::F32_LANES) {
        // SAFETY: the caller's promise.
        unsafe {
            let zero = simd.splat_f32s(0.0);
            let mut half = [[zero; 4]; 4];
            for x in 0..4 {
                let column = [0, 1, 2, 3].map(|y| load::<S>(rows.add((4 * y + x) * width + v)));
                for (half, d) in half.iter_mut().zip(along(column)) {
                    half[x] = d;
                }
            }
            for (y, row) in half.into_iter().enumerate() {
                for (x, d) in along(row).into_iter().enumerate() {
                    store::<S>(to.add((4 * y + x) * point + v), d);
                }
            }
        }
    }
}

impl Limits {
    /// `act(scale · (x ⋆ w) + bias + residual)`.
    pub(super) fn forward(self, x: &[f32], w: &[f32], d: &Dims, epilogue: &Epilogue<'_>) -> Vec<f32> {
        let padding = [d.geometry.padding[0].0, d.geometry.padding[1].0];
        let at = Kernels { row: d.weight_row(), step: 9, mirrored: false };
        let kernels = kernels(w, d.o, d.c, at, epilogue.scale);
        let source = tiles(&x[..d.input_len()], [d.n * d.c, d.h, d.w], padding);
        self.run(&source, &kernels, [d.n, d.c, d.o], d.output(), epilogue)
    }

    /// `dx` of `y = x ⋆ w`: the convolution of `dy` with mirrored kernels.
    pub(super) fn input_grad(self, w: &[f32], dy: &[f32], d: &Dims) -> Vec<f32> {
        let padding = [2 - d.geometry.padding[0].0, 2 - d.geometry.padding[1].0];
        let (oh, ow) = d.output();
        let at = Kernels { row: 9, step: d.weight_row(), mirrored: true };
        let kernels = kernels(w, d.c, d.o, at, None);
        let source = tiles(&dy[..d.output_len()], [d.n * d.o, oh, ow], padding);
        self.run(&source, &kernels, [d.n, d.o, d.c], (d.h, d.w), &Epilogue::default())
    }

    /// `dw` of `y = x ⋆ w`.
    pub(super) fn weight_grad(self, x: &[f32], dy: &[f32], d: &Dims) -> Vec<f32> {
        weight_grad::weight_grad(x, dy, d, self)
    }

    fn run(
        self,
        source: &Source<'_>,
        kernels: &[f32],
        [n, channels, rows]: [usize; 3],
        size: (usize, usize),
        epilogue: &Epilogue<'_>,
    ) -> Vec<f32> {
        let grid = grid(source, channels, size);
        let mut out = Output::new(n * rows * size.0 * size.1);
        let outputs = Outputs { grid: &grid, rows, out: out.shared(), size, epilogue };
        let total = n * grid.pixels();
        if kernels.len() >= self.large && total > tile::shape().1 {
            staged::run(&outputs, kernels, channels, total, self.stage);
        } else {
            near::run(&outputs, kernels, channels, total);
        }
        // SAFETY: every tile of every row was written, and the tiles cover the planes.
        unsafe { out.finish() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Activation;
    use crate::arch::on_each;
    use crate::conv::Geometry;

    fn wave(n: usize, pace: f32) -> Vec<f32> {
        (0..n).map(|i| (i as f32 * pace).sin()).collect()
    }

    fn close(found: &[f32], wanted: &[f32]) {
        assert_eq!(found.len(), wanted.len());
        let scale = wanted.iter().fold(0f32, |most, v| most.max(v.abs()));
        for (i, (a, b)) in found.iter().zip(wanted).enumerate() {
            assert!((a - b).abs() <= 1e-5 * scale, "{i}: {a} and {b}");
        }
    }

    /// Stages of several sizes, from one panel of tiles on, give what the near caches' way gives.
    #[test]
    fn stages_change_no_result() {
        on_each(|| {
            for ([n, c, h, w, o], padding) in [
                ([3, 13, 17, 19, 21], [(1, 1), (0, 2)]),
                ([5, 30, 12, 12, 17], [(2, 0), (1, 1)]),
                ([1, 12, 40, 30, 12], [(0, 0), (2, 2)]),
            ] {
                let geometry = Geometry { stride: [1; 2], padding, dilation: [1; 2], groups: 1 };
                let d = Dims { n, c, h, w, o, kh: 3, kw: 3, geometry, weight_row: None };
                let (x, kernels) = (wave(d.input_len(), 0.37), wave(d.weight_len(), 0.73));
                let (dy, bias) = (wave(d.output_len(), 0.11), wave(o, 1.3));
                let residual = wave(dy.len(), 0.51);
                let epilogue = Epilogue {
                    scale: Some(&bias),
                    bias: Some(&bias),
                    residual: Some(&residual),
                    activation: Activation::Relu,
                };
                let all = |limits: Limits| {
                    [
                        limits.forward(&x, &kernels, &d, &epilogue),
                        limits.input_grad(&kernels, &dy, &d),
                        limits.weight_grad(&x, &dy, &d),
                    ]
                };
                let near = all(Limits { large: usize::MAX, stage: 0, own: usize::MAX });
                for stage in [0, 1 << 16, usize::MAX] {
                    let staged = all(Limits { large: 0, stage, own: 0 });
                    near.iter().zip(&staged).for_each(|(near, staged)| close(staged, near));
                }
            }
        });
    }
}

//! Convolution as a product of matrices.
//!
//! Of every image the patches under the kernel are laid out as columns, `[C / groups · KH · KW, H' · W']` for each
//! group; then `y = W · cols`, `dW = Σ dy · colsᵀ`, and `dx` gathers `Wᵀ · dy` back. A 1x1 kernel of stride 1
//! without padding needs no columns: the image is them.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::ops::{ConvOptions, ModuleOps};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Flex};
use gemm::Parallelism;
use rayon::prelude::*;

use super::{FlexTensor, KernelGrads, TrainKernels, buffer, build, dense, elements, is_f32, sizes};

/// How the kernel moves over the image; see [`occam_graph::ops::Conv`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvGeometry {
    /// Step, by axis.
    pub stride: [usize; 2],
    /// Zeros before and after, by axis.
    pub padding: [(usize, usize); 2],
    /// Distance of taps, by axis.
    pub dilation: [usize; 2],
    /// Number of groups.
    pub groups: usize,
}

/// All sizes of one convolution.
#[derive(Clone, Copy)]
struct Plan {
    n: usize,
    c: usize,
    h: usize,
    w: usize,
    o: usize,
    /// Input channels of a group.
    cg: usize,
    /// Output channels of a group.
    og: usize,
    kh: usize,
    kw: usize,
    oh: usize,
    ow: usize,
    geometry: ConvGeometry,
}

impl Plan {
    fn new(x: &FlexTensor, weight: &FlexTensor, geometry: ConvGeometry) -> Self {
        let [n, c, h, w] = sizes(x);
        let [o, cg, kh, kw] = sizes(weight);
        let out = |size: usize, k: usize, i: usize| {
            let (before, after) = geometry.padding[i];
            let room = (size + before + after).saturating_sub(geometry.dilation[i] * (k - 1) + 1);
            room / geometry.stride[i] + 1
        };
        let (oh, ow) = (out(h, kh, 0), out(w, kw, 1));
        Self { n, c, h, w, o, cg, og: o / geometry.groups.max(1), kh, kw, oh, ow, geometry }
    }

    /// Rows of the columns of a group.
    fn k(&self) -> usize {
        self.cg * self.kh * self.kw
    }

    /// Output pixels.
    fn p(&self) -> usize {
        self.oh * self.ow
    }

    fn is_pointwise(&self) -> bool {
        self.kh == 1 && self.kw == 1 && self.geometry.stride == [1, 1] && self.geometry.padding == [(0, 0); 2]
    }

    /// Output columns that tap `kx` reads from inside the image, and the input column of the first.
    fn span(&self, tap: usize) -> (usize, usize, usize) {
        let (stride, pad) = (self.geometry.stride[1], self.geometry.padding[1].0);
        let offset = tap * self.geometry.dilation[1];
        let first = pad.saturating_sub(offset).div_ceil(stride);
        let end = (self.w + pad).saturating_sub(offset).div_ceil(stride).min(self.ow);
        let start = (first * stride + offset).saturating_sub(pad);
        (first.min(end), end, start)
    }

    /// Input row that output row `oy` reads at tap `ky`; none in the padding.
    fn row(&self, oy: usize, tap: usize) -> Option<usize> {
        (oy * self.geometry.stride[0] + tap * self.geometry.dilation[0])
            .checked_sub(self.geometry.padding[0].0)
            .filter(|&y| y < self.h)
    }

    /// Whether an output row is as wide as an input row and read in steps of 1: then the patches of one tap are the
    /// whole plane, shifted, but for the columns that wrap around.
    fn is_shift(&self) -> bool {
        self.geometry.stride == [1, 1] && self.ow == self.w
    }

    /// Of a shift by tap `(ky, kx)`: the run of output pixels that read inside the plane, and where in the plane the
    /// first of them reads.
    fn shift(&self, ky: usize, kx: usize) -> (usize, usize, usize) {
        let offset = |tap: usize, axis: usize| {
            (tap * self.geometry.dilation[axis]) as isize - self.geometry.padding[axis].0 as isize
        };
        let by = offset(ky, 0) * self.w as isize + offset(kx, 1);
        let first = by.min(0).unsigned_abs().min(self.p());
        let start = by.max(0).unsigned_abs().min(self.h * self.w);
        let len = (self.h * self.w).saturating_sub(start).min(self.p() - first);
        (first, first + len, start)
    }

    /// Zeroes the output columns that tap `kx` reads from outside the image.
    fn clear_wrapped(&self, rows: &mut [f32], kx: usize) {
        let (first, end, _) = self.span(kx);
        if first > 0 || end < self.ow {
            for row in rows.chunks_exact_mut(self.ow) {
                row[..first].fill(0.0);
                row[end..].fill(0.0);
            }
        }
    }

    /// Lays out the patches of one group of one image.
    fn columns(&self, image: &[f32], cols: &mut [f32]) {
        let stride = self.geometry.stride[1];
        let (p, ow, w) = (self.p(), self.ow, self.w);
        for (r, rows) in cols.chunks_exact_mut(p).enumerate() {
            let (c, tap) = (r / (self.kh * self.kw), r % (self.kh * self.kw));
            let (ky, kx) = (tap / self.kw, tap % self.kw);
            let plane = &image[c * self.h * w..(c + 1) * self.h * w];
            if self.is_shift() {
                let (first, end, start) = self.shift(ky, kx);
                rows[..first].fill(0.0);
                rows[first..end].copy_from_slice(&plane[start..start + end - first]);
                rows[end..].fill(0.0);
                self.clear_wrapped(rows, kx);
                continue;
            }
            let (first, end, start) = self.span(kx);
            for (oy, out) in rows.chunks_exact_mut(ow).enumerate() {
                let Some(y) = self.row(oy, ky) else {
                    out.fill(0.0);
                    continue;
                };
                out[..first].fill(0.0);
                out[end..].fill(0.0);
                let line = &plane[y * w..(y + 1) * w];
                if stride == 1 {
                    out[first..end].copy_from_slice(&line[start..start + end - first]);
                } else {
                    let source = line[start.min(w)..].iter().step_by(stride);
                    out[first..end].iter_mut().zip(source).for_each(|(o, &v)| *o = v);
                }
            }
        }
    }

    /// Adds the patches back onto one group of one image; `cols` is used up.
    fn gather(&self, cols: &mut [f32], image: &mut [f32]) {
        let stride = self.geometry.stride[1];
        let (p, ow, w) = (self.p(), self.ow, self.w);
        for (r, rows) in cols.chunks_exact_mut(p).enumerate() {
            let (c, tap) = (r / (self.kh * self.kw), r % (self.kh * self.kw));
            let (ky, kx) = (tap / self.kw, tap % self.kw);
            let plane = &mut image[c * self.h * w..(c + 1) * self.h * w];
            if self.is_shift() {
                self.clear_wrapped(rows, kx);
                let (first, end, start) = self.shift(ky, kx);
                plane[start..start + end - first]
                    .iter_mut()
                    .zip(&rows[first..end])
                    .for_each(|(o, &v)| *o += v);
                continue;
            }
            let (first, end, start) = self.span(kx);
            for (oy, from) in rows.chunks_exact(ow).enumerate() {
                let Some(y) = self.row(oy, ky) else { continue };
                let line = &mut plane[y * w..(y + 1) * w];
                if stride == 1 {
                    line[start..start + end - first]
                        .iter_mut()
                        .zip(&from[first..end])
                        .for_each(|(o, &v)| *o += v);
                } else {
                    let target = line[start.min(w)..].iter_mut().step_by(stride);
                    target.zip(&from[first..end]).for_each(|(o, &v)| *o += v);
                }
            }
        }
    }
}

/// A matrix in memory: pointer, distance of columns, distance of rows.
#[derive(Clone, Copy)]
struct Matrix<'a> {
    data: &'a [f32],
    col: usize,
    row: usize,
}

impl<'a> Matrix<'a> {
    /// Row-major with `cols` columns.
    fn rows(data: &'a [f32], cols: usize) -> Self {
        Self { data, col: 1, row: cols }
    }

    fn transposed(self) -> Self {
        Self { data: self.data, col: self.row, row: self.col }
    }
}

/// `dst = a · b`, or `dst += a · b`; `dst` is row-major `[m, n]`, `a` is `[m, k]`, `b` is `[k, n]`.
fn product(
    dst: &mut [f32],
    a: Matrix<'_>,
    b: Matrix<'_>,
    [m, k, n]: [usize; 3],
    add: bool,
    parallelism: Parallelism,
) {
    let reach = |x: &Matrix<'_>, r: usize, c: usize| (r - 1) * x.row + (c - 1) * x.col < x.data.len();
    if m == 0 || n == 0 || k == 0 {
        return;
    }
    assert!(dst.len() >= m * n && reach(&a, m, k) && reach(&b, k, n));
    // SAFETY: the assertion above keeps every element inside its slice, and `dst` is borrowed alone.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            dst.as_mut_ptr(),
            1,
            n as isize,
            add,
            a.data.as_ptr(),
            a.col as isize,
            a.row as isize,
            b.data.as_ptr(),
            b.col as isize,
            b.row as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            parallelism,
        );
    }
}

/// Whether images are spread over threads; each product is where there are too few of them.
fn spread(images: usize) -> bool {
    images >= rayon::current_num_threads()
}

fn options(g: ConvGeometry) -> ConvOptions<2> {
    ConvOptions::new_with_padding(g.stride, g.padding, g.dilation, g.groups)
}

pub(super) fn forward(x: FlexTensor, weight: FlexTensor, geometry: ConvGeometry) -> FlexTensor {
    if !is_f32(&x) {
        return Flex::conv2d(x, weight, None, options(geometry));
    }
    let (x, weight) = (dense(x), dense(weight));
    let plan = Plan::new(&x, &weight, geometry);
    let (data, w) = (elements(&x), elements(&weight));
    let (k, p) = (plan.k(), plan.p());
    let image = plan.c * plan.h * plan.w;
    let group = plan.cg * plan.h * plan.w;
    let mut out = buffer(plan.n * plan.o * p);
    if out.is_empty() {
        return build(&[plan.n, plan.o, plan.oh, plan.ow], out);
    }
    let by_image = spread(plan.n);
    let parallelism = if by_image { Parallelism::None } else { Parallelism::Rayon(0) };
    let run = |cols: &mut Vec<f32>, (out, image): (&mut [f32], &[f32])| {
        let groups = out.chunks_exact_mut(plan.og * p).zip(image.chunks_exact(group));
        for ((out, image), w) in groups.zip(w.chunks_exact(plan.og * k)) {
            let patches = if plan.is_pointwise() {
                image
            } else {
                cols.resize(k * p, 0.0);
                plan.columns(image, cols);
                cols.as_slice()
            };
            let (a, b) = (Matrix::rows(w, k), Matrix::rows(patches, p));
            product(out, a, b, [plan.og, k, p], false, parallelism);
        }
    };
    if by_image {
        out.par_chunks_exact_mut(plan.o * p).zip(data.par_chunks_exact(image)).for_each_init(Vec::new, run);
    } else {
        let mut cols = Vec::new();
        out.chunks_exact_mut(plan.o * p).zip(data.chunks_exact(image)).for_each(|pair| run(&mut cols, pair));
    }
    build(&[plan.n, plan.o, plan.oh, plan.ow], out)
}

/// Weight gradients and input gradients of a run of images.
fn backward_run(
    plan: &Plan,
    (x, w, dy): (&[f32], &[f32], &[f32]),
    mut dx: Option<&mut [f32]>,
    mut dw: Option<&mut [f32]>,
    parallelism: Parallelism,
) {
    let (k, p) = (plan.k(), plan.p());
    let image = plan.c * plan.h * plan.w;
    let group = plan.cg * plan.h * plan.w;
    let mut cols = Vec::new();
    for (i, dy) in dy.chunks_exact(plan.o * p).enumerate() {
        for g in 0..plan.geometry.groups {
            let dy = &dy[g * plan.og * p..(g + 1) * plan.og * p];
            let at = i * image + g * group;
            let w = &w[g * plan.og * k..(g + 1) * plan.og * k];
            if let Some(dw) = dw.as_deref_mut() {
                let part = &x[at..at + group];
                let patches = if plan.is_pointwise() {
                    part
                } else {
                    cols.resize(k * p, 0.0);
                    plan.columns(part, &mut cols);
                    cols.as_slice()
                };
                let dw = &mut dw[g * plan.og * k..(g + 1) * plan.og * k];
                let (a, b) = (Matrix::rows(dy, p), Matrix::rows(patches, p).transposed());
                product(dw, a, b, [plan.og, p, k], true, parallelism);
            }
            if let Some(dx) = dx.as_deref_mut() {
                let dx = &mut dx[at..at + group];
                let (a, b) = (Matrix::rows(w, k).transposed(), Matrix::rows(dy, p));
                if plan.is_pointwise() {
                    product(dx, a, b, [k, plan.og, p], false, parallelism);
                } else {
                    cols.resize(k * p, 0.0);
                    product(&mut cols, a, b, [k, plan.og, p], false, parallelism);
                    plan.gather(&mut cols, dx);
                }
            }
        }
    }
}

pub(super) fn backward(
    x: FlexTensor,
    weight: FlexTensor,
    grad: FlexTensor,
    geometry: ConvGeometry,
    wanted: [bool; 2],
) -> [Option<FlexTensor>; 2] {
    if !is_f32(&x) {
        let options = options(geometry);
        let dx = wanted[0]
            .then(|| Flex::conv2d_x_backward(x.clone(), weight.clone(), grad.clone(), options.clone()));
        let dw = wanted[1].then(|| Flex::conv2d_weight_backward(x, weight, grad, options));
        return [dx, dw];
    }
    let (x, weight, grad) = (dense(x), dense(weight), dense(grad));
    let plan = Plan::new(&x, &weight, geometry);
    let image = plan.c * plan.h * plan.w;
    let by_image = spread(plan.n);
    let parallelism = if by_image { Parallelism::None } else { Parallelism::Rayon(0) };
    let (data, w, dy) = (elements(&x), elements(&weight), elements(&grad));
    let mut dx = wanted[0].then(|| buffer(plan.n * image));
    let mut dw = wanted[1].then(|| buffer(w.len()));
    if by_image {
        // Every thread takes one run of images and sums its weight gradients; the sums are added in order.
        let run = plan.n.div_ceil(rayon::current_num_threads()).max(1);
        let count = plan.n.div_ceil(run);
        let mut parts = vec![Vec::new(); count];
        let inputs: Vec<Option<&mut [f32]>> = match dx.as_deref_mut() {
            Some(dx) => dx.chunks_mut((run * image).max(1)).map(Some).collect(),
            None => (0..count).map(|_| None).collect(),
        };
        let work: Vec<_> = inputs
            .into_iter()
            .zip(&mut parts)
            .zip(data.chunks((run * image).max(1)))
            .zip(dy.chunks((run * plan.o * plan.p()).max(1)))
            .collect();
        work.into_par_iter().for_each(|(((dx, part), x), dy)| {
            let dw = wanted[1].then(|| {
                *part = buffer(w.len());
                part.as_mut_slice()
            });
            backward_run(&plan, (x, w, dy), dx, dw, parallelism);
        });
        if let Some(dw) = dw.as_deref_mut() {
            for part in parts {
                dw.iter_mut().zip(part).for_each(|(sum, v)| *sum += v);
            }
        }
    } else {
        backward_run(&plan, (data, w, dy), dx.as_deref_mut(), dw.as_deref_mut(), parallelism);
    }
    [
        dx.map(|v| build(&[plan.n, plan.c, plan.h, plan.w], v)),
        dw.map(|v| build(&[plan.o, plan.cg, plan.kh, plan.kw], v)),
    ]
}

#[derive(Debug)]
struct ConvBackward;

impl<B: KernelGrads> Backward<B, 2> for ConvBackward {
    type State = (FloatTensor<B>, FloatTensor<B>, ConvGeometry);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let (x, weight, geometry) = ops.state;
        let wanted = [ops.parents[0].is_some(), ops.parents[1].is_some()];
        let computed = B::conv2d_grad(x, weight, grad, geometry, wanted);
        for (parent, grad) in ops.parents.into_iter().zip(computed) {
            if let (Some(node), Some(grad)) = (parent, grad) {
                grads.register::<B>(node.id, grad);
            }
        }
    }
}

pub(super) fn tracked<B, C>(
    x: FloatTensor<Autodiff<B, C>>,
    weight: FloatTensor<Autodiff<B, C>>,
    geometry: ConvGeometry,
) -> FloatTensor<Autodiff<B, C>>
where
    B: TrainKernels + KernelGrads,
    C: CheckpointStrategy,
{
    let prepared = ConvBackward.prepare::<C>([x.node(), weight.node()]).compute_bound().stateful();
    let (x, weight) = (x.into_primitive(), weight.into_primitive());
    let output = B::occam_conv2d(x.clone(), weight.clone(), geometry);
    match prepared {
        OpsKind::Tracked(prep) => prep.finish((x, weight, geometry), output),
        OpsKind::UnTracked(prep) => prep.finish(output),
    }
}

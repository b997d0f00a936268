//! Convolution as a product of matrices.
//!
//! The patches under the kernel are laid out as columns, `[C / groups · KH · KW, H' · W']` for each group of an image;
//! then `y = W · cols`, `dW = Σ dy · colsᵀ`, and `dx` gathers `Wᵀ · dy` back. Small images share one product, side by
//! side in the columns, since short products waste vector lanes. A 1x1 kernel of stride 1 without padding over large
//! images needs no columns: the image is them.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::ops::{ConvOptions, ModuleOps};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Flex};
use gemm::Parallelism;
use rayon::prelude::*;

use super::{
    FlexTensor, KernelGrads, TrainKernels, buffer, build, dense, elements, is_f32, sizes, vectorized,
};

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
        let start = (first * stride + offset).saturating_sub(pad).min(self.w);
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
        // Column by column: the columns are few, and filling a row's few elements would be a call each.
        for x in (0..first).chain(end..self.ow) {
            rows[x..].iter_mut().step_by(self.ow).for_each(|v| *v = 0.0);
        }
    }

    /// Lays out the patches of one group of one image, the `i`-th of `count` that share the columns.
    #[inline(always)]
    fn columns(&self, image: &[f32], cols: &mut [f32], i: usize, count: usize) {
        let stride = self.geometry.stride[1];
        let (p, ow, w) = (self.p(), self.ow, self.w);
        for (r, rows) in cols.chunks_exact_mut(count * p).enumerate() {
            let rows = &mut rows[i * p..(i + 1) * p];
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
                    let source = line[start..].iter().step_by(stride);
                    out[first..end].iter_mut().zip(source).for_each(|(o, &v)| *o = v);
                }
            }
        }
    }

    /// Adds the patches back onto one group of one image, the `i`-th of `count` in the columns, which are used up.
    #[inline(always)]
    fn gather(&self, cols: &mut [f32], image: &mut [f32], i: usize, count: usize) {
        let stride = self.geometry.stride[1];
        let (p, ow, w) = (self.p(), self.ow, self.w);
        for (r, rows) in cols.chunks_exact_mut(count * p).enumerate() {
            let rows = &mut rows[i * p..(i + 1) * p];
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
                    let target = line[start..].iter_mut().step_by(stride);
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

/// Columns that a product should have at least, where they fit.
const WIDE: usize = 512;

/// Elements of the columns at most: they are written, packed and read while they lie in the nearest caches.
const NEAR: usize = 1 << 15;

/// How many images share one product: enough to make it wide, as many as stay near, and at most a share of the
/// images for every thread.
fn shared(plan: &Plan, threads: usize) -> usize {
    let p = plan.p().max(1);
    let near = NEAR / (plan.k() * p).max(1);
    WIDE.div_ceil(p).min(near).min(plan.n / threads.max(1)).max(1)
}

fn options(g: ConvGeometry) -> ConvOptions<2> {
    ConvOptions::new_with_padding(g.stride, g.padding, g.dilation, g.groups)
}

/// Scratch memory of one thread.
#[derive(Default)]
struct Scratch {
    cols: Vec<f32>,
    side: Vec<f32>,
}

/// A buffer of `n` elements, whatever they are.
fn room(scratch: &mut Vec<f32>, n: usize) -> &mut [f32] {
    if scratch.len() < n {
        scratch.resize(n, 0.0);
    }
    &mut scratch[..n]
}

impl Plan {
    /// Elements of one input image, of one group of it, and of one output image.
    fn sizes(&self) -> (usize, usize, usize) {
        let pixels = self.h * self.w;
        (self.c * pixels, self.cg * pixels, self.o * self.p())
    }

    /// The patches of group `g` of some images, side by side.
    fn patches<'a>(&self, images: &'a [f32], g: usize, count: usize, cols: &'a mut Vec<f32>) -> &'a [f32] {
        let (image, group, _) = self.sizes();
        if count == 1 && self.is_pointwise() {
            return &images[g * group..(g + 1) * group];
        }
        let cols = room(cols, self.k() * count * self.p());
        vectorized(|| {
            for i in 0..count {
                let at = i * image + g * group;
                self.columns(&images[at..at + group], cols, i, count);
            }
        });
        cols
    }

    /// Outputs of some images.
    fn forward(
        &self,
        images: &[f32],
        w: &[f32],
        out: &mut [f32],
        scratch: &mut Scratch,
        parallelism: Parallelism,
    ) {
        let (k, p, og) = (self.k(), self.p(), self.og);
        let (_, _, output) = self.sizes();
        let count = out.len() / output;
        for g in 0..self.geometry.groups {
            let patches = self.patches(images, g, count, &mut scratch.cols);
            let (a, b) =
                (Matrix::rows(&w[g * og * k..(g + 1) * og * k], k), Matrix::rows(patches, count * p));
            if count == 1 {
                product(&mut out[g * og * p..(g + 1) * og * p], a, b, [og, k, p], false, parallelism);
                continue;
            }
            let side = room(&mut scratch.side, og * count * p);
            product(side, a, b, [og, k, count * p], false, parallelism);
            for (i, out) in out.chunks_exact_mut(output).enumerate() {
                for (o, out) in out[g * og * p..(g + 1) * og * p].chunks_exact_mut(p).enumerate() {
                    let at = (o * count + i) * p;
                    out.copy_from_slice(&side[at..at + p]);
                }
            }
        }
    }

    /// Adds the weight gradient of some images to `dw`, and writes their input gradients.
    fn backward(
        &self,
        (images, w, dy): (&[f32], &[f32], &[f32]),
        mut dx: Option<&mut [f32]>,
        mut dw: Option<&mut [f32]>,
        scratch: &mut Scratch,
        parallelism: Parallelism,
    ) {
        let (k, p, og) = (self.k(), self.p(), self.og);
        let (image, group, output) = self.sizes();
        let count = dy.len() / output;
        let wide = count * p;
        let Scratch { cols, side } = scratch;
        for g in 0..self.geometry.groups {
            let w = &w[g * og * k..(g + 1) * og * k];
            let dy = if count == 1 {
                &dy[g * og * p..(g + 1) * og * p]
            } else {
                let side = room(side, og * wide);
                for (i, dy) in dy.chunks_exact(output).enumerate() {
                    for (o, dy) in dy[g * og * p..(g + 1) * og * p].chunks_exact(p).enumerate() {
                        let at = (o * count + i) * p;
                        side[at..at + p].copy_from_slice(dy);
                    }
                }
                &*side
            };
            if let Some(dw) = dw.as_deref_mut() {
                let patches = self.patches(images, g, count, cols);
                let (a, b) = (Matrix::rows(dy, wide), Matrix::rows(patches, wide).transposed());
                product(&mut dw[g * og * k..(g + 1) * og * k], a, b, [og, wide, k], true, parallelism);
            }
            if let Some(dx) = dx.as_deref_mut() {
                let (a, b) = (Matrix::rows(w, k).transposed(), Matrix::rows(dy, wide));
                if count == 1 && self.is_pointwise() {
                    product(&mut dx[g * group..(g + 1) * group], a, b, [k, og, p], false, parallelism);
                    continue;
                }
                let cols = room(cols, k * wide);
                product(cols, a, b, [k, og, wide], false, parallelism);
                vectorized(|| {
                    for i in 0..count {
                        let at = i * image + g * group;
                        self.gather(cols, &mut dx[at..at + group], i, count);
                    }
                });
            }
        }
    }
}

pub(super) fn forward(x: FlexTensor, weight: FlexTensor, geometry: ConvGeometry) -> FlexTensor {
    if !is_f32(&x) {
        return Flex::conv2d(x, weight, None, options(geometry));
    }
    let (x, weight) = (dense(x), dense(weight));
    let plan = Plan::new(&x, &weight, geometry);
    let (data, w) = (elements(&x), elements(&weight));
    let (image, _, output) = plan.sizes();
    let mut out = buffer(plan.n * output);
    if !out.is_empty() && image > 0 {
        let threads = rayon::current_num_threads();
        if plan.n >= threads {
            let count = shared(&plan, threads);
            out.par_chunks_mut(count * output)
                .zip(data.par_chunks(count * image))
                .for_each_init(Scratch::default, |scratch, (out, images)| {
                    plan.forward(images, w, out, scratch, Parallelism::None)
                });
        } else {
            let mut scratch = Scratch::default();
            for (out, image) in out.chunks_mut(output).zip(data.chunks(image)) {
                plan.forward(image, w, out, &mut scratch, Parallelism::Rayon(0));
            }
        }
    }
    build(&[plan.n, plan.o, plan.oh, plan.ow], out)
}

/// A run of images on the way back, and where its gradients go.
struct Run<'a> {
    images: &'a [f32],
    dy: &'a [f32],
    dx: Option<&'a mut [f32]>,
    dw: &'a mut Vec<f32>,
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
    let (image, _, output) = plan.sizes();
    let (data, w, dy) = (elements(&x), elements(&weight), elements(&grad));
    let mut dx = wanted[0].then(|| buffer(plan.n * image));
    let mut dw = wanted[1].then(|| buffer(w.len()));
    if !dy.is_empty() && image > 0 {
        // Every thread takes one run of images and sums its weight gradients; the sums are added in order.
        let threads = rayon::current_num_threads();
        let by_run = plan.n >= threads;
        let (run, count) =
            if by_run { (plan.n.div_ceil(threads), shared(&plan, threads)) } else { (plan.n, 1) };
        let parallelism = if by_run { Parallelism::None } else { Parallelism::Rayon(0) };
        let runs = plan.n.div_ceil(run);
        let mut parts = vec![Vec::new(); runs];
        let inputs: Vec<Option<&mut [f32]>> = match dx.as_deref_mut() {
            Some(dx) => dx.chunks_mut(run * image).map(Some).collect(),
            None => (0..runs).map(|_| None).collect(),
        };
        let work: Vec<Run<'_>> = inputs
            .into_iter()
            .zip(&mut parts)
            .zip(data.chunks(run * image))
            .zip(dy.chunks(run * output))
            .map(|(((dx, dw), images), dy)| Run { images, dy, dx, dw })
            .collect();
        let one = |mut r: Run<'_>| {
            if wanted[1] {
                *r.dw = buffer(w.len());
            }
            let mut scratch = Scratch::default();
            let shares = r.images.chunks(count * image).zip(r.dy.chunks(count * output));
            for (i, (images, dy)) in shares.enumerate() {
                let at = i * count * image;
                let dx = r.dx.as_deref_mut().map(|dx| &mut dx[at..at + images.len()]);
                let dw = wanted[1].then_some(r.dw.as_mut_slice());
                plan.backward((images, w, dy), dx, dw, &mut scratch, parallelism);
            }
        };
        if by_run {
            work.into_par_iter().for_each(one);
        } else {
            work.into_iter().for_each(one);
        }
        if let Some(dw) = dw.as_deref_mut() {
            for part in parts {
                dw.iter_mut().zip(part).for_each(|(sum, v)| *sum += v);
            }
        }
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

//! Batch normalization by the batch's own statistics.
//!
//! Forward: `x̂ = (x − μ) / √(σ² + ε)`, `y = γ · x̂ + β`. Backward, with `M` elements a channel:
//! `dβ = Σ dy`, `dγ = Σ dy · x̂`, `dx = γ / √(σ² + ε) · (dy − dβ / M − x̂ · dγ / M)`.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Backend, Flex, Shape, TensorMetadata};
use rayon::prelude::*;

use super::{
    FlexTensor, KernelGrads, TrainKernels, affine, buffer, build, dense, elements, is_f32, vectorized,
};

/// What the way back needs.
#[derive(Debug, Clone)]
pub(crate) struct Saved<B: Backend> {
    pub(super) x: FloatTensor<B>,
    pub(super) weight: FloatTensor<B>,
    pub(super) mean: FloatTensor<B>,
    pub(super) var: FloatTensor<B>,
    pub(super) eps: f64,
}

/// `[N, C, inner]`
fn layout(x: &FlexTensor) -> (usize, usize, usize) {
    let shape: Vec<usize> = x.shape().iter().copied().collect();
    let n = shape.first().copied().unwrap_or(1);
    let c = shape.get(1).copied().unwrap_or(1);
    (n, c, shape.iter().skip(2).product())
}

/// Sum of `f(i)` over one row in sixteen lanes, so that it vectorizes; the order of addition is fixed.
#[inline(always)]
fn lanes<const K: usize>(len: usize, f: impl Fn(usize) -> [f32; K]) -> [f64; K] {
    let mut acc = [[0f32; 16]; K];
    let whole = len / 16 * 16;
    let mut i = 0;
    while i < whole {
        for lane in 0..16 {
            for (sums, v) in acc.iter_mut().zip(f(i + lane)) {
                sums[lane] += v;
            }
        }
        i += 16;
    }
    let mut total = [0f64; K];
    for (total, sums) in total.iter_mut().zip(&acc) {
        *total = sums.iter().map(|&v| f64::from(v)).sum();
    }
    while i < len {
        for (total, v) in total.iter_mut().zip(f(i)) {
            *total += f64::from(v);
        }
        i += 1;
    }
    total
}

/// The rows of channel `c`.
fn rows(data: &[f32], (n, channels, inner): (usize, usize, usize), c: usize) -> impl Iterator<Item = &[f32]> {
    (0..n).filter_map(move |i| {
        let start = (i * channels + c) * inner;
        data.get(start..start + inner)
    })
}

pub(super) fn forward(
    x: FlexTensor,
    weight: FlexTensor,
    bias: FlexTensor,
    eps: f64,
) -> (FlexTensor, FlexTensor, FlexTensor) {
    if !is_f32(&x) {
        return composed_forward::<Flex>(x, weight, bias, eps);
    }
    let (x, weight, bias) = (dense(x), dense(weight), dense(bias));
    let dims @ (n, channels, inner) = layout(&x);
    let count = (n * inner).max(1) as f64;
    let data = elements(&x);
    let stats: Vec<(f32, f32)> = (0..channels)
        .into_par_iter()
        .map(|c| {
            let sum: f64 = rows(data, dims, c).map(|r| lanes(r.len(), |i| [r[i]])[0]).sum();
            let mean = (sum / count) as f32;
            let sum: f64 =
                rows(data, dims, c).map(|r| lanes(r.len(), |i| [(r[i] - mean) * (r[i] - mean)])[0]).sum();
            (mean, (sum / count) as f32)
        })
        .collect();
    let (mean, var): (Vec<f32>, Vec<f32>) = stats.into_iter().unzip();
    let inv = |v: f32| 1.0 / (f64::from(v) + eps).sqrt();
    let scale: Vec<f32> =
        var.iter().zip(elements(&weight)).map(|(&v, &w)| (f64::from(w) * inv(v)) as f32).collect();
    let shift: Vec<f32> = mean
        .iter()
        .zip(&scale)
        .zip(elements(&bias))
        .map(|((&m, &s), &b)| (f64::from(b) - f64::from(m) * f64::from(s)) as f32)
        .collect();
    let output = affine::forward(x, build(&[channels], scale), build(&[channels], shift));
    (output, build(&[channels], mean), build(&[channels], var))
}

pub(super) fn backward(saved: Saved<Flex>, grad: FlexTensor) -> [FlexTensor; 3] {
    if !is_f32(&grad) {
        return composed_backward::<Flex>(saved, grad);
    }
    let (x, grad) = (dense(saved.x), dense(grad));
    let (weight, mean, var) = (dense(saved.weight), dense(saved.mean), dense(saved.var));
    let dims @ (n, channels, inner) = layout(&x);
    let count = (n * inner).max(1) as f64;
    let (data, dy) = (elements(&x), elements(&grad));
    let (weight, mean, var) = (elements(&weight), elements(&mean), elements(&var));
    let inv = |c: usize| (1.0 / (f64::from(var[c]) + saved.eps).sqrt()) as f32;
    let sums: Vec<(f32, f32)> = (0..channels)
        .into_par_iter()
        .map(|c| {
            let (m, s) = (mean[c], inv(c));
            vectorized(|| {
                let (mut db, mut dg) = (0.0, 0.0);
                for (r, g) in rows(data, dims, c).zip(rows(dy, dims, c)) {
                    let [b, w] = lanes(r.len().min(g.len()), |i| [g[i], g[i] * ((r[i] - m) * s)]);
                    db += b;
                    dg += w;
                }
                (db as f32, dg as f32)
            })
        })
        .collect();
    let mut dx = buffer(data.len());
    if inner > 0 {
        dx.par_chunks_mut(inner)
            .zip(data.par_chunks(inner))
            .zip(dy.par_chunks(inner))
            .zip((0..n * channels).into_par_iter())
            .for_each(|(((dx, x), dy), row)| {
                let c = row % channels;
                let (m, s) = (mean[c], inv(c));
                let factor = weight[c] * s;
                let (db, dg) = ((f64::from(sums[c].0) / count) as f32, (f64::from(sums[c].1) / count) as f32);
                vectorized(|| {
                    for ((o, &v), &g) in dx.iter_mut().zip(x).zip(dy) {
                        *o = factor * (g - db - (v - m) * s * dg);
                    }
                });
            });
    }
    let shape: Vec<usize> = x.shape().iter().copied().collect();
    let (db, dg): (Vec<f32>, Vec<f32>) = sums.into_iter().unzip();
    [build(&shape, dx), build(&[channels], dg), build(&[channels], db)]
}

/// `[1, C, 1, ..]` of the rank of `x`.
fn spread<B: Backend>(x: &FloatTensor<B>, v: FloatTensor<B>) -> FloatTensor<B> {
    let shape: Vec<usize> = x.shape().iter().enumerate().map(|(i, &d)| if i == 1 { d } else { 1 }).collect();
    B::float_reshape(v, Shape::from(shape))
}

/// Mean over all axes but the channels', as a vector.
fn channel_mean<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    let shape: Vec<usize> = x.shape().iter().copied().collect();
    let channels = shape.get(1).copied().unwrap_or(1);
    let mut out = x;
    for axis in (0..shape.len()).filter(|&a| a != 1) {
        out = B::float_mean_dim(out, axis);
    }
    B::float_reshape(out, Shape::from(vec![channels]))
}

type Three<B> = (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>);

fn composed_forward<B: Backend>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    bias: FloatTensor<B>,
    eps: f64,
) -> Three<B> {
    let mean = channel_mean::<B>(x.clone());
    let centred = B::float_sub(x.clone(), spread::<B>(&x, mean.clone()));
    let var = channel_mean::<B>(B::float_mul(centred.clone(), centred.clone()));
    let std = B::float_sqrt(B::float_add_scalar(var.clone(), eps.into()));
    let scale = B::float_div(weight, std);
    let output = B::float_mul(centred, spread::<B>(&x, scale));
    (B::float_add(output, spread::<B>(&x, bias)), mean, var)
}

fn composed_backward<B: Backend>(saved: Saved<B>, grad: FloatTensor<B>) -> [FloatTensor<B>; 3] {
    let x = saved.x;
    let shape: Vec<usize> = x.shape().iter().copied().collect();
    let channels = shape.get(1).copied().unwrap_or(1).max(1);
    let count = (shape.iter().product::<usize>() / channels) as f64;
    let std = B::float_sqrt(B::float_add_scalar(saved.var, saved.eps.into()));
    let centred = B::float_sub(x.clone(), spread::<B>(&x, saved.mean));
    let hat = B::float_div(centred, spread::<B>(&x, std.clone()));
    let mean_dy = channel_mean::<B>(grad.clone());
    let mean_dy_hat = channel_mean::<B>(B::float_mul(grad.clone(), hat.clone()));
    let inner = B::float_sub(
        B::float_sub(grad, spread::<B>(&x, mean_dy.clone())),
        B::float_mul(hat, spread::<B>(&x, mean_dy_hat.clone())),
    );
    let dx = B::float_mul(inner, spread::<B>(&x, B::float_div(saved.weight, std)));
    [dx, B::float_mul_scalar(mean_dy_hat, count.into()), B::float_mul_scalar(mean_dy, count.into())]
}

#[derive(Debug)]
struct BatchNormBackward;

impl<B: KernelGrads> Backward<B, 3> for BatchNormBackward {
    type State = Saved<B>;

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let computed = B::batch_norm_grad(ops.state, grad);
        for (parent, grad) in ops.parents.into_iter().zip(computed) {
            if let Some(node) = parent {
                grads.register::<B>(node.id, grad);
            }
        }
    }
}

pub(super) fn tracked<B, C>(
    x: FloatTensor<Autodiff<B, C>>,
    weight: FloatTensor<Autodiff<B, C>>,
    bias: FloatTensor<Autodiff<B, C>>,
    eps: f64,
) -> Three<Autodiff<B, C>>
where
    B: TrainKernels + KernelGrads,
    C: CheckpointStrategy,
{
    let prepared =
        BatchNormBackward.prepare::<C>([x.node(), weight.node(), bias.node()]).compute_bound().stateful();
    let (x, weight) = (x.into_primitive(), weight.into_primitive());
    let (output, mean, var) = B::occam_batch_norm(x.clone(), weight.clone(), bias.into_primitive(), eps);
    let output = match prepared {
        OpsKind::Tracked(prep) => {
            let saved = Saved { x, weight, mean: mean.clone(), var: var.clone(), eps };
            prep.finish(saved, output)
        }
        OpsKind::UnTracked(prep) => prep.finish(output),
    };
    (output, Autodiff::<B, C>::from_inner(mean), Autodiff::<B, C>::from_inner(var))
}

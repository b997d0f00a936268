//! Steps of optimizers, each one pass over a parameter.
//!
//! Factors are computed in `f64` and applied in `f32`, in PyTorch's order and without fused multiplications.

use rayon::prelude::*;

use crate::vector::vectorize;

/// Elements of a task.
const CHUNK: usize = 1 << 15;

/// Stochastic gradient descent with momentum, as `torch.optim.SGD`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sgd {
    /// Learning rate.
    pub lr: f64,
    /// Share of the last direction that is kept.
    pub momentum: f64,
    /// Share of the gradient that is left out of the direction.
    pub dampening: f64,
    /// Factor of the L2 penalty.
    pub weight_decay: f64,
    /// Whether the direction looks one step ahead.
    pub nesterov: bool,
}

/// One step: `d = g + weight_decay · p`; with a buffer `b = momentum · b + (1 − dampening) · d`, or `b = d` on the
/// first step, whatever `b` held, and `d = d + momentum · b` with `nesterov`, else `d = b`; then `p = p − lr · d`.
///
/// All slices are of the parameter's length. Without a buffer there is no momentum.
///
/// # Panics
/// The slices differ in length.
pub fn sgd(param: &mut [f32], grad: &[f32], momentum_buffer: Option<&mut [f32]>, first: bool, rule: &Sgd) {
    assert_eq!(param.len(), grad.len(), "the gradient is of another length");
    let (lr, decay, kept) = (rule.lr as f32, rule.weight_decay as f32, rule.momentum as f32);
    let (added, nesterov) = ((1.0 - rule.dampening) as f32, rule.nesterov);
    // Without decay a parameter that is not finite leaves the gradient as it is.
    let direction = move |g: f32, p: f32| if decay == 0.0 { g } else { g + decay * p };
    let Some(buffer) = momentum_buffer else {
        param.par_chunks_mut(CHUNK).zip(grad.par_chunks(CHUNK)).for_each(|(param, grad)| {
            vectorize(
                #[inline(always)]
                || {
                    for (p, &g) in param.iter_mut().zip(grad) {
                        *p -= lr * direction(g, *p);
                    }
                },
            );
        });
        return;
    };
    assert_eq!(param.len(), buffer.len(), "the buffer is of another length");
    let chunks = param.par_chunks_mut(CHUNK).zip(grad.par_chunks(CHUNK)).zip(buffer.par_chunks_mut(CHUNK));
    chunks.for_each(|((param, grad), buffer)| {
        vectorize(
            #[inline(always)]
            || {
                for ((p, &g), b) in param.iter_mut().zip(grad).zip(buffer.iter_mut()) {
                    let d = direction(g, *p);
                    let next = if first { d } else { kept * *b + added * d };
                    *b = next;
                    *p -= lr * if nesterov { d + kept * next } else { next };
                }
            },
        );
    });
}

/// Adam with decoupled weight decay (Loshchilov and Hutter, 2019, arXiv:1711.05101), as `torch.optim.AdamW`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamW {
    /// Learning rate.
    pub lr: f64,
    /// Shares of the running moments that are kept.
    pub betas: (f64, f64),
    /// Added to the denominator.
    pub eps: f64,
    /// Share of the parameter that is taken away each step, times the learning rate.
    pub weight_decay: f64,
}

/// The running moments of a parameter, all 0 before the first step.
#[derive(Debug)]
pub struct Moments<'a> {
    /// `m`
    pub exp_avg: &'a mut [f32],
    /// `v`
    pub exp_avg_sq: &'a mut [f32],
}

/// Step `t`, counted from 1: `m = β₁ m + (1 − β₁) g`; `v = β₂ v + (1 − β₂) g²`; then
/// `p = p · (1 − lr · weight_decay) − lr / (1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + ε)`.
///
/// # Panics
/// The slices differ in length.
pub fn adamw(param: &mut [f32], grad: &[f32], moments: Moments<'_>, step: u32, rule: &AdamW) {
    let Moments { exp_avg, exp_avg_sq } = moments;
    let lengths = [grad.len(), exp_avg.len(), exp_avg_sq.len()];
    assert_eq!(lengths, [param.len(); 3], "the gradient or a moment is of another length");
    let (b1, b2) = rule.betas;
    let exponent = i32::try_from(step).unwrap_or(i32::MAX);
    let (c1, c2) = (1.0 - b1.powi(exponent), 1.0 - b2.powi(exponent));
    let (keep1, add1, keep2, add2) = (b1 as f32, (1.0 - b1) as f32, b2 as f32, (1.0 - b2) as f32);
    let (root, eps) = ((1.0 / c2.sqrt()) as f32, rule.eps as f32);
    let (rate, shrink) = ((rule.lr / c1) as f32, (1.0 - rule.lr * rule.weight_decay) as f32);
    let chunks = param.par_chunks_mut(CHUNK).zip(grad.par_chunks(CHUNK));
    let chunks = chunks.zip(exp_avg.par_chunks_mut(CHUNK)).zip(exp_avg_sq.par_chunks_mut(CHUNK));
    chunks.for_each(|(((param, grad), exp_avg), exp_avg_sq)| {
        vectorize(
            #[inline(always)]
            || {
                for (((p, &g), m), v) in
                    param.iter_mut().zip(grad).zip(exp_avg.iter_mut()).zip(exp_avg_sq.iter_mut())
                {
                    *m = keep1 * *m + add1 * g;
                    *v = keep2 * *v + add2 * (g * g);
                    *p = *p * shrink - *m / (v.sqrt() * root + eps) * rate;
                }
            },
        );
    });
}

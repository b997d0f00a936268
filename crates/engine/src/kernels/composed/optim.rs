//! Optimizer updates and norms; formulas are at [`occam_kernels::optim`].

use burn::backend::Backend;
use burn::backend::tensor::FloatTensor;

use crate::kernels::{AdamWRule, SgdRule};

/// `Σ x²`, of shape `[1]`.
pub(in crate::kernels) fn sum_of_squares<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    B::float_sum(B::float_mul(x.clone(), x))
}

/// The gradient with the penalty on the parameter.
fn direction<B: Backend>(param: &FloatTensor<B>, grad: FloatTensor<B>, rule: &SgdRule) -> FloatTensor<B> {
    if rule.weight_decay == 0.0 {
        return grad;
    }
    B::float_add(grad, B::float_mul_scalar(param.clone(), rule.weight_decay.into()))
}

pub(in crate::kernels) fn sgd<B: Backend>(
    param: FloatTensor<B>,
    grad: FloatTensor<B>,
    rule: &SgdRule,
) -> FloatTensor<B> {
    let d = direction::<B>(&param, grad, rule);
    B::float_sub(param, B::float_mul_scalar(d, rule.lr.into()))
}

pub(in crate::kernels) fn sgd_momentum<B: Backend>(
    param: FloatTensor<B>,
    grad: FloatTensor<B>,
    buffer: FloatTensor<B>,
    first: bool,
    rule: &SgdRule,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let d = direction::<B>(&param, grad, rule);
    let next = if first {
        d.clone()
    } else {
        let kept = B::float_mul_scalar(buffer, rule.momentum.into());
        B::float_add(kept, B::float_mul_scalar(d.clone(), (1.0 - rule.dampening).into()))
    };
    let step = if rule.nesterov {
        B::float_add(d, B::float_mul_scalar(next.clone(), rule.momentum.into()))
    } else {
        next.clone()
    };
    (B::float_sub(param, B::float_mul_scalar(step, rule.lr.into())), next)
}

pub(in crate::kernels) fn adamw<B: Backend>(
    param: FloatTensor<B>,
    grad: FloatTensor<B>,
    [exp_avg, exp_avg_sq]: [FloatTensor<B>; 2],
    step: u32,
    rule: &AdamWRule,
) -> (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>) {
    let (b1, b2) = rule.betas;
    let exponent = i32::try_from(step).unwrap_or(i32::MAX);
    let (c1, c2) = (1.0 - b1.powi(exponent), 1.0 - b2.powi(exponent));
    let blend = |kept: FloatTensor<B>, new: FloatTensor<B>, b: f64| {
        B::float_add(B::float_mul_scalar(kept, b.into()), B::float_mul_scalar(new, (1.0 - b).into()))
    };
    let square = B::float_mul(grad.clone(), grad.clone());
    let (m, v) = (blend(exp_avg, grad, b1), blend(exp_avg_sq, square, b2));
    let root = B::float_mul_scalar(B::float_sqrt(v.clone()), (1.0 / c2.sqrt()).into());
    let update = B::float_div(m.clone(), B::float_add_scalar(root, rule.eps.into()));
    let shrunk = B::float_mul_scalar(param, (1.0 - rule.lr * rule.weight_decay).into());
    (B::float_sub(shrunk, B::float_mul_scalar(update, (rule.lr / c1).into())), m, v)
}

//! Optimizer updates and norms; formulas are at [`occam_kernels::optim`].

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Shape, TensorMetadata};

use super::bools;
use crate::kernels::{AdamWRule, SgdRule};

/// `[s, Σ (x / s)², 0, 0]` with the largest magnitude `s`, or 1 where that is no number to divide by: squares stay in the
/// range of `f32`.
pub(in crate::kernels) fn sum_of_squares<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    let (device, dtype) = (x.device(), x.dtype().into());
    let one = B::float_ones(Shape::from(vec![1]), &device, dtype);
    if x.shape().iter().any(|&d| d == 0) {
        let zeros = B::float_zeros(Shape::from(vec![3]), &device, dtype);
        return B::float_cat(vec![one, zeros], 0);
    }
    let most = B::float_reshape(B::float_max(B::float_abs(x.clone())), Shape::from(vec![1]));
    let truth = bools::<B>(&x);
    let usable = B::bool_and(
        B::float_greater_elem(most.clone(), f32::MIN_POSITIVE.into(), truth),
        B::float_lower_elem(most.clone(), f32::INFINITY.into(), truth),
    );
    let scale = B::float_mask_where(one, usable, most);
    let spread = vec![1; x.shape().iter().count()];
    let scaled = B::float_div(x, B::float_reshape(scale.clone(), Shape::from(spread)));
    let total = B::float_reshape(B::float_sum(B::float_mul(scaled.clone(), scaled)), Shape::from(vec![1]));
    let zeros = B::float_zeros(Shape::from(vec![2]), &device, dtype);
    B::float_cat(vec![scale, total, zeros], 0)
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

//! Batch normalization by the batch's own statistics; formulas are at [`occam_kernels::batch_norm`].

use burn::backend::Backend;
use burn::backend::tensor::FloatTensor;

use super::{activation, along, shape, sum_to};
use crate::kernels::Activation;
use crate::kernels::batch_norm::Saved;

/// Elements of a channel.
fn count(shape: &[usize]) -> f64 {
    let channels = shape.get(1).copied().unwrap_or(1).max(1);
    (shape.iter().product::<usize>() / channels).max(1) as f64
}

/// Mean over all axes but the channels', as a vector.
fn channel_mean<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    let count = count(&shape::<B>(&x));
    B::float_div_scalar(sum_to::<B>(x, 1), count.into())
}

fn deviation<B: Backend>(var: FloatTensor<B>, eps: f64) -> FloatTensor<B> {
    B::float_sqrt(B::float_add_scalar(var, eps.into()))
}

/// Output, mean and biased variance.
pub(in crate::kernels) fn forward<B: Backend>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    bias: FloatTensor<B>,
    eps: f64,
    activation: Activation,
) -> (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>) {
    let whole = shape::<B>(&x);
    let mean = channel_mean::<B>(x.clone());
    let centred = B::float_sub(x, along::<B>(&whole, 1, mean.clone()));
    let var = channel_mean::<B>(B::float_mul(centred.clone(), centred.clone()));
    let scale = B::float_div(weight, deviation::<B>(var.clone(), eps));
    let output = B::float_mul(centred, along::<B>(&whole, 1, scale));
    let output = B::float_add(output, along::<B>(&whole, 1, bias));
    (activation::forward::<B>(output, activation), mean, var)
}

/// Gradients of `x`, `weight` and `bias`.
pub(in crate::kernels) fn backward<B: Backend>(saved: Saved<B>, grad: FloatTensor<B>) -> [FloatTensor<B>; 3] {
    let whole = shape::<B>(&saved.x);
    let spread = |v| along::<B>(&whole, 1, v);
    let std = deviation::<B>(saved.var, saved.eps);
    let hat = B::float_div(B::float_sub(saved.x, spread(saved.mean)), spread(std.clone()));
    let grad = match saved.activation {
        Activation::None => grad,
        act => {
            let output =
                B::float_add(B::float_mul(hat.clone(), spread(saved.weight.clone())), spread(saved.bias));
            activation::backward::<B>(activation::forward::<B>(output, act), grad, act)
        }
    };
    let count = count(&whole);
    let mean_dy = channel_mean::<B>(grad.clone());
    let mean_dy_hat = channel_mean::<B>(B::float_mul(grad.clone(), hat.clone()));
    let inner = B::float_sub(
        B::float_sub(grad, spread(mean_dy.clone())),
        B::float_mul(hat, spread(mean_dy_hat.clone())),
    );
    let dx = B::float_mul(inner, spread(B::float_div(saved.weight, std)));
    [dx, B::float_mul_scalar(mean_dy_hat, count.into()), B::float_mul_scalar(mean_dy, count.into())]
}

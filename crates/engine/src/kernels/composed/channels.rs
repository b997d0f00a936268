//! Channels taken, joined, shuffled, scaled and summed.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Shape};

use super::{along, among_zeros, part, shape, sum_to};

pub(in crate::kernels) fn take<B: Backend>(x: FloatTensor<B>, start: usize, count: usize) -> FloatTensor<B> {
    part::<B>(x, &[(1, start..start + count)])
}

/// `grad` among zeros, `channels` in all.
pub(in crate::kernels) fn put<B: Backend>(
    grad: FloatTensor<B>,
    start: usize,
    channels: usize,
) -> FloatTensor<B> {
    let mut whole = shape::<B>(&grad);
    if let Some(c) = whole.get_mut(1) {
        *c = channels;
    }
    among_zeros::<B>(grad, &whole, 1, start)
}

pub(in crate::kernels) fn concat<B: Backend>(a: FloatTensor<B>, b: FloatTensor<B>) -> FloatTensor<B> {
    B::float_cat(vec![a, b], 1)
}

pub(in crate::kernels) fn shuffle<B: Backend>(x: FloatTensor<B>, groups: usize) -> FloatTensor<B> {
    let whole = shape::<B>(&x);
    let (n, c) = (whole.first().copied().unwrap_or(1), whole.get(1).copied().unwrap_or(1));
    let apart = [n, groups, c.checked_div(groups).unwrap_or(0), whole.iter().skip(2).product()];
    let x = B::float_swap_dims(B::float_reshape(x, Shape::from(apart.to_vec())), 1, 2);
    B::float_reshape(x, Shape::from(whole))
}

/// `x · scale + shift`
pub(in crate::kernels) fn affine<B: Backend>(
    x: FloatTensor<B>,
    scale: FloatTensor<B>,
    shift: FloatTensor<B>,
) -> FloatTensor<B> {
    let whole = shape::<B>(&x);
    let product = B::float_mul(x, along::<B>(&whole, 1, scale));
    B::float_add(product, along::<B>(&whole, 1, shift))
}

/// Sum of every channel.
pub(in crate::kernels) fn sums<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    sum_to::<B>(x, 1)
}

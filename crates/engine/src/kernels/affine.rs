//! `x · scale + shift`, channel by channel: batch normalization in evaluation.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Flex, Shape, TensorMetadata};

use super::{Activation, FlexTensor, build, dense, elements, is_f32, layout, shape};

/// By burn's operations, for tapes and for other element types.
pub(super) fn composed<B: Backend>(
    x: FloatTensor<B>,
    scale: FloatTensor<B>,
    shift: FloatTensor<B>,
) -> FloatTensor<B> {
    let spread: Vec<usize> = x.shape().iter().enumerate().map(|(i, &d)| if i == 1 { d } else { 1 }).collect();
    let view = |t| B::float_reshape(t, Shape::from(spread.clone()));
    B::float_add(B::float_mul(x, view(scale)), view(shift))
}

pub(super) fn forward(x: FlexTensor, scale: FlexTensor, shift: FlexTensor) -> FlexTensor {
    if !is_f32(&x) {
        return composed::<Flex>(x, scale, shift);
    }
    let (x, scale, shift) = (dense(x), dense(scale), dense(shift));
    let out = occam_kernels::batch_norm::apply(
        elements(&x),
        elements(&scale),
        elements(&shift),
        layout(&x),
        Activation::None,
    );
    build(&shape(&x), out)
}

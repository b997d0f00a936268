//! Activations, and sums with an activation.

use burn::backend::Backend;
use burn::backend::tensor::FloatTensor;

use super::bools;
use crate::kernels::Activation;

pub(in crate::kernels) fn forward<B: Backend>(x: FloatTensor<B>, activation: Activation) -> FloatTensor<B> {
    match activation {
        Activation::None => x,
        Activation::Relu => B::relu(x),
        Activation::Relu6 => {
            let y = B::relu(x);
            let bools = bools::<B>(&y);
            let above = B::float_greater_equal_elem(y.clone(), 6.0.into(), bools);
            B::float_mask_fill(y, above, 6.0.into())
        }
    }
}

pub(in crate::kernels) fn backward<B: Backend>(
    output: FloatTensor<B>,
    grad: FloatTensor<B>,
    activation: Activation,
) -> FloatTensor<B> {
    match activation {
        Activation::None => grad,
        Activation::Relu => B::relu_backward(output, grad),
        Activation::Relu6 => {
            let inside = B::relu_backward(output.clone(), grad);
            let bools = bools::<B>(&output);
            let above = B::float_greater_equal_elem(output, 6.0.into(), bools);
            B::float_mask_fill(inside, above, 0.0.into())
        }
    }
}

pub(in crate::kernels) fn add<B: Backend>(
    a: FloatTensor<B>,
    b: FloatTensor<B>,
    activation: Activation,
) -> FloatTensor<B> {
    forward::<B>(B::float_add(a, b), activation)
}

//! Convolution.
//!
//! Zeros that differ between two sides of the image are laid around it first: not every backend of burn computes
//! gradients of such.

use burn::backend::Backend;
use burn::backend::ops::{ConvOptions, PadMode};
use burn::backend::tensor::FloatTensor;

use super::{among_zeros, part, shape, sizes};
use crate::kernels::ConvGeometry;

/// The part of the weights that is used.
fn used<B: Backend>(x: &FloatTensor<B>, weight: FloatTensor<B>, g: ConvGeometry) -> FloatTensor<B> {
    let Some(outputs) = g.outputs else { return weight };
    let [_, c, ..] = sizes::<B, 4>(x);
    part::<B>(weight, &[(0, 0..outputs), (1, 0..c.checked_div(g.groups).unwrap_or(0))])
}

/// Whether both sides of each axis have as many zeros.
pub(super) fn is_symmetric(g: ConvGeometry) -> bool {
    g.padding.iter().all(|(before, after)| before == after)
}

/// The image with zeros around it where burn is not to add them, and burn's options.
pub(super) fn padded<B: Backend>(x: FloatTensor<B>, g: ConvGeometry) -> (FloatTensor<B>, ConvOptions<2>) {
    let [rows, columns] = g.padding;
    if is_symmetric(g) {
        return (x, ConvOptions::new(g.stride, [rows.0, columns.0], g.dilation, g.groups));
    }
    let x = B::float_pad(x, &[(0, 0), (0, 0), rows, columns], PadMode::Constant(0.0));
    (x, ConvOptions::new(g.stride, [0, 0], g.dilation, g.groups))
}

/// The image's own part of the gradient of what [`padded`] gave.
fn cropped<B: Backend>(grad: FloatTensor<B>, image: &[usize; 4], g: ConvGeometry) -> FloatTensor<B> {
    if is_symmetric(g) {
        return grad;
    }
    let ([_, _, h, w], [(top, _), (left, _)]) = (*image, g.padding);
    part::<B>(grad, &[(2, top..top + h), (3, left..left + w)])
}

pub(in crate::kernels) fn forward<B: Backend>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    bias: Option<FloatTensor<B>>,
    g: ConvGeometry,
) -> FloatTensor<B> {
    let weight = used::<B>(&x, weight, g);
    let (x, options) = padded::<B>(x, g);
    B::conv2d(x, weight, bias, options)
}

/// Gradients of `x` and `weight`, each where wanted.
pub(in crate::kernels) fn backward<B: Backend>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    grad: FloatTensor<B>,
    g: ConvGeometry,
    wanted: [bool; 2],
) -> [Option<FloatTensor<B>>; 2] {
    let (image, all) = (sizes::<B, 4>(&x), shape::<B>(&weight));
    let weight = used::<B>(&x, weight, g);
    let (x, options) = padded::<B>(x, g);
    let dx = wanted[0].then(|| {
        let dx = B::conv2d_x_backward(x.clone(), weight.clone(), grad.clone(), options.clone());
        cropped::<B>(dx, &image, g)
    });
    let dw = wanted[1].then(|| {
        let dw = B::conv2d_weight_backward(x, weight, grad, options);
        if shape::<B>(&dw) == all { dw } else { among_zeros::<B>(dw, &all, 0, 0) }
    });
    [dx, dw]
}

//! Transposed convolution.

use burn::backend::Backend;
use burn::backend::ops::ConvTransposeOptions;
use burn::backend::tensor::FloatTensor;

use super::{conv, part, sizes};
use crate::kernels::ConvGeometry;

pub(in crate::kernels) fn forward<B: Backend>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    g: ConvGeometry,
    size: [usize; 2],
) -> FloatTensor<B> {
    let ([_, _, h, w], [_, _, kh, kw]) = (sizes::<B, 4>(&x), sizes::<B, 4>(&weight));
    let symmetric = conv::is_symmetric(g);
    // Where the sides differ, the whole is computed and its inner part taken.
    let padding = g.padding.map(|(before, _)| if symmetric { before } else { 0 });
    let more = |axis: usize, input: usize, kernel: usize| {
        let (before, after) = g.padding[axis];
        let cut = if symmetric { 0 } else { before + after };
        let inside = size[axis] + cut + 2 * padding[axis];
        let reach =
            input.saturating_sub(1) * g.stride[axis] + g.dilation[axis] * kernel.saturating_sub(1) + 1;
        inside.saturating_sub(reach)
    };
    let options =
        ConvTransposeOptions::new(g.stride, padding, [more(0, h, kh), more(1, w, kw)], g.dilation, g.groups);
    let y = B::conv_transpose2d(x, weight, None, options);
    if symmetric {
        return y;
    }
    let [(top, _), (left, _)] = g.padding;
    part::<B>(y, &[(2, top..top + size[0]), (3, left..left + size[1])])
}

/// Gradients of `x` and `weight`, each where wanted: those of the convolution that leads back.
pub(in crate::kernels) fn backward<B: Backend>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    grad: FloatTensor<B>,
    g: ConvGeometry,
    wanted: [bool; 2],
) -> [Option<FloatTensor<B>>; 2] {
    let (image, options) = conv::padded::<B>(grad, g);
    let dx = wanted[0].then(|| B::conv2d(image.clone(), weight.clone(), None, options.clone()));
    let dw = wanted[1].then(|| B::conv2d_weight_backward(image, weight, x, options));
    [dx, dw]
}

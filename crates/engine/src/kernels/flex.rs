//! The processor: kernels over slices.

use burn::backend::{BackendTypes, DType, Flex, TensorData, TensorMetadata};
use occam_kernels::channels::Layout;

use super::{
    Activation, AdamWRule, ConvGeometry, KernelGrads, Look, QuantRange, Reduction, SgdRule, Targets,
    TrainKernels, activation, add, affine, batch_norm, channels, composed, conv, conv_transpose,
    cross_entropy, fake_quant, optim, pool, sum,
};

/// The processor's own tensor.
pub(super) type FlexTensor = <Flex as BackendTypes>::FloatTensorPrimitive;

impl TrainKernels for Flex {
    fn occam_activate(x: FlexTensor, activation: Activation) -> FlexTensor {
        activation::forward(x, activation)
    }

    fn occam_add(a: FlexTensor, b: FlexTensor, activation: Activation) -> FlexTensor {
        add::forward(a, b, activation)
    }

    fn occam_conv2d(x: FlexTensor, weight: FlexTensor, geometry: ConvGeometry) -> FlexTensor {
        conv::forward(x, weight, geometry)
    }

    fn occam_conv2d_bias(
        x: FlexTensor,
        weight: FlexTensor,
        bias: FlexTensor,
        geometry: ConvGeometry,
    ) -> FlexTensor {
        conv::biased(x, weight, bias, geometry)
    }

    fn occam_conv_transpose2d(
        x: FlexTensor,
        weight: FlexTensor,
        geometry: ConvGeometry,
        size: [usize; 2],
    ) -> FlexTensor {
        conv_transpose::forward(x, weight, geometry, size)
    }

    fn occam_cross_entropy(logits: FlexTensor, targets: Targets) -> FlexTensor {
        cross_entropy::forward(logits, &targets).0
    }

    fn occam_fake_quantize(
        x: FlexTensor,
        scale: FlexTensor,
        zero_point: FlexTensor,
        range: QuantRange,
    ) -> FlexTensor {
        fake_quant::forward(x, scale, zero_point, range)
    }

    fn occam_look(x: FlexTensor, look: Look) -> FlexTensor {
        let x = dense(x);
        look.at(elements(&x));
        x
    }

    fn occam_take_channels(x: FlexTensor, start: usize, count: usize) -> FlexTensor {
        channels::take(x, start, count)
    }

    fn occam_concat_channels(a: FlexTensor, b: FlexTensor) -> FlexTensor {
        channels::concat(a, b)
    }

    fn occam_shuffle(x: FlexTensor, groups: usize) -> FlexTensor {
        channels::shuffle(x, groups)
    }

    fn occam_conv2d_affine(
        x: FlexTensor,
        weight: FlexTensor,
        scale: FlexTensor,
        shift: FlexTensor,
        geometry: ConvGeometry,
        activation: Activation,
    ) -> FlexTensor {
        conv::fused(x, weight, [scale, shift], None, geometry, activation)
    }

    fn occam_conv2d_residual(
        x: FlexTensor,
        weight: FlexTensor,
        scale: FlexTensor,
        shift: FlexTensor,
        residual: FlexTensor,
        geometry: ConvGeometry,
        activation: Activation,
    ) -> FlexTensor {
        conv::fused(x, weight, [scale, shift], Some(residual), geometry, activation)
    }

    fn occam_batch_norm(
        x: FlexTensor,
        weight: FlexTensor,
        bias: FlexTensor,
        eps: f64,
        activation: Activation,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        batch_norm::forward(x, weight, bias, eps, activation)
    }

    fn occam_sum(x: FlexTensor) -> FlexTensor {
        sum::forward(x)
    }

    fn occam_sum_of_squares(x: FlexTensor) -> FlexTensor {
        sum::of_squares(x)
    }

    fn occam_sgd(param: FlexTensor, grad: FlexTensor, rule: SgdRule) -> FlexTensor {
        optim::sgd(param, grad, rule)
    }

    fn occam_sgd_momentum(
        param: FlexTensor,
        grad: FlexTensor,
        buffer: FlexTensor,
        first: bool,
        rule: SgdRule,
    ) -> (FlexTensor, FlexTensor) {
        optim::sgd_momentum(param, grad, buffer, first, rule)
    }

    fn occam_adamw(
        param: FlexTensor,
        grad: FlexTensor,
        exp_avg: FlexTensor,
        exp_avg_sq: FlexTensor,
        step: u32,
        rule: AdamWRule,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        optim::adamw(param, grad, exp_avg, exp_avg_sq, step, rule)
    }

    fn occam_pool(x: FlexTensor, reduction: Reduction) -> FlexTensor {
        pool::forward(x, reduction)
    }

    fn occam_channel_affine(x: FlexTensor, scale: FlexTensor, shift: FlexTensor) -> FlexTensor {
        affine::forward(x, scale, shift)
    }
}

impl KernelGrads for Flex {
    fn activation_grad(output: FlexTensor, grad: FlexTensor, activation: Activation) -> FlexTensor {
        activation::backward(output, grad, activation)
    }

    fn conv_transpose2d_grad(
        x: FlexTensor,
        weight: FlexTensor,
        grad: FlexTensor,
        geometry: ConvGeometry,
        size: [usize; 2],
        wanted: [bool; 2],
    ) -> [Option<FlexTensor>; 2] {
        conv_transpose::backward(x, weight, grad, geometry, size, wanted)
    }

    fn cross_entropy(logits: FlexTensor, targets: Targets) -> (FlexTensor, FlexTensor) {
        cross_entropy::forward(logits, &targets)
    }

    fn cross_entropy_grad(probabilities: FlexTensor, targets: Targets, grad: FlexTensor) -> FlexTensor {
        cross_entropy::backward(probabilities, &targets, grad)
    }

    fn fake_quantize_grad(
        x: FlexTensor,
        scale: FlexTensor,
        zero_point: FlexTensor,
        grad: FlexTensor,
        range: QuantRange,
    ) -> [Option<FlexTensor>; 3] {
        fake_quant::backward(x, scale, zero_point, grad, range)
    }

    fn channel_sums(grad: FlexTensor) -> FlexTensor {
        if !is_f32(&grad) {
            return composed::channels::sums::<Flex>(grad);
        }
        let grad = dense(grad);
        let layout = layout(&grad);
        build(&[layout.channels], occam_kernels::channels::sums(elements(&grad), layout))
    }

    fn put_channels(grad: FlexTensor, start: usize, channels: usize) -> FlexTensor {
        channels::put(grad, start, channels)
    }

    fn pool_indexed(x: FlexTensor, reduction: Reduction) -> (FlexTensor, pool::Indices<Self>) {
        pool::indexed(x, reduction)
    }

    fn pool_grad(
        grad: FlexTensor,
        indices: pool::Indices<Self>,
        input: &[usize],
        reduction: Reduction,
    ) -> FlexTensor {
        pool::backward(grad, indices, input, reduction)
    }

    fn conv2d_grad(
        x: FlexTensor,
        weight: FlexTensor,
        grad: FlexTensor,
        geometry: ConvGeometry,
        wanted: [bool; 2],
    ) -> [Option<FlexTensor>; 2] {
        conv::backward(x, weight, grad, geometry, wanted)
    }

    fn batch_norm_grad(saved: batch_norm::Saved<Self>, grad: FlexTensor) -> [FlexTensor; 3] {
        batch_norm::backward(saved, grad)
    }
}

/// Whether the kernels here can compute it; burn's operations do where they cannot.
pub(super) fn is_f32(x: &FlexTensor) -> bool {
    x.dtype() == DType::F32
}

/// The elements in row-major order without gaps, copied only where they lie otherwise.
pub(super) fn dense(x: FlexTensor) -> FlexTensor {
    if x.is_contiguous() && x.layout().start_offset() == 0 { x } else { x.to_contiguous() }
}

pub(super) fn elements(x: &FlexTensor) -> &[f32] {
    let n: usize = x.shape().iter().product();
    let all = x.storage::<f32>();
    all.get(..n).unwrap_or(all)
}

pub(super) fn build(shape: &[usize], data: Vec<f32>) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(data, burn::backend::Shape::from(shape.to_vec())))
}

pub(super) fn sizes<const N: usize>(x: &FlexTensor) -> [usize; N] {
    let mut out = [1; N];
    for (o, &d) in out.iter_mut().zip(x.shape().iter()) {
        *o = d;
    }
    out
}

/// The sizes of a tensor.
pub(super) fn shape(x: &FlexTensor) -> Vec<usize> {
    x.shape().iter().copied().collect()
}

/// `[n, channels, inner]` of a tensor with channels on axis 1.
pub(super) fn layout(x: &FlexTensor) -> Layout {
    let shape = shape(x);
    let at = |i: usize| shape.get(i).copied().unwrap_or(1);
    Layout { n: at(0), channels: at(1), inner: shape.iter().skip(2).product() }
}

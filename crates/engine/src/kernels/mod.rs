//! Kernels for training on the processor, one operation a file.
//!
//! [`TrainKernels`] is burn's extension mechanism: the `Flex` side computes, the `Autodiff` side records what
//! [`KernelGrads`] needs for the way back. Elements of other types than `f32` go through burn's own operations.
//!
//! At a given number of threads every result is the same bit for bit: work is split by index alone, and partial
//! sums are added in index order.

mod activation;
mod add;
mod affine;
mod batch_norm;
mod channels;
mod conv;
mod conv_transpose;
mod cross_entropy;
mod fake_quant;
mod optim;
mod pool;

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::FloatTensor;
use burn::backend::{
    Autodiff, AutodiffBackend, Backend, BackendTypes, DType, Flex, TensorData, TensorMetadata,
    backend_extension,
};

use occam_kernels::channels::Layout;

pub use conv::ConvGeometry;
pub(crate) use cross_entropy::Targets;
pub use fake_quant::QuantRange;
pub use occam_kernels::Activation;
pub use optim::{AdamWRule, SgdRule};
pub use pool::Reduction;

/// The processor's own tensor.
pub(crate) type FlexTensor = <Flex as BackendTypes>::FloatTensorPrimitive;

/// Operations with kernels of our own.
///
/// Called through `Dispatch` by [`crate::Tensor`], which has checked shapes and types before.
#[backend_extension(Autodiff, Flex)]
pub trait TrainKernels: Backend {
    /// The activation, element by element.
    fn occam_activate(x: FloatTensor<Self>, activation: Activation) -> FloatTensor<Self>;

    /// `act(a + b)` of two tensors of one shape.
    fn occam_add(a: FloatTensor<Self>, b: FloatTensor<Self>, activation: Activation) -> FloatTensor<Self>;

    /// Convolution of `[N, C, H, W]` with `[O, C / groups, KH, KW]`.
    fn occam_conv2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        geometry: ConvGeometry,
    ) -> FloatTensor<Self>;

    /// [`TrainKernels::occam_conv2d`] plus a term for every output channel.
    fn occam_conv2d_bias(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        geometry: ConvGeometry,
    ) -> FloatTensor<Self>;

    /// Transposed convolution of `f32` into planes of `size`.
    fn occam_conv_transpose2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        geometry: ConvGeometry,
        size: [usize; 2],
    ) -> FloatTensor<Self>;

    /// `−log softmax(logits)[target]` of every sample, `[n]`, `f32`.
    fn occam_cross_entropy(logits: FloatTensor<Self>, targets: Targets) -> FloatTensor<Self>;

    /// `(clamp(round(x / scale) + zero_point) − zero_point) · scale`, `f32`.
    fn occam_fake_quantize(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        zero_point: FloatTensor<Self>,
        range: QuantRange,
    ) -> FloatTensor<Self>;

    /// `count` channels from `start` on, `f32`.
    fn occam_take_channels(x: FloatTensor<Self>, start: usize, count: usize) -> FloatTensor<Self>;

    /// The channels of `a`, then those of `b`, `f32`.
    fn occam_concat_channels(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self>;

    /// Channel `g · (C / groups) + i` becomes `i · groups + g`, `f32`.
    fn occam_shuffle(x: FloatTensor<Self>, groups: usize) -> FloatTensor<Self>;

    /// `act(scale · (x ⋆ weight) + shift)`, scale and shift by output channel.
    fn occam_conv2d_affine(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        geometry: ConvGeometry,
        activation: Activation,
    ) -> FloatTensor<Self>;

    /// `act(scale · (x ⋆ weight) + shift + residual)`.
    fn occam_conv2d_residual(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        geometry: ConvGeometry,
        activation: Activation,
    ) -> FloatTensor<Self>;

    /// Batch normalization by the batch's own statistics, then the activation: output, mean and biased variance by
    /// channel.
    fn occam_batch_norm(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        eps: f64,
        activation: Activation,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// `Σ x²`, of shape `[1]`.
    fn occam_sum_of_squares(x: FloatTensor<Self>) -> FloatTensor<Self>;

    /// A parameter after a step of gradient descent without momentum, `f32`, in its place if nobody else has it.
    fn occam_sgd(param: FloatTensor<Self>, grad: FloatTensor<Self>, rule: SgdRule) -> FloatTensor<Self>;

    /// A parameter and its momentum buffer after a step; `first` says that the buffer is still empty.
    fn occam_sgd_momentum(
        param: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        buffer: FloatTensor<Self>,
        first: bool,
        rule: SgdRule,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// A parameter and its moments after step `step`, counted from 1.
    fn occam_adamw(
        param: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        exp_avg: FloatTensor<Self>,
        exp_avg_sq: FloatTensor<Self>,
        step: u32,
        rule: AdamWRule,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// Pooling of `f32` elements, `[N, C, H, W]`.
    fn occam_pool(x: FloatTensor<Self>, reduction: Reduction) -> FloatTensor<Self>;

    /// `x · scale + shift` by channel.
    fn occam_channel_affine(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
}

/// The ways back of [`TrainKernels`], without a tape of their own: gradients are first order.
pub(crate) trait KernelGrads: Backend {
    /// What the activation passes on of `grad`, by its output.
    fn activation_grad(
        output: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        activation: Activation,
    ) -> FloatTensor<Self>;

    /// Gradients of a transposed convolution's `x` and `weight`, each where wanted.
    fn conv_transpose2d_grad(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        geometry: ConvGeometry,
        size: [usize; 2],
        wanted: [bool; 2],
    ) -> [Option<FloatTensor<Self>>; 2];

    /// Losses of the samples and the softmax.
    fn cross_entropy(logits: FloatTensor<Self>, targets: Targets) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// Gradient of the logits, from the softmax and the gradients of the losses.
    fn cross_entropy_grad(
        probabilities: FloatTensor<Self>,
        targets: Targets,
        grad: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    /// Gradients of `x`, scale and zero point, as far as they learn.
    fn fake_quantize_grad(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        zero_point: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        range: QuantRange,
    ) -> [Option<FloatTensor<Self>>; 3];

    /// Sum of every channel.
    fn channel_sums(grad: FloatTensor<Self>) -> FloatTensor<Self>;

    /// `grad` among channels of zeros, `channels` in all.
    fn put_channels(grad: FloatTensor<Self>, start: usize, channels: usize) -> FloatTensor<Self>;

    /// Pooling with what its way back needs.
    fn pool_indexed(x: FloatTensor<Self>, reduction: Reduction) -> (FloatTensor<Self>, pool::Indices);

    /// Gradient of pooling's input, of shape `input`.
    fn pool_grad(
        grad: FloatTensor<Self>,
        indices: pool::Indices,
        input: &[usize],
        reduction: Reduction,
    ) -> FloatTensor<Self>;

    /// Gradients of `x` and `weight`, each where wanted.
    fn conv2d_grad(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        geometry: ConvGeometry,
        wanted: [bool; 2],
    ) -> [Option<FloatTensor<Self>>; 2];

    /// Gradients of `x`, `weight` and `bias`.
    fn batch_norm_grad(saved: batch_norm::Saved<Self>, grad: FloatTensor<Self>) -> [FloatTensor<Self>; 3];
}

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

    fn occam_sum_of_squares(x: FlexTensor) -> FlexTensor {
        let x = dense(x);
        build(&[1], vec![occam_kernels::elementwise::sum_of_squares(elements(&x)) as f32])
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
            return affine::channel_sum::<Flex>(grad);
        }
        let grad = dense(grad);
        let layout = layout(&grad);
        build(&[layout.channels], occam_kernels::channels::sums(elements(&grad), layout))
    }

    fn put_channels(grad: FlexTensor, start: usize, channels: usize) -> FlexTensor {
        channels::put(grad, start, channels)
    }

    fn pool_indexed(x: FlexTensor, reduction: Reduction) -> (FlexTensor, pool::Indices) {
        pool::indexed(x, reduction)
    }

    fn pool_grad(
        grad: FlexTensor,
        indices: pool::Indices,
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

impl<B: TrainKernels + KernelGrads, C: CheckpointStrategy> TrainKernels for Autodiff<B, C> {
    fn occam_activate(x: FloatTensor<Self>, activation: Activation) -> FloatTensor<Self> {
        activation::tracked::<B, C>(x, activation)
    }

    fn occam_add(a: FloatTensor<Self>, b: FloatTensor<Self>, activation: Activation) -> FloatTensor<Self> {
        add::tracked::<B, C>(a, b, activation)
    }

    fn occam_conv2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        geometry: ConvGeometry,
    ) -> FloatTensor<Self> {
        conv::tracked::<B, C>(x, weight, geometry)
    }

    fn occam_conv2d_bias(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        geometry: ConvGeometry,
    ) -> FloatTensor<Self> {
        conv::tracked_biased::<B, C>(x, weight, bias, geometry)
    }

    fn occam_conv_transpose2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        geometry: ConvGeometry,
        size: [usize; 2],
    ) -> FloatTensor<Self> {
        conv_transpose::tracked::<B, C>(x, weight, geometry, size)
    }

    fn occam_cross_entropy(logits: FloatTensor<Self>, targets: Targets) -> FloatTensor<Self> {
        cross_entropy::tracked::<B, C>(logits, targets)
    }

    fn occam_fake_quantize(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        zero_point: FloatTensor<Self>,
        range: QuantRange,
    ) -> FloatTensor<Self> {
        fake_quant::tracked::<B, C>(x, scale, zero_point, range)
    }

    fn occam_take_channels(x: FloatTensor<Self>, start: usize, count: usize) -> FloatTensor<Self> {
        channels::tracked_take::<B, C>(x, start, count)
    }

    fn occam_concat_channels(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self> {
        channels::tracked_concat::<B, C>(a, b)
    }

    fn occam_shuffle(x: FloatTensor<Self>, groups: usize) -> FloatTensor<Self> {
        channels::tracked_shuffle::<B, C>(x, groups)
    }

    fn occam_conv2d_affine(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        geometry: ConvGeometry,
        activation: Activation,
    ) -> FloatTensor<Self> {
        let y = Self::occam_conv2d(x, weight, geometry);
        Self::occam_activate(Self::occam_channel_affine(y, scale, shift), activation)
    }

    fn occam_conv2d_residual(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        geometry: ConvGeometry,
        activation: Activation,
    ) -> FloatTensor<Self> {
        let y = Self::occam_conv2d(x, weight, geometry);
        Self::occam_add(Self::occam_channel_affine(y, scale, shift), residual, activation)
    }

    fn occam_batch_norm(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        eps: f64,
        activation: Activation,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        batch_norm::tracked::<B, C>(x, weight, bias, eps, activation)
    }

    // Optimizers look at constants; a tape ends here and in the steps below.
    fn occam_sum_of_squares(x: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::from_inner(B::occam_sum_of_squares(Self::inner(x)))
    }

    fn occam_sgd(param: FloatTensor<Self>, grad: FloatTensor<Self>, rule: SgdRule) -> FloatTensor<Self> {
        Self::from_inner(B::occam_sgd(Self::inner(param), Self::inner(grad), rule))
    }

    fn occam_sgd_momentum(
        param: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        buffer: FloatTensor<Self>,
        first: bool,
        rule: SgdRule,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let (grad, buffer) = (Self::inner(grad), Self::inner(buffer));
        let (param, buffer) = B::occam_sgd_momentum(Self::inner(param), grad, buffer, first, rule);
        (Self::from_inner(param), Self::from_inner(buffer))
    }

    fn occam_adamw(
        param: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        exp_avg: FloatTensor<Self>,
        exp_avg_sq: FloatTensor<Self>,
        step: u32,
        rule: AdamWRule,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let (grad, exp_avg, exp_avg_sq) = (Self::inner(grad), Self::inner(exp_avg), Self::inner(exp_avg_sq));
        let (param, exp_avg, exp_avg_sq) =
            B::occam_adamw(Self::inner(param), grad, exp_avg, exp_avg_sq, step, rule);
        (Self::from_inner(param), Self::from_inner(exp_avg), Self::from_inner(exp_avg_sq))
    }

    fn occam_pool(x: FloatTensor<Self>, reduction: Reduction) -> FloatTensor<Self> {
        pool::tracked::<B, C>(x, reduction)
    }

    fn occam_channel_affine(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        affine::tracked::<B, C>(x, scale, shift)
    }
}

/// Whether the kernels here can compute it; burn's operations do where they cannot.
fn is_f32(x: &FlexTensor) -> bool {
    x.dtype() == DType::F32
}

/// The elements in row-major order without gaps, copied only where they lie otherwise.
fn dense(x: FlexTensor) -> FlexTensor {
    if x.is_contiguous() && x.layout().start_offset() == 0 { x } else { x.to_contiguous() }
}

fn elements(x: &FlexTensor) -> &[f32] {
    let n: usize = x.shape().iter().product();
    let all = x.storage::<f32>();
    all.get(..n).unwrap_or(all)
}

fn build(shape: &[usize], data: Vec<f32>) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(data, burn::backend::Shape::from(shape.to_vec())))
}

fn sizes<const N: usize>(x: &FlexTensor) -> [usize; N] {
    let mut out = [1; N];
    for (o, &d) in out.iter_mut().zip(x.shape().iter()) {
        *o = d;
    }
    out
}

/// The sizes of a tensor.
fn shape(x: &FlexTensor) -> Vec<usize> {
    x.shape().iter().copied().collect()
}

/// `[n, channels, inner]` of a tensor with channels on axis 1.
fn layout(x: &FlexTensor) -> Layout {
    let shape = shape(x);
    let at = |i: usize| shape.get(i).copied().unwrap_or(1);
    Layout { n: at(0), channels: at(1), inner: shape.iter().skip(2).product() }
}

//! Operations of training with kernels of our own, one a file.
//!
//! [`TrainKernels`] is burn's extension mechanism: `Flex`, the processor, computes by `occam-kernels` ([`flex`]), the
//! `Autodiff` side records what [`KernelGrads`] needs for the way back ([`tracked`]). Graphics cards, and elements of other
//! types than `f32`, go through burn's own operations ([`composed`]).
//!
//! On the processor and at a given number of threads every result is the same bit for bit: work is split by index alone,
//! and partial sums are added in index order.

mod activation;
mod add;
mod affine;
mod batch_norm;
mod channels;
mod composed;
mod conv;
mod conv_transpose;
mod cross_entropy;
mod fake_quant;
mod flex;
mod look;
mod optim;
mod pool;
mod scale_grad;
mod sum;
mod tracked;

#[cfg(feature = "cuda")]
use burn::backend::Cube;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, backend_extension};

pub use conv::ConvGeometry;
pub(crate) use cross_entropy::Targets;
pub use fake_quant::QuantRange;
use flex::{FlexTensor, build, dense, elements, is_f32, layout, shape, sizes};
pub use look::Look;
pub use occam_kernels::Activation;
pub use optim::{AdamWRule, SgdRule};
pub use pool::Reduction;

#[backend_extension(Autodiff, Flex, Cube: cfg(feature = "cuda"))]
pub trait TrainKernels: Backend {
    /// The activation, element by element.
    fn occam_activate(x: FloatTensor<Self>, activation: Activation) -> FloatTensor<Self> {
        composed::activation::forward::<Self>(x, activation)
    }

    /// `act(a + b)` of two tensors of one shape.
    fn occam_add(a: FloatTensor<Self>, b: FloatTensor<Self>, activation: Activation) -> FloatTensor<Self> {
        composed::activation::add::<Self>(a, b, activation)
    }

    /// Convolution of `[N, C, H, W]` with `[O, C / groups, KH, KW]`.
    fn occam_conv2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        geometry: ConvGeometry,
    ) -> FloatTensor<Self> {
        composed::conv::forward::<Self>(x, weight, None, geometry)
    }

    /// [`TrainKernels::occam_conv2d`] plus a term for every output channel.
    fn occam_conv2d_bias(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        geometry: ConvGeometry,
    ) -> FloatTensor<Self> {
        composed::conv::forward::<Self>(x, weight, Some(bias), geometry)
    }

    /// Transposed convolution of `f32` into planes of `size`.
    fn occam_conv_transpose2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        geometry: ConvGeometry,
        size: [usize; 2],
    ) -> FloatTensor<Self> {
        composed::conv_transpose::forward::<Self>(x, weight, geometry, size)
    }

    /// `−log softmax(logits)[target]` of every sample, `[n]`, `f32`.
    fn occam_cross_entropy(logits: FloatTensor<Self>, targets: Targets) -> FloatTensor<Self> {
        composed::cross_entropy::forward::<Self>(logits, &targets).0
    }

    /// `(clamp(round(x / scale) + zero_point) − zero_point) · scale`, `f32`.
    fn occam_fake_quantize(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        zero_point: FloatTensor<Self>,
        range: QuantRange,
    ) -> FloatTensor<Self> {
        composed::fake_quant::forward::<Self>(x, scale, zero_point, range)
    }

    /// Shows the elements, `f32` in row-major order, and gives the tensor back.
    fn occam_look(x: FloatTensor<Self>, look: Look) -> FloatTensor<Self> {
        composed::look::show::<Self>(x, &look)
    }

    /// `count` channels from `start` on, `f32`.
    fn occam_take_channels(x: FloatTensor<Self>, start: usize, count: usize) -> FloatTensor<Self> {
        composed::channels::take::<Self>(x, start, count)
    }

    /// The channels of `a`, then those of `b`, `f32`.
    fn occam_concat_channels(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self> {
        composed::channels::concat::<Self>(a, b)
    }

    /// Channel `g · (C / groups) + i` becomes `i · groups + g`, `f32`.
    fn occam_shuffle(x: FloatTensor<Self>, groups: usize) -> FloatTensor<Self> {
        composed::channels::shuffle::<Self>(x, groups)
    }

    /// `act(scale · (x ⋆ weight) + shift)`, scale and shift by output channel.
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

    /// `act(scale · (x ⋆ weight) + shift + residual)`.
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

    /// Batch normalization by the batch's own statistics, then the activation: output, mean and biased variance by
    /// channel.
    fn occam_batch_norm(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        eps: f64,
        activation: Activation,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        composed::batch_norm::forward::<Self>(x, weight, bias, eps, activation)
    }

    /// Sum of all elements, of shape `[1]`.
    fn occam_sum(x: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::float_sum(x)
    }

    /// `Σ x²` of `f32`, which may exceed the largest of them: four elements `s`, `a`, `b` and `c` with
    /// `Σ x² = s² · (a + b + c)` in `f64`.
    fn occam_sum_of_squares(x: FloatTensor<Self>) -> FloatTensor<Self> {
        composed::optim::sum_of_squares::<Self>(x)
    }

    /// A parameter after a step of gradient descent without momentum, `f32`, in its place if nobody else has it.
    fn occam_sgd(param: FloatTensor<Self>, grad: FloatTensor<Self>, rule: SgdRule) -> FloatTensor<Self> {
        composed::optim::sgd::<Self>(param, grad, &rule)
    }

    /// A parameter and its momentum buffer after a step; `first` says that the buffer is still empty.
    fn occam_sgd_momentum(
        param: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        buffer: FloatTensor<Self>,
        first: bool,
        rule: SgdRule,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        composed::optim::sgd_momentum::<Self>(param, grad, buffer, first, &rule)
    }

    /// A parameter and its moments after step `step`, counted from 1.
    fn occam_adamw(
        param: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        exp_avg: FloatTensor<Self>,
        exp_avg_sq: FloatTensor<Self>,
        step: u32,
        rule: AdamWRule,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        composed::optim::adamw::<Self>(param, grad, [exp_avg, exp_avg_sq], step, &rule)
    }

    /// Pooling of `f32` elements, `[N, C, H, W]`.
    fn occam_pool(x: FloatTensor<Self>, reduction: Reduction) -> FloatTensor<Self> {
        composed::pool::forward::<Self>(x, reduction)
    }

    /// `x`, whose gradient is multiplied by `factor`.
    fn occam_scale_gradient(x: FloatTensor<Self>, factor: f64) -> FloatTensor<Self> {
        let _ = factor;
        x
    }

    /// `x · scale + shift` by channel.
    fn occam_channel_affine(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        composed::channels::affine::<Self>(x, scale, shift)
    }
}

/// The ways back of [`TrainKernels`], without a tape of their own: gradients are first order.
pub(crate) trait KernelGrads: Backend {
    /// What the activation passes on of `grad`, by its output.
    fn activation_grad(
        output: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        activation: Activation,
    ) -> FloatTensor<Self> {
        composed::activation::backward::<Self>(output, grad, activation)
    }

    /// Gradients of a transposed convolution's `x` and `weight`, each where wanted.
    fn conv_transpose2d_grad(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        geometry: ConvGeometry,
        size: [usize; 2],
        wanted: [bool; 2],
    ) -> [Option<FloatTensor<Self>>; 2] {
        let _ = size;
        composed::conv_transpose::backward::<Self>(x, weight, grad, geometry, wanted)
    }

    /// Losses of the samples and the softmax.
    fn cross_entropy(logits: FloatTensor<Self>, targets: Targets) -> (FloatTensor<Self>, FloatTensor<Self>) {
        composed::cross_entropy::forward::<Self>(logits, &targets)
    }

    /// Gradient of the logits, from the softmax and the gradients of the losses.
    fn cross_entropy_grad(
        probabilities: FloatTensor<Self>,
        targets: Targets,
        grad: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        composed::cross_entropy::backward::<Self>(probabilities, &targets, grad)
    }

    /// Gradients of `x`, scale and zero point, as far as they learn.
    fn fake_quantize_grad(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        zero_point: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        range: QuantRange,
    ) -> [Option<FloatTensor<Self>>; 3] {
        composed::fake_quant::backward::<Self>(x, scale, zero_point, grad, range)
    }

    /// Sum of every channel.
    fn channel_sums(grad: FloatTensor<Self>) -> FloatTensor<Self> {
        composed::channels::sums::<Self>(grad)
    }

    /// `grad` among channels of zeros, `channels` in all.
    fn put_channels(grad: FloatTensor<Self>, start: usize, channels: usize) -> FloatTensor<Self> {
        composed::channels::put::<Self>(grad, start, channels)
    }

    /// Pooling with what its way back needs.
    fn pool_indexed(x: FloatTensor<Self>, reduction: Reduction) -> (FloatTensor<Self>, pool::Indices<Self>) {
        composed::pool::indexed::<Self>(x, reduction)
    }

    /// Gradient of pooling's input, of shape `input`.
    fn pool_grad(
        grad: FloatTensor<Self>,
        indices: pool::Indices<Self>,
        input: &[usize],
        reduction: Reduction,
    ) -> FloatTensor<Self> {
        composed::pool::backward::<Self>(grad, indices, input, reduction)
    }

    /// Gradients of `x` and `weight`, each where wanted.
    fn conv2d_grad(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        geometry: ConvGeometry,
        wanted: [bool; 2],
    ) -> [Option<FloatTensor<Self>>; 2] {
        composed::conv::backward::<Self>(x, weight, grad, geometry, wanted)
    }

    /// Gradients of `x`, `weight` and `bias`.
    fn batch_norm_grad(saved: batch_norm::Saved<Self>, grad: FloatTensor<Self>) -> [FloatTensor<Self>; 3] {
        composed::batch_norm::backward::<Self>(saved, grad)
    }
}

#[cfg(feature = "cuda")]
impl TrainKernels for Cube {}

#[cfg(feature = "cuda")]
impl KernelGrads for Cube {}

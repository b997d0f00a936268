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
mod conv;

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::FloatTensor;
use burn::backend::{
    Autodiff, Backend, BackendTypes, DType, Flex, TensorData, TensorMetadata, backend_extension,
};

use occam_kernels::channels::Layout;

pub use conv::ConvGeometry;
pub use occam_kernels::Activation;

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

    fn occam_channel_affine(x: FlexTensor, scale: FlexTensor, shift: FlexTensor) -> FlexTensor {
        affine::forward(x, scale, shift)
    }
}

impl KernelGrads for Flex {
    fn activation_grad(output: FlexTensor, grad: FlexTensor, activation: Activation) -> FlexTensor {
        activation::backward(output, grad, activation)
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

//! Kernels for training on the processor, one operation a file.
//!
//! [`TrainKernels`] is burn's extension mechanism: the `Flex` side computes, the `Autodiff` side records what
//! [`KernelGrads`] needs for the way back. Elements of other types than `f32` go through burn's own operations.
//!
//! At a given number of threads every result is the same bit for bit: work is split by index alone, and partial
//! sums are added in index order.

mod affine;
mod batch_norm;
mod conv;
mod relu;

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::FloatTensor;
use burn::backend::{
    Autodiff, Backend, BackendTypes, DType, Flex, TensorData, TensorMetadata, backend_extension,
};

pub use conv::ConvGeometry;

/// The processor's own tensor.
pub(crate) type FlexTensor = <Flex as BackendTypes>::FloatTensorPrimitive;

/// Operations with kernels of our own.
///
/// Called through `Dispatch` by [`crate::Tensor`], which has checked shapes and types before.
#[backend_extension(Autodiff, Flex)]
pub trait TrainKernels: Backend {
    /// `max(x, 0)`
    fn occam_relu(x: FloatTensor<Self>) -> FloatTensor<Self>;

    /// Convolution of `[N, C, H, W]` with `[O, C / groups, KH, KW]`.
    fn occam_conv2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        geometry: ConvGeometry,
    ) -> FloatTensor<Self>;

    /// Batch normalization by the batch's own statistics: output, mean and biased variance by channel.
    fn occam_batch_norm(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        eps: f64,
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
    /// Gradient of `x`, from the output and its gradient.
    fn relu_grad(output: FloatTensor<Self>, grad: FloatTensor<Self>) -> FloatTensor<Self>;

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
    fn occam_relu(x: FlexTensor) -> FlexTensor {
        relu::forward(x)
    }

    fn occam_conv2d(x: FlexTensor, weight: FlexTensor, geometry: ConvGeometry) -> FlexTensor {
        conv::forward(x, weight, geometry)
    }

    fn occam_batch_norm(
        x: FlexTensor,
        weight: FlexTensor,
        bias: FlexTensor,
        eps: f64,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        batch_norm::forward(x, weight, bias, eps)
    }

    fn occam_channel_affine(x: FlexTensor, scale: FlexTensor, shift: FlexTensor) -> FlexTensor {
        affine::forward(x, scale, shift)
    }
}

impl KernelGrads for Flex {
    fn relu_grad(output: FlexTensor, grad: FlexTensor) -> FlexTensor {
        relu::backward(output, grad)
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
    fn occam_relu(x: FloatTensor<Self>) -> FloatTensor<Self> {
        relu::tracked::<B, C>(x)
    }

    fn occam_conv2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        geometry: ConvGeometry,
    ) -> FloatTensor<Self> {
        conv::tracked::<B, C>(x, weight, geometry)
    }

    fn occam_batch_norm(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        eps: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        batch_norm::tracked::<B, C>(x, weight, bias, eps)
    }

    fn occam_channel_affine(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        affine::composed::<Self>(x, scale, shift)
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

/// A buffer that is about to be written as a whole.
fn buffer(n: usize) -> Vec<f32> {
    vec![0.0; n]
}

/// Runs a loop compiled for the widest vectors that this processor has.
#[inline(always)]
fn vectorized<R>(work: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(work)
}

/// Elements a task should have at least, so that splitting pays.
const GRAIN: usize = 1 << 15;

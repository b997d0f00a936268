//! Pooling; formulas are at [`occam_kernels::pool`].

use std::sync::Arc;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Autodiff, Backend, Flex, TensorMetadata};
use occam_kernels::pool::{self, Adaptive, Pool};

use super::{FlexTensor, KernelGrads, TrainKernels, build, composed, dense, elements, is_f32, shape};

/// What is taken of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reduction {
    /// The largest element.
    Max(Pool),
    /// The mean; the flag says whether padding counts.
    Average(Pool, bool),
    /// The mean of the whole plane.
    Global,
    /// The mean of each of the windows that cover the plane.
    AdaptiveAverage(Adaptive),
    /// The largest element of each of them.
    AdaptiveMax(Adaptive),
}

/// Where the largest elements were.
#[derive(Debug, Clone)]
pub(crate) enum Indices<B: Backend> {
    /// They are not needed.
    None,
    /// As [`pool::max_forward`] gives them.
    Host(Arc<Vec<u32>>),
    /// As burn's pooling gives them.
    Device(IntTensor<B>),
}

/// Planes, and elements of each.
fn planes(shape: &[usize]) -> (usize, usize) {
    (shape.iter().take(2).product(), shape.iter().skip(2).product())
}

fn shape_of(input: &[usize], reduction: Reduction) -> Vec<usize> {
    let mut out = input.to_vec();
    for (i, d) in out.iter_mut().enumerate().skip(2) {
        *d = match reduction {
            Reduction::Max(p) | Reduction::Average(p, _) => p.output.get(i - 2).copied().unwrap_or(1),
            Reduction::AdaptiveAverage(p) | Reduction::AdaptiveMax(p) => {
                p.output.get(i - 2).copied().unwrap_or(1)
            }
            Reduction::Global => 1,
        };
    }
    out
}

pub(super) fn forward(x: FlexTensor, reduction: Reduction) -> FlexTensor {
    if !is_f32(&x) {
        return composed::pool::forward::<Flex>(x, reduction);
    }
    let x = dense(x);
    let shape = shape(&x);
    let (planes, inner) = planes(&shape);
    let out = match reduction {
        Reduction::Max(p) => pool::max_forward_only(elements(&x), planes, &p),
        Reduction::Average(p, pads) => pool::avg_forward(elements(&x), planes, &p, pads),
        Reduction::Global => pool::global_avg_forward(elements(&x), planes, inner),
        Reduction::AdaptiveAverage(p) => pool::adaptive_avg_forward(elements(&x), planes, &p),
        Reduction::AdaptiveMax(p) => pool::adaptive_max_forward(elements(&x), planes, &p).0,
    };
    build(&shape_of(&shape, reduction), out)
}

/// As [`forward`], with what the way back needs.
pub(super) fn indexed(x: FlexTensor, reduction: Reduction) -> (FlexTensor, Indices<Flex>) {
    if !is_f32(&x) {
        return composed::pool::indexed::<Flex>(x, reduction);
    }
    let x = dense(x);
    let shape = shape(&x);
    let planes = planes(&shape).0;
    let (out, indices) = match reduction {
        Reduction::Max(p) => pool::max_forward(elements(&x), planes, &p),
        Reduction::AdaptiveMax(p) => pool::adaptive_max_forward(elements(&x), planes, &p),
        Reduction::Average(..) | Reduction::Global | Reduction::AdaptiveAverage(_) => {
            return (forward(x, reduction), Indices::None);
        }
    };
    (build(&shape_of(&shape, reduction), out), Indices::Host(Arc::new(indices)))
}

pub(super) fn backward(
    grad: FlexTensor,
    indices: Indices<Flex>,
    input: &[usize],
    reduction: Reduction,
) -> FlexTensor {
    if !is_f32(&grad) {
        return composed::pool::backward::<Flex>(grad, indices, input, reduction);
    }
    let grad = dense(grad);
    let (planes, inner) = planes(input);
    let dy = elements(&grad);
    let places = match &indices {
        Indices::Host(indices) => indices.as_slice(),
        Indices::None | Indices::Device(_) => &[],
    };
    let dx = match reduction {
        Reduction::Max(p) => pool::max_backward(dy, places, planes, &p),
        Reduction::AdaptiveMax(p) => pool::adaptive_max_backward(dy, places, planes, &p),
        Reduction::AdaptiveAverage(p) => pool::adaptive_avg_backward(dy, planes, &p),
        Reduction::Average(p, pads) => pool::avg_backward(dy, planes, &p, pads),
        Reduction::Global => pool::global_avg_backward(dy, planes, inner),
    };
    build(input, dx)
}

#[derive(Debug)]
struct PoolBackward;

impl<B: KernelGrads> Backward<B, 1> for PoolBackward {
    type State = (Indices<B>, Vec<usize>, Reduction);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (indices, input, reduction) = ops.state;
        unary::<B, _>(ops.parents, ops.node, grads, |grad| B::pool_grad(grad, indices, &input, reduction));
    }
}

pub(super) fn tracked<B, C>(
    x: FloatTensor<Autodiff<B, C>>,
    reduction: Reduction,
) -> FloatTensor<Autodiff<B, C>>
where
    B: TrainKernels + KernelGrads,
    C: CheckpointStrategy,
{
    match PoolBackward.prepare::<C>([x.node()]).compute_bound().stateful() {
        OpsKind::Tracked(prep) => {
            let x = x.into_primitive();
            let input = x.shape().iter().copied().collect();
            let (output, indices) = B::pool_indexed(x, reduction);
            prep.finish((indices, input, reduction), output)
        }
        OpsKind::UnTracked(prep) => prep.finish(B::occam_pool(x.into_primitive(), reduction)),
    }
}

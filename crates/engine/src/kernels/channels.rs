//! Channels taken, joined and shuffled, `f32`.

use burn::backend::Autodiff;
use burn::backend::TensorMetadata;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn::backend::tensor::FloatTensor;
use occam_kernels::channels::{self, Layout};

use super::{FlexTensor, KernelGrads, TrainKernels, build, dense, elements, layout, shape};

/// The same tensor with another number of channels.
fn with_channels(x: &FlexTensor, channels: usize) -> Vec<usize> {
    let mut shape = shape(x);
    if let Some(c) = shape.get_mut(1) {
        *c = channels;
    }
    shape
}

pub(super) fn take(x: FlexTensor, start: usize, count: usize) -> FlexTensor {
    let x = dense(x);
    build(&with_channels(&x, count), channels::take(elements(&x), layout(&x), start, count))
}

/// `grad` among zeros, `channels` in all.
pub(super) fn put(grad: FlexTensor, start: usize, channels: usize) -> FlexTensor {
    let grad = dense(grad);
    let part = layout(&grad);
    let whole = Layout { channels, ..part };
    let out = channels::put(elements(&grad), whole, start, part.channels);
    build(&with_channels(&grad, channels), out)
}

pub(super) fn concat(a: FlexTensor, b: FlexTensor) -> FlexTensor {
    let (a, b) = (dense(a), dense(b));
    let both = [layout(&a), layout(&b)];
    let out = channels::concat(elements(&a), elements(&b), both);
    build(&with_channels(&a, both[0].channels + both[1].channels), out)
}

pub(super) fn shuffle(x: FlexTensor, groups: usize) -> FlexTensor {
    let x = dense(x);
    build(&shape(&x), channels::shuffle(elements(&x), layout(&x), groups))
}

/// Channels of a tensor of any backend.
fn count(x: &impl TensorMetadata) -> usize {
    x.shape().iter().nth(1).copied().unwrap_or(1)
}

#[derive(Debug)]
struct TakeBackward;

impl<B: TrainKernels + KernelGrads> Backward<B, 1> for TakeBackward {
    type State = (usize, usize);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (start, channels) = ops.state;
        unary::<B, _>(ops.parents, ops.node, grads, |grad| B::put_channels(grad, start, channels));
    }
}

pub(super) fn tracked_take<B, C>(
    x: FloatTensor<Autodiff<B, C>>,
    start: usize,
    len: usize,
) -> FloatTensor<Autodiff<B, C>>
where
    B: TrainKernels + KernelGrads,
    C: CheckpointStrategy,
{
    let prepared = TakeBackward.prepare::<C>([x.node()]).compute_bound().stateful();
    let x = x.into_primitive();
    let channels = count(&x);
    let output = B::occam_take_channels(x, start, len);
    match prepared {
        OpsKind::Tracked(prep) => prep.finish((start, channels), output),
        OpsKind::UnTracked(prep) => prep.finish(output),
    }
}

#[derive(Debug)]
struct ConcatBackward;

impl<B: TrainKernels + KernelGrads> Backward<B, 2> for ConcatBackward {
    type State = usize;

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let (all, of_a) = (count(&grad), ops.state);
        let [a, b] = ops.parents;
        if let Some(node) = a {
            grads.register::<B>(node.id, B::occam_take_channels(grad.clone(), 0, of_a));
        }
        if let Some(node) = b {
            grads.register::<B>(node.id, B::occam_take_channels(grad, of_a, all.saturating_sub(of_a)));
        }
    }
}

pub(super) fn tracked_concat<B, C>(
    a: FloatTensor<Autodiff<B, C>>,
    b: FloatTensor<Autodiff<B, C>>,
) -> FloatTensor<Autodiff<B, C>>
where
    B: TrainKernels + KernelGrads,
    C: CheckpointStrategy,
{
    let prepared = ConcatBackward.prepare::<C>([a.node(), b.node()]).compute_bound().stateful();
    let (a, b) = (a.into_primitive(), b.into_primitive());
    let of_a = count(&a);
    let output = B::occam_concat_channels(a, b);
    match prepared {
        OpsKind::Tracked(prep) => prep.finish(of_a, output),
        OpsKind::UnTracked(prep) => prep.finish(output),
    }
}

#[derive(Debug)]
struct ShuffleBackward;

impl<B: TrainKernels + KernelGrads> Backward<B, 1> for ShuffleBackward {
    type State = usize;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let groups = ops.state;
        unary::<B, _>(ops.parents, ops.node, grads, |grad| {
            let back = count(&grad) / groups.max(1);
            B::occam_shuffle(grad, back)
        });
    }
}

pub(super) fn tracked_shuffle<B, C>(
    x: FloatTensor<Autodiff<B, C>>,
    groups: usize,
) -> FloatTensor<Autodiff<B, C>>
where
    B: TrainKernels + KernelGrads,
    C: CheckpointStrategy,
{
    let prepared = ShuffleBackward.prepare::<C>([x.node()]).compute_bound().stateful();
    let output = B::occam_shuffle(x.into_primitive(), groups);
    match prepared {
        OpsKind::Tracked(prep) => prep.finish(groups, output),
        OpsKind::UnTracked(prep) => prep.finish(output),
    }
}

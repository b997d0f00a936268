//! A factor for gradients alone.

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn::backend::tensor::FloatTensor;

use super::{KernelGrads, TrainKernels};

#[derive(Debug)]
struct ScaleBackward;

impl<B: KernelGrads> Backward<B, 1> for ScaleBackward {
    type State = f64;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let factor = ops.state;
        unary::<B, _>(ops.parents, ops.node, grads, |grad| B::float_mul_scalar(grad, factor.into()));
    }
}

pub(super) fn tracked<B, C>(x: FloatTensor<Autodiff<B, C>>, factor: f64) -> FloatTensor<Autodiff<B, C>>
where
    B: TrainKernels + KernelGrads,
    C: CheckpointStrategy,
{
    match ScaleBackward.prepare::<C>([x.node()]).compute_bound().stateful() {
        OpsKind::Tracked(prep) => prep.finish(factor, x.into_primitive()),
        OpsKind::UnTracked(prep) => prep.finish(x.into_primitive()),
    }
}

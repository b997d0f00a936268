//! Cross entropy of `f32` logits with class indices; formulas are at [`occam_kernels::softmax`].

use std::sync::Arc;

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn::backend::tensor::FloatTensor;
use occam_kernels::softmax;

use super::{FlexTensor, KernelGrads, TrainKernels, build, dense, elements, sizes};

/// Classes of the samples; [`crate::Tensor::cross_entropy`] has checked them.
pub(crate) type Targets = Arc<Vec<i64>>;

/// Losses of the samples and the softmax.
pub(super) fn forward(logits: FlexTensor, targets: &[i64]) -> (FlexTensor, FlexTensor) {
    let logits = dense(logits);
    let [n, classes] = sizes(&logits);
    let (loss, probabilities) = softmax::cross_entropy_forward(elements(&logits), targets, classes)
        .unwrap_or_else(|_| (vec![f32::NAN; n], vec![f32::NAN; n * classes]));
    (build(&[n], loss), build(&[n, classes], probabilities))
}

pub(super) fn backward(probabilities: FlexTensor, targets: &[i64], grad: FlexTensor) -> FlexTensor {
    let (probabilities, grad) = (dense(probabilities), dense(grad));
    let [n, classes] = sizes(&probabilities);
    let dx = softmax::cross_entropy_backward(elements(&probabilities), targets, elements(&grad), classes)
        .unwrap_or_else(|_| vec![f32::NAN; n * classes]);
    build(&[n, classes], dx)
}

#[derive(Debug)]
struct CrossEntropyBackward;

impl<B: KernelGrads> Backward<B, 1> for CrossEntropyBackward {
    type State = (FloatTensor<B>, Targets);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (probabilities, targets) = ops.state;
        unary::<B, _>(ops.parents, ops.node, grads, |grad| {
            B::cross_entropy_grad(probabilities, targets, grad)
        });
    }
}

pub(super) fn tracked<B, C>(
    logits: FloatTensor<Autodiff<B, C>>,
    targets: Targets,
) -> FloatTensor<Autodiff<B, C>>
where
    B: TrainKernels + KernelGrads,
    C: CheckpointStrategy,
{
    let prepared = CrossEntropyBackward.prepare::<C>([logits.node()]).compute_bound().stateful();
    let (loss, probabilities) = B::cross_entropy(logits.into_primitive(), targets.clone());
    match prepared {
        OpsKind::Tracked(prep) => prep.finish((probabilities, targets), loss),
        OpsKind::UnTracked(prep) => prep.finish(loss),
    }
}

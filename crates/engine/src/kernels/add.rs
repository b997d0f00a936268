//! A sum of two tensors of one shape and the activation that follows.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Flex};
use occam_kernels::elementwise;

use super::{
    Activation, FlexTensor, KernelGrads, TrainKernels, build, composed, dense, elements, is_f32, shape,
};

pub(super) fn forward(a: FlexTensor, b: FlexTensor, activation: Activation) -> FlexTensor {
    if !is_f32(&a) {
        return composed::activation::add::<Flex>(a, b, activation);
    }
    let (mut a, mut b) = (dense(a), dense(b));
    if let Some(own) = a.try_storage_mut::<f32>() {
        elementwise::add_in_place(own, elements(&b), activation);
        return a;
    }
    if let Some(own) = b.try_storage_mut::<f32>() {
        elementwise::add_in_place(own, elements(&a), activation);
        return b;
    }
    build(&shape(&a), elementwise::add(elements(&a), elements(&b), activation))
}

#[derive(Debug)]
struct AddBackward;

impl<B: KernelGrads> Backward<B, 2> for AddBackward {
    type State = (Option<FloatTensor<B>>, Activation);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let mut grad = grads.consume::<B>(&ops.node);
        let (output, activation) = ops.state;
        if let Some(output) = output {
            grad = B::activation_grad(output, grad, activation);
        }
        for node in ops.parents.into_iter().flatten() {
            grads.register::<B>(node.id, grad.clone());
        }
    }
}

pub(super) fn tracked<B, C>(
    a: FloatTensor<Autodiff<B, C>>,
    b: FloatTensor<Autodiff<B, C>>,
    activation: Activation,
) -> FloatTensor<Autodiff<B, C>>
where
    B: TrainKernels + KernelGrads,
    C: CheckpointStrategy,
{
    let prepared = AddBackward.prepare::<C>([a.node(), b.node()]).compute_bound().stateful();
    let output = B::occam_add(a.into_primitive(), b.into_primitive(), activation);
    match prepared {
        OpsKind::Tracked(prep) => {
            // Without an activation the gradient passes whatever the output was.
            let kept = (activation != Activation::None).then(|| output.clone());
            prep.finish((kept, activation), output)
        }
        OpsKind::UnTracked(prep) => prep.finish(output),
    }
}

//! Activations, element by element.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Flex};
use occam_kernels::elementwise;

use super::{
    Activation, FlexTensor, KernelGrads, TrainKernels, build, composed, dense, elements, is_f32, shape,
};

pub(super) fn forward(x: FlexTensor, activation: Activation) -> FlexTensor {
    if activation == Activation::None {
        return x;
    }
    if !is_f32(&x) {
        return composed::activation::forward::<Flex>(x, activation);
    }
    let mut x = dense(x);
    if let Some(own) = x.try_storage_mut::<f32>() {
        elementwise::activate_in_place(own, activation);
        return x;
    }
    build(&shape(&x), elementwise::activate(elements(&x), activation))
}

pub(super) fn backward(output: FlexTensor, grad: FlexTensor, activation: Activation) -> FlexTensor {
    if activation == Activation::None {
        return grad;
    }
    if !is_f32(&grad) {
        return composed::activation::backward::<Flex>(output, grad, activation);
    }
    let output = dense(output);
    let mut grad = dense(grad);
    if let Some(own) = grad.try_storage_mut::<f32>() {
        elementwise::pass_in_place(own, elements(&output), activation);
        return grad;
    }
    build(&shape(&grad), elementwise::pass(elements(&grad), elements(&output), activation))
}

#[derive(Debug)]
struct ActivationBackward;

impl<B: KernelGrads> Backward<B, 1> for ActivationBackward {
    type State = (FloatTensor<B>, Activation);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (output, activation) = ops.state;
        unary::<B, _>(ops.parents, ops.node, grads, |grad| B::activation_grad(output, grad, activation));
    }
}

pub(super) fn tracked<B, C>(
    x: FloatTensor<Autodiff<B, C>>,
    activation: Activation,
) -> FloatTensor<Autodiff<B, C>>
where
    B: TrainKernels + KernelGrads,
    C: CheckpointStrategy,
{
    if activation == Activation::None {
        return x;
    }
    match ActivationBackward.prepare::<C>([x.node()]).compute_bound().stateful() {
        OpsKind::Tracked(prep) => {
            let output = B::occam_activate(x.into_primitive(), activation);
            prep.finish((output.clone(), activation), output)
        }
        OpsKind::UnTracked(prep) => prep.finish(B::occam_activate(x.into_primitive(), activation)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_else_has_is_computed_in_its_place() {
        let x = build(&[2, 3], vec![-1.0, 2.0, 7.0, 0.5, -3.0, 9.0]);
        let at = elements(&x).as_ptr();
        let kept = x.clone();
        let y = forward(x, Activation::Relu6);
        assert_ne!(elements(&y).as_ptr(), at);
        assert_eq!(elements(&kept)[0], -1.0);
        drop(y);
        let y = forward(kept, Activation::Relu6);
        assert_eq!(elements(&y).as_ptr(), at);
        assert_eq!(elements(&y), [0.0, 2.0, 6.0, 0.5, 0.0, 6.0]);
    }
}

//! `x · scale + shift`, channel by channel: batch normalization in evaluation.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Flex, Shape, TensorMetadata};

use super::{
    Activation, FlexTensor, KernelGrads, TrainKernels, build, composed, dense, elements, is_f32, layout,
    shape,
};

pub(super) fn forward(x: FlexTensor, scale: FlexTensor, shift: FlexTensor) -> FlexTensor {
    if !is_f32(&x) {
        return composed::channels::affine::<Flex>(x, scale, shift);
    }
    let (x, scale, shift) = (dense(x), dense(scale), dense(shift));
    let out = occam_kernels::batch_norm::apply(
        elements(&x),
        elements(&scale),
        elements(&shift),
        layout(&x),
        Activation::None,
    );
    build(&shape(&x), out)
}

#[derive(Debug)]
struct AffineBackward;

impl<B: KernelGrads> Backward<B, 3> for AffineBackward {
    type State = (FloatTensor<B>, FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let (x, scale) = ops.state;
        let [of_x, of_scale, of_shift] = ops.parents;
        if let Some(node) = of_scale {
            grads.register::<B>(node.id, B::channel_sums(B::float_mul(grad.clone(), x.clone())));
        }
        if let Some(node) = of_shift {
            grads.register::<B>(node.id, B::channel_sums(grad.clone()));
        }
        if let Some(node) = of_x {
            let spread: Vec<usize> =
                x.shape().iter().enumerate().map(|(i, &d)| if i == 1 { d } else { 1 }).collect();
            grads.register::<B>(node.id, B::float_mul(grad, B::float_reshape(scale, Shape::from(spread))));
        }
    }
}

pub(super) fn tracked<B, C>(
    x: FloatTensor<Autodiff<B, C>>,
    scale: FloatTensor<Autodiff<B, C>>,
    shift: FloatTensor<Autodiff<B, C>>,
) -> FloatTensor<Autodiff<B, C>>
where
    B: TrainKernels + KernelGrads,
    C: CheckpointStrategy,
{
    let prepared =
        AffineBackward.prepare::<C>([x.node(), scale.node(), shift.node()]).compute_bound().stateful();
    let (x, scale) = (x.into_primitive(), scale.into_primitive());
    let output = B::occam_channel_affine(x.clone(), scale.clone(), shift.into_primitive());
    match prepared {
        OpsKind::Tracked(prep) => prep.finish((x, scale), output),
        OpsKind::UnTracked(prep) => prep.finish(output),
    }
}

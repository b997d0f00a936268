//! Batch normalization by the batch's own statistics; formulas are at [`occam_kernels::batch_norm`].

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Backend, Flex};
use occam_kernels::batch_norm::{affine, apply, statistics};

use super::{
    Activation, FlexTensor, KernelGrads, TrainKernels, build, composed, dense, elements, is_f32, layout,
    shape,
};

/// What the way back needs.
#[derive(Debug, Clone)]
pub(crate) struct Saved<B: Backend> {
    pub(super) x: FloatTensor<B>,
    pub(super) weight: FloatTensor<B>,
    pub(super) bias: FloatTensor<B>,
    pub(super) mean: FloatTensor<B>,
    pub(super) var: FloatTensor<B>,
    pub(super) eps: f64,
    pub(super) activation: Activation,
}

pub(super) fn forward(
    x: FlexTensor,
    weight: FlexTensor,
    bias: FlexTensor,
    eps: f64,
    activation: Activation,
) -> (FlexTensor, FlexTensor, FlexTensor) {
    if !is_f32(&x) {
        return composed::batch_norm::forward::<Flex>(x, weight, bias, eps, activation);
    }
    let (x, weight, bias) = (dense(x), dense(weight), dense(bias));
    let layout = layout(&x);
    let (mean, var) = statistics(elements(&x), layout);
    let (scale, shift) = affine(elements(&weight), elements(&bias), &mean, &var, eps);
    let out = apply(elements(&x), &scale, &shift, layout, activation);
    (build(&shape(&x), out), build(&[layout.channels], mean), build(&[layout.channels], var))
}

pub(super) fn backward(saved: Saved<Flex>, grad: FlexTensor) -> [FlexTensor; 3] {
    if !is_f32(&grad) {
        return composed::batch_norm::backward::<Flex>(saved, grad);
    }
    let (x, grad) = (dense(saved.x), dense(grad));
    let (weight, bias, mean, var) =
        (dense(saved.weight), dense(saved.bias), dense(saved.mean), dense(saved.var));
    let layout = layout(&x);
    let all = occam_kernels::batch_norm::Saved {
        x: elements(&x),
        weight: elements(&weight),
        bias: elements(&bias),
        mean: elements(&mean),
        var: elements(&var),
        eps: saved.eps,
        activation: saved.activation,
    };
    let [dx, dweight, dbias] = occam_kernels::batch_norm::backward(&all, elements(&grad), layout);
    [build(&shape(&x), dx), build(&[layout.channels], dweight), build(&[layout.channels], dbias)]
}

type Three<B> = (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>);

#[derive(Debug)]
struct BatchNormBackward;

impl<B: KernelGrads> Backward<B, 3> for BatchNormBackward {
    type State = Saved<B>;

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let computed = B::batch_norm_grad(ops.state, grad);
        for (parent, grad) in ops.parents.into_iter().zip(computed) {
            if let Some(node) = parent {
                grads.register::<B>(node.id, grad);
            }
        }
    }
}

pub(super) fn tracked<B, C>(
    x: FloatTensor<Autodiff<B, C>>,
    weight: FloatTensor<Autodiff<B, C>>,
    bias: FloatTensor<Autodiff<B, C>>,
    eps: f64,
    activation: Activation,
) -> Three<Autodiff<B, C>>
where
    B: TrainKernels + KernelGrads,
    C: CheckpointStrategy,
{
    let prepared =
        BatchNormBackward.prepare::<C>([x.node(), weight.node(), bias.node()]).compute_bound().stateful();
    let (x, weight, bias) = (x.into_primitive(), weight.into_primitive(), bias.into_primitive());
    let (output, mean, var) = B::occam_batch_norm(x.clone(), weight.clone(), bias.clone(), eps, activation);
    let output = match prepared {
        OpsKind::Tracked(prep) => {
            let saved = Saved { x, weight, bias, mean: mean.clone(), var: var.clone(), eps, activation };
            prep.finish(saved, output)
        }
        OpsKind::UnTracked(prep) => prep.finish(output),
    };
    (output, Autodiff::<B, C>::from_inner(mean), Autodiff::<B, C>::from_inner(var))
}

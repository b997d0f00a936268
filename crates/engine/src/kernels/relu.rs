//! `max(x, 0)`.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn::backend::ops::ActivationOps;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Flex};
use rayon::prelude::*;

use super::{
    FlexTensor, GRAIN, KernelGrads, TrainKernels, buffer, build, dense, elements, is_f32, vectorized,
};
use burn::backend::TensorMetadata;

/// `max(x, 0)`, where NaN stays NaN, as in PyTorch: a diverged network must not look sound.
#[inline(always)]
fn rectify(v: f32) -> f32 {
    if v < 0.0 { 0.0 } else { v }
}

pub(super) fn forward(x: FlexTensor) -> FlexTensor {
    if !is_f32(&x) {
        return Flex::relu(x);
    }
    let mut x = dense(x);
    if let Some(own) = x.try_storage_mut::<f32>() {
        own.par_chunks_mut(GRAIN)
            .for_each(|chunk| vectorized(|| chunk.iter_mut().for_each(|v| *v = rectify(*v))));
        return x;
    }
    let from = elements(&x);
    let mut out = buffer(from.len());
    out.par_chunks_mut(GRAIN).zip(from.par_chunks(GRAIN)).for_each(|(out, from)| {
        vectorized(|| out.iter_mut().zip(from).for_each(|(o, &v)| *o = rectify(v)));
    });
    build(&x.shape().iter().copied().collect::<Vec<_>>(), out)
}

pub(super) fn backward(output: FlexTensor, grad: FlexTensor) -> FlexTensor {
    if !is_f32(&grad) {
        return Flex::relu_backward(output, grad);
    }
    let output = dense(output);
    let mut grad = dense(grad);
    let y = elements(&output);
    if let Some(own) = grad.try_storage_mut::<f32>() {
        own.par_chunks_mut(GRAIN).zip(y.par_chunks(GRAIN)).for_each(|(own, y)| {
            vectorized(|| own.iter_mut().zip(y).for_each(|(g, &y)| *g = if y <= 0.0 { 0.0 } else { *g }));
        });
        return grad;
    }
    let g = elements(&grad);
    let mut out = buffer(g.len());
    out.par_chunks_mut(GRAIN).zip(g.par_chunks(GRAIN)).zip(y.par_chunks(GRAIN)).for_each(|((out, g), y)| {
        vectorized(|| {
            out.iter_mut().zip(g).zip(y).for_each(|((o, &g), &y)| *o = if y <= 0.0 { 0.0 } else { g })
        });
    });
    let shape: Vec<usize> = grad.shape().iter().copied().collect();
    build(&shape, out)
}

#[derive(Debug)]
struct ReluBackward;

impl<B: KernelGrads> Backward<B, 1> for ReluBackward {
    type State = FloatTensor<B>;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        unary::<B, _>(ops.parents, ops.node, grads, |grad| B::relu_grad(ops.state, grad));
    }
}

pub(super) fn tracked<B, C>(x: FloatTensor<Autodiff<B, C>>) -> FloatTensor<Autodiff<B, C>>
where
    B: TrainKernels + KernelGrads,
    C: CheckpointStrategy,
{
    match ReluBackward.prepare::<C>([x.node()]).compute_bound().stateful() {
        OpsKind::Tracked(prep) => {
            let output = B::occam_relu(x.into_primitive());
            prep.finish(output.clone(), output)
        }
        OpsKind::UnTracked(prep) => prep.finish(B::occam_relu(x.into_primitive())),
    }
}

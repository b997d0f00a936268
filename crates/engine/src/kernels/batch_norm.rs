//! Batch normalization by the batch's own statistics; formulas are at [`occam_kernels::batch_norm`].

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Backend, Flex, Shape, TensorMetadata};
use occam_kernels::batch_norm::{affine, apply, statistics};

use super::{
    Activation, FlexTensor, KernelGrads, TrainKernels, activation, build, dense, elements, is_f32, layout,
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
        let (y, mean, var) = composed_forward::<Flex>(x, weight, bias, eps);
        return (Flex::occam_activate(y, activation), mean, var);
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
        let y = composed_output::<Flex>(&saved);
        let grad = activation::backward(Flex::occam_activate(y, saved.activation), grad, saved.activation);
        return composed_backward::<Flex>(saved, grad);
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

/// `[1, C, 1, ..]` of the rank of `x`.
fn spread<B: Backend>(x: &FloatTensor<B>, v: FloatTensor<B>) -> FloatTensor<B> {
    let shape: Vec<usize> = x.shape().iter().enumerate().map(|(i, &d)| if i == 1 { d } else { 1 }).collect();
    B::float_reshape(v, Shape::from(shape))
}

/// Mean over all axes but the channels', as a vector.
fn channel_mean<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    let shape: Vec<usize> = x.shape().iter().copied().collect();
    let channels = shape.get(1).copied().unwrap_or(1);
    let mut out = x;
    for axis in (0..shape.len()).filter(|&a| a != 1) {
        out = B::float_mean_dim(out, axis);
    }
    B::float_reshape(out, Shape::from(vec![channels]))
}

type Three<B> = (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>);

fn composed_forward<B: Backend>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    bias: FloatTensor<B>,
    eps: f64,
) -> Three<B> {
    let mean = channel_mean::<B>(x.clone());
    let centred = B::float_sub(x.clone(), spread::<B>(&x, mean.clone()));
    let var = channel_mean::<B>(B::float_mul(centred.clone(), centred.clone()));
    let std = B::float_sqrt(B::float_add_scalar(var.clone(), eps.into()));
    let scale = B::float_div(weight, std);
    let output = B::float_mul(centred, spread::<B>(&x, scale));
    (B::float_add(output, spread::<B>(&x, bias)), mean, var)
}

/// The output before the activation, once more.
fn composed_output<B: Backend>(saved: &Saved<B>) -> FloatTensor<B> {
    let std = B::float_sqrt(B::float_add_scalar(saved.var.clone(), saved.eps.into()));
    let centred = B::float_sub(saved.x.clone(), spread::<B>(&saved.x, saved.mean.clone()));
    let scale = B::float_div(saved.weight.clone(), std);
    let hat = B::float_mul(centred, spread::<B>(&saved.x, scale));
    B::float_add(hat, spread::<B>(&saved.x, saved.bias.clone()))
}

fn composed_backward<B: Backend>(saved: Saved<B>, grad: FloatTensor<B>) -> [FloatTensor<B>; 3] {
    let x = saved.x;
    let shape: Vec<usize> = x.shape().iter().copied().collect();
    let channels = shape.get(1).copied().unwrap_or(1).max(1);
    let count = (shape.iter().product::<usize>() / channels) as f64;
    let std = B::float_sqrt(B::float_add_scalar(saved.var, saved.eps.into()));
    let centred = B::float_sub(x.clone(), spread::<B>(&x, saved.mean));
    let hat = B::float_div(centred, spread::<B>(&x, std.clone()));
    let mean_dy = channel_mean::<B>(grad.clone());
    let mean_dy_hat = channel_mean::<B>(B::float_mul(grad.clone(), hat.clone()));
    let inner = B::float_sub(
        B::float_sub(grad, spread::<B>(&x, mean_dy.clone())),
        B::float_mul(hat, spread::<B>(&x, mean_dy_hat.clone())),
    );
    let dx = B::float_mul(inner, spread::<B>(&x, B::float_div(saved.weight, std)));
    [dx, B::float_mul_scalar(mean_dy_hat, count.into()), B::float_mul_scalar(mean_dy, count.into())]
}

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

//! Convolution; how it is computed says [`occam_kernels::conv`].

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Flex};
use occam_kernels::conv::{Dims, Epilogue, Geometry};

use super::{
    Activation, FlexTensor, KernelGrads, TrainKernels, build, composed, dense, elements, is_f32, shape, sizes,
};

/// How the kernel moves over the image; see [`occam_graph::ops::Conv`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvGeometry {
    /// Step, by axis.
    pub stride: [usize; 2],
    /// Zeros before and after, by axis.
    pub padding: [(usize, usize); 2],
    /// Distance of taps, by axis.
    pub dilation: [usize; 2],
    /// Number of groups.
    pub groups: usize,
    /// Output channels, where the weights have more: the first of them are used, and of each the first input channels
    /// of a group.
    pub outputs: Option<usize>,
}

fn dims(x: &FlexTensor, weight: &FlexTensor, g: ConvGeometry) -> Dims {
    let [n, c, h, w] = sizes(x);
    let [o, cg, kh, kw] = sizes(weight);
    let geometry = Geometry { stride: g.stride, padding: g.padding, dilation: g.dilation, groups: g.groups };
    let weight_row = g.outputs.map(|_| cg * kh * kw);
    Dims { n, c, h, w, o: g.outputs.unwrap_or(o), kh, kw, geometry, weight_row }
}

/// The gradient of the used part among zeros, of the shape of the weights.
fn spread(weight: &[usize], dw: FlexTensor) -> FlexTensor {
    let part = shape(&dw);
    if part == weight {
        return dw;
    }
    let dw = dense(dw);
    let kernel: usize = weight.iter().skip(2).product();
    let (row, used) = (weight[1] * kernel, part[1] * kernel);
    let mut out = vec![0.0; weight.iter().product()];
    for (to, from) in out.chunks_exact_mut(row.max(1)).zip(elements(&dw).chunks_exact(used.max(1))) {
        to[..used].copy_from_slice(from);
    }
    build(weight, out)
}

pub(super) fn forward(x: FlexTensor, weight: FlexTensor, geometry: ConvGeometry) -> FlexTensor {
    if !is_f32(&x) {
        return composed::conv::forward::<Flex>(x, weight, None, geometry);
    }
    let (x, weight) = (dense(x), dense(weight));
    let d = dims(&x, &weight, geometry);
    let (oh, ow) = d.output();
    let out = occam_kernels::conv::forward(elements(&x), elements(&weight), &d, &Epilogue::default());
    build(&[d.n, d.o, oh, ow], out)
}

pub(super) fn biased(
    x: FlexTensor,
    weight: FlexTensor,
    bias: FlexTensor,
    geometry: ConvGeometry,
) -> FlexTensor {
    if !is_f32(&x) {
        return composed::conv::forward::<Flex>(x, weight, Some(bias), geometry);
    }
    let (x, weight, bias) = (dense(x), dense(weight), dense(bias));
    let d = dims(&x, &weight, geometry);
    let (oh, ow) = d.output();
    let epilogue = Epilogue { bias: Some(elements(&bias)), ..Epilogue::default() };
    let out = occam_kernels::conv::forward(elements(&x), elements(&weight), &d, &epilogue);
    build(&[d.n, d.o, oh, ow], out)
}

/// `act(scale · (x ⋆ weight) + shift + residual)`.
pub(super) fn fused(
    x: FlexTensor,
    weight: FlexTensor,
    [scale, shift]: [FlexTensor; 2],
    residual: Option<FlexTensor>,
    geometry: ConvGeometry,
    activation: Activation,
) -> FlexTensor {
    if !is_f32(&x) {
        let y = Flex::occam_channel_affine(forward(x, weight, geometry), scale, shift);
        return match residual {
            Some(residual) => Flex::occam_add(y, residual, activation),
            None => Flex::occam_activate(y, activation),
        };
    }
    let (x, weight, scale, shift) = (dense(x), dense(weight), dense(scale), dense(shift));
    let residual = residual.map(dense);
    let d = dims(&x, &weight, geometry);
    let (oh, ow) = d.output();
    let epilogue = Epilogue {
        scale: Some(elements(&scale)),
        bias: Some(elements(&shift)),
        residual: residual.as_ref().map(elements),
        activation,
    };
    let out = occam_kernels::conv::forward(elements(&x), elements(&weight), &d, &epilogue);
    build(&[d.n, d.o, oh, ow], out)
}

pub(super) fn backward(
    x: FlexTensor,
    weight: FlexTensor,
    grad: FlexTensor,
    geometry: ConvGeometry,
    wanted: [bool; 2],
) -> [Option<FlexTensor>; 2] {
    if !is_f32(&x) {
        return composed::conv::backward::<Flex>(x, weight, grad, geometry, wanted);
    }
    let (x, weight, grad) = (dense(x), dense(weight), dense(grad));
    let d = dims(&x, &weight, geometry);
    let cg = d.c.checked_div(geometry.groups).unwrap_or(0);
    let whole = shape(&weight);
    let [dx, dw] =
        occam_kernels::conv::backward(elements(&x), elements(&weight), elements(&grad), &d, wanted);
    let dw = dw.map(|v| spread(&whole, build(&[d.o, cg, d.kh, d.kw], v)));
    [dx.map(|v| build(&[d.n, d.c, d.h, d.w], v)), dw]
}

#[derive(Debug)]
struct ConvBackward;

impl<B: KernelGrads> Backward<B, 2> for ConvBackward {
    type State = (FloatTensor<B>, FloatTensor<B>, ConvGeometry);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let (x, weight, geometry) = ops.state;
        let wanted = [ops.parents[0].is_some(), ops.parents[1].is_some()];
        let computed = B::conv2d_grad(x, weight, grad, geometry, wanted);
        for (parent, grad) in ops.parents.into_iter().zip(computed) {
            if let (Some(node), Some(grad)) = (parent, grad) {
                grads.register::<B>(node.id, grad);
            }
        }
    }
}

pub(super) fn tracked<B, C>(
    x: FloatTensor<Autodiff<B, C>>,
    weight: FloatTensor<Autodiff<B, C>>,
    geometry: ConvGeometry,
) -> FloatTensor<Autodiff<B, C>>
where
    B: TrainKernels + KernelGrads,
    C: CheckpointStrategy,
{
    let prepared = ConvBackward.prepare::<C>([x.node(), weight.node()]).compute_bound().stateful();
    let (x, weight) = (x.into_primitive(), weight.into_primitive());
    let output = B::occam_conv2d(x.clone(), weight.clone(), geometry);
    match prepared {
        OpsKind::Tracked(prep) => prep.finish((x, weight, geometry), output),
        OpsKind::UnTracked(prep) => prep.finish(output),
    }
}

#[derive(Debug)]
struct BiasedBackward;

impl<B: KernelGrads> Backward<B, 3> for BiasedBackward {
    type State = (FloatTensor<B>, FloatTensor<B>, ConvGeometry);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let (x, weight, geometry) = ops.state;
        let [of_x, of_weight, of_bias] = ops.parents;
        if let Some(node) = of_bias {
            grads.register::<B>(node.id, B::channel_sums(grad.clone()));
        }
        let wanted = [of_x.is_some(), of_weight.is_some()];
        let computed = B::conv2d_grad(x, weight, grad, geometry, wanted);
        for (parent, grad) in [of_x, of_weight].into_iter().zip(computed) {
            if let (Some(node), Some(grad)) = (parent, grad) {
                grads.register::<B>(node.id, grad);
            }
        }
    }
}

pub(super) fn tracked_biased<B, C>(
    x: FloatTensor<Autodiff<B, C>>,
    weight: FloatTensor<Autodiff<B, C>>,
    bias: FloatTensor<Autodiff<B, C>>,
    geometry: ConvGeometry,
) -> FloatTensor<Autodiff<B, C>>
where
    B: TrainKernels + KernelGrads,
    C: CheckpointStrategy,
{
    let prepared =
        BiasedBackward.prepare::<C>([x.node(), weight.node(), bias.node()]).compute_bound().stateful();
    let (x, weight) = (x.into_primitive(), weight.into_primitive());
    let output = B::occam_conv2d_bias(x.clone(), weight.clone(), bias.into_primitive(), geometry);
    match prepared {
        OpsKind::Tracked(prep) => prep.finish((x, weight, geometry), output),
        OpsKind::UnTracked(prep) => prep.finish(output),
    }
}

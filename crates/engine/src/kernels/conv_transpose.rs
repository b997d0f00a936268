//! Transposed convolution of `f32`: the way back of a convolution, taken forward.

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use occam_kernels::conv::{self, Dims, Epilogue, Geometry};

use super::{ConvGeometry, FlexTensor, KernelGrads, TrainKernels, build, dense, elements, sizes};

/// Sizes of the convolution that leads back from an output of `size`.
fn dims(x: &FlexTensor, weight: &FlexTensor, g: ConvGeometry, [h, w]: [usize; 2]) -> Dims {
    let [n, o, ..] = sizes::<4>(x);
    let [_, cg, kh, kw] = sizes(weight);
    let geometry = Geometry { stride: g.stride, padding: g.padding, dilation: g.dilation, groups: g.groups };
    Dims { n, c: cg * g.groups, h, w, o, kh, kw, geometry, weight_row: None }
}

pub(super) fn forward(x: FlexTensor, weight: FlexTensor, g: ConvGeometry, size: [usize; 2]) -> FlexTensor {
    let (x, weight) = (dense(x), dense(weight));
    let d = dims(&x, &weight, g, size);
    build(&[d.n, d.c, d.h, d.w], conv::input_grad(elements(&weight), elements(&x), &d))
}

/// Gradients of `x` and `weight`, each where wanted.
pub(super) fn backward(
    x: FlexTensor,
    weight: FlexTensor,
    grad: FlexTensor,
    g: ConvGeometry,
    size: [usize; 2],
    wanted: [bool; 2],
) -> [Option<FlexTensor>; 2] {
    let (x, weight, grad) = (dense(x), dense(weight), dense(grad));
    let d = dims(&x, &weight, g, size);
    let (oh, ow) = d.output();
    let dx = wanted[0].then(|| {
        let dx = conv::forward(elements(&grad), elements(&weight), &d, &Epilogue::default());
        build(&[d.n, d.o, oh, ow], dx)
    });
    let dw = wanted[1].then(|| {
        let dw = conv::weight_grad(elements(&grad), elements(&x), &d);
        build(&sizes::<4>(&weight), dw)
    });
    [dx, dw]
}

#[derive(Debug)]
struct TransposeBackward;

impl<B: KernelGrads> Backward<B, 2> for TransposeBackward {
    type State = (FloatTensor<B>, FloatTensor<B>, ConvGeometry, [usize; 2]);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let (x, weight, geometry, size) = ops.state;
        let wanted = [ops.parents[0].is_some(), ops.parents[1].is_some()];
        let computed = B::conv_transpose2d_grad(x, weight, grad, geometry, size, wanted);
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
    size: [usize; 2],
) -> FloatTensor<Autodiff<B, C>>
where
    B: TrainKernels + KernelGrads,
    C: CheckpointStrategy,
{
    let prepared = TransposeBackward.prepare::<C>([x.node(), weight.node()]).compute_bound().stateful();
    let (x, weight) = (x.into_primitive(), weight.into_primitive());
    let output = B::occam_conv_transpose2d(x.clone(), weight.clone(), geometry, size);
    match prepared {
        OpsKind::Tracked(prep) => prep.finish((x, weight, geometry, size), output),
        OpsKind::UnTracked(prep) => prep.finish(output),
    }
}

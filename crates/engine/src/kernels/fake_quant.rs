//! Fake quantization of `f32`; formulas are at [`occam_kernels::fake_quant`].

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use occam_kernels::channels::Layout;
use occam_kernels::fake_quant::{self, Grid};

use super::{FlexTensor, KernelGrads, TrainKernels, build, dense, elements, shape};

/// The grid of integers beside scale and zero point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QuantRange {
    /// Least integer.
    pub low: i32,
    /// Largest integer.
    pub high: i32,
    /// The axis with a scale for every index, 0 or 1; one scale for the whole tensor where there is none.
    pub axis: Option<usize>,
    /// Whether scale and zero point learn (Esser et al., 2020, arXiv:1902.08153), and the factor of their gradients.
    pub learned: Option<f32>,
}

impl QuantRange {
    fn layout(self, shape: &[usize]) -> Layout {
        let of = |range: std::ops::Range<usize>| -> usize {
            shape.get(range).map_or(1, |part| part.iter().product())
        };
        match self.axis {
            None => Layout { n: 1, channels: 1, inner: shape.iter().product() },
            Some(axis) => {
                Layout { n: of(0..axis), channels: of(axis..axis + 1), inner: of(axis + 1..shape.len()) }
            }
        }
    }

    /// Zero points as whole numbers of the range.
    fn zero_points(self, zero_point: &FlexTensor) -> Vec<f32> {
        let (low, high) = (self.low as f32, self.high as f32);
        elements(zero_point).iter().map(|z| z.round_ties_even().max(low).min(high)).collect()
    }
}

pub(super) fn forward(
    x: FlexTensor,
    scale: FlexTensor,
    zero_point: FlexTensor,
    range: QuantRange,
) -> FlexTensor {
    let (x, scale, zero_point) = (dense(x), dense(scale), dense(zero_point));
    let zero = range.zero_points(&zero_point);
    let layout = range.layout(&shape(&x));
    let grid = Grid { scale: elements(&scale), zero_point: &zero, low: range.low, high: range.high, layout };
    build(&shape(&x), fake_quant::forward(elements(&x), &grid))
}

/// Gradients of `x`, and of scale and zero point where they learn.
pub(super) fn backward(
    x: FlexTensor,
    scale: FlexTensor,
    zero_point: FlexTensor,
    grad: FlexTensor,
    range: QuantRange,
) -> [Option<FlexTensor>; 3] {
    let (x, scale, zero_point, grad) = (dense(x), dense(scale), dense(zero_point), dense(grad));
    let zero = range.zero_points(&zero_point);
    let layout = range.layout(&shape(&x));
    let grid = Grid { scale: elements(&scale), zero_point: &zero, low: range.low, high: range.high, layout };
    let Some(factor) = range.learned else {
        let dx = fake_quant::backward(elements(&x), elements(&grad), &grid);
        return [Some(build(&shape(&x), dx)), None, None];
    };
    let [dx, ds, dz] = fake_quant::backward_learnable(elements(&x), elements(&grad), &grid, factor);
    [Some(build(&shape(&x), dx)), Some(build(&shape(&scale), ds)), Some(build(&shape(&zero_point), dz))]
}

#[derive(Debug)]
struct FakeQuantBackward;

impl<B: KernelGrads> Backward<B, 3> for FakeQuantBackward {
    type State = (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>, QuantRange);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let (x, scale, zero_point, range) = ops.state;
        let computed = B::fake_quantize_grad(x, scale, zero_point, grad, range);
        for (parent, grad) in ops.parents.into_iter().zip(computed) {
            if let (Some(node), Some(grad)) = (parent, grad) {
                grads.register::<B>(node.id, grad);
            }
        }
    }
}

pub(super) fn tracked<B, C>(
    x: FloatTensor<Autodiff<B, C>>,
    scale: FloatTensor<Autodiff<B, C>>,
    zero_point: FloatTensor<Autodiff<B, C>>,
    range: QuantRange,
) -> FloatTensor<Autodiff<B, C>>
where
    B: TrainKernels + KernelGrads,
    C: CheckpointStrategy,
{
    let prepared = FakeQuantBackward
        .prepare::<C>([x.node(), scale.node(), zero_point.node()])
        .compute_bound()
        .stateful();
    let (x, scale, zero_point) = (x.into_primitive(), scale.into_primitive(), zero_point.into_primitive());
    let output = B::occam_fake_quantize(x.clone(), scale.clone(), zero_point.clone(), range);
    match prepared {
        OpsKind::Tracked(prep) => prep.finish((x, scale, zero_point, range), output),
        OpsKind::UnTracked(prep) => prep.finish(output),
    }
}

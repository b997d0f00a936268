//! Sums of all elements; those of `f32` are added in `f64`, in an order that depends on nothing.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Flex, Shape, TensorMetadata};
use occam_kernels::elementwise;

use super::{FlexTensor, KernelGrads, TrainKernels, build, dense, elements, is_f32};

pub(super) fn forward(x: FlexTensor) -> FlexTensor {
    if !is_f32(&x) {
        return Flex::float_sum(x);
    }
    let x = dense(x);
    build(&[1], vec![elementwise::sum(elements(&x)) as f32])
}

/// `[s, a, b, c]` with `Σ x² = s² · (a + b + c)`: `s` is a power of two, and the sum of the others is exact.
pub(super) fn of_squares(x: FlexTensor) -> FlexTensor {
    let x = dense(x);
    build(&[4], parts(elementwise::sum_of_squares(elements(&x))).to_vec())
}

fn parts(total: f64) -> [f32; 4] {
    if total == 0.0 || !total.is_finite() {
        return [1.0, total as f32, 0.0, 0.0];
    }
    // About the root; a power of two that `f32` has with its inverse's square in `f64`.
    let power = (0.5 * total.log2()).floor().clamp(-126.0, 127.0) as i32;
    let scaled = total * 2f64.powi(-power) * 2f64.powi(-power);
    let a = scaled as f32;
    let rest = scaled - f64::from(a);
    let b = rest as f32;
    [2f32.powi(power), a, b, (rest - f64::from(b)) as f32]
}

#[derive(Debug)]
struct SumBackward;

impl<B: KernelGrads> Backward<B, 1> for SumBackward {
    type State = Shape;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let ones = vec![1; ops.state.iter().count()];
        unary::<B, _>(ops.parents, ops.node, grads, |grad| {
            B::float_expand(B::float_reshape(grad, Shape::from(ones)), ops.state)
        });
    }
}

pub(super) fn tracked<B, C>(x: FloatTensor<Autodiff<B, C>>) -> FloatTensor<Autodiff<B, C>>
where
    B: TrainKernels + KernelGrads,
    C: CheckpointStrategy,
{
    match SumBackward.prepare::<C>([x.node()]).compute_bound().stateful() {
        OpsKind::Tracked(prep) => {
            let x = x.into_primitive();
            let shape = x.shape();
            prep.finish(shape, B::occam_sum(x))
        }
        OpsKind::UnTracked(prep) => prep.finish(B::occam_sum(x.into_primitive())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn squares_are_exact_beyond_the_range_of_single_floats() {
        let value = |[s, a, b, c]: [f32; 4]| {
            f64::from(s) * f64::from(s) * (f64::from(a) + f64::from(b) + f64::from(c))
        };
        for total in
            [0.0, 1.0, 3.0, 0.1, 1e-12, 7.3e-80, 1.1e-90, 3.3e38, 1e39, 1.15e77, 2.5e86, f64::INFINITY]
        {
            assert_eq!(value(parts(total)), total, "{total}");
        }
        assert!(value(parts(f64::NAN)).is_nan());
        let x = build(&[3], vec![1e19, -3e38, 2e38]);
        let found: [f32; 4] = elements(&of_squares(x)).try_into().unwrap();
        let wanted: f64 = [1e19f32, -3e38, 2e38].iter().map(|&v| f64::from(v).powi(2)).sum();
        assert_eq!(value(found), wanted);
    }
}

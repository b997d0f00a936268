//! Fake quantization; formulas are at [`occam_kernels::fake_quant`].

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, TensorMetadata};

use super::{along, bools, shape, sum_to};
use crate::kernels::QuantRange;

/// `min(max(q, low), high)`, and `low` for what is no number.
fn clamp<B: Backend>(q: FloatTensor<B>, range: QuantRange) -> FloatTensor<B> {
    let bools = bools::<B>(&q);
    let (low, high) = (f64::from(range.low), f64::from(range.high));
    let sound = B::float_greater_equal_elem(q.clone(), low.into(), bools);
    let q = B::float_mask_fill(q, B::bool_not(sound), low.into());
    let above = B::float_greater_elem(q.clone(), high.into(), bools);
    B::float_mask_fill(q, above, high.into())
}

/// Scale and whole zero point, broadcast over `x`.
struct Grid<B: Backend> {
    scale: FloatTensor<B>,
    inverse: FloatTensor<B>,
    zero: FloatTensor<B>,
}

impl<B: Backend> Grid<B> {
    fn new(shape: &[usize], scale: FloatTensor<B>, zero: FloatTensor<B>, range: QuantRange) -> Self {
        // Beyond every axis there is one element for all.
        let axis = range.axis.unwrap_or(shape.len());
        let scale = along::<B>(shape, axis, scale);
        let zero = along::<B>(shape, axis, clamp::<B>(B::float_round(zero), range));
        Self { inverse: B::float_recip(scale.clone()), scale, zero }
    }

    /// Scaled down, rounded and moved by the zero point.
    fn quantize(&self, x: FloatTensor<B>) -> FloatTensor<B> {
        B::float_add(B::float_round(B::float_mul(x, self.inverse.clone())), self.zero.clone())
    }
}

pub(in crate::kernels) fn forward<B: Backend>(
    x: FloatTensor<B>,
    scale: FloatTensor<B>,
    zero_point: FloatTensor<B>,
    range: QuantRange,
) -> FloatTensor<B> {
    let grid = Grid::<B>::new(&shape::<B>(&x), scale, zero_point, range);
    let q = clamp::<B>(grid.quantize(x), range);
    B::float_mul(B::float_sub(q, grid.zero), grid.scale)
}

/// 1 where clamping changed nothing, else 0.
fn inside<B: Backend>(q: FloatTensor<B>, clamped: FloatTensor<B>) -> FloatTensor<B> {
    let (bools, dtype) = (bools::<B>(&q), q.dtype().into());
    B::bool_into_float(B::float_equal(q, clamped, bools), dtype)
}

/// Gradients of `x`, and of scale and zero point where they learn.
pub(in crate::kernels) fn backward<B: Backend>(
    x: FloatTensor<B>,
    scale: FloatTensor<B>,
    zero_point: FloatTensor<B>,
    grad: FloatTensor<B>,
    range: QuantRange,
) -> [Option<FloatTensor<B>>; 3] {
    let whole = shape::<B>(&x);
    let of_scale = scale.shape();
    let grid = Grid::<B>::new(&whole, scale, zero_point, range);
    let Some(factor) = range.learned else {
        let q = grid.quantize(x);
        let clamped = clamp::<B>(q.clone(), range);
        return [Some(B::float_mul(grad, inside::<B>(q, clamped))), None, None];
    };
    // Rounded after the zero point is added, on this way only.
    let moved = B::float_add(B::float_mul(x.clone(), grid.inverse.clone()), grid.zero.clone());
    let q = B::float_round(moved);
    let clamped = clamp::<B>(q.clone(), range);
    let bools = bools::<B>(&q);
    let is_inside = B::float_equal(q.clone(), clamped.clone(), bools);
    let inside = inside::<B>(q, clamped.clone());
    let steps = B::float_sub(clamped, grid.zero);
    let rest = B::float_mul(B::float_sub(B::float_mul(steps.clone(), grid.scale.clone()), x), grid.inverse);
    let of_step = B::float_mask_where(steps, is_inside.clone(), rest);
    let total = |t: FloatTensor<B>| {
        let sum = match range.axis {
            Some(axis) => sum_to::<B>(t, axis),
            None => B::float_sum(t),
        };
        B::float_mul_scalar(B::float_reshape(sum, of_scale.clone()), f64::from(factor).into())
    };
    let ds = total(B::float_mul(grad.clone(), of_step));
    let moving = B::float_neg(B::float_mul(grad.clone(), grid.scale));
    let dz = total(B::float_mask_fill(moving, is_inside, 0.0.into()));
    [Some(B::float_mul(grad, inside)), Some(ds), Some(dz)]
}

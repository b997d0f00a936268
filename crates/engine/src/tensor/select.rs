//! Picking elements.

use burn::backend::ops::FloatTensorOps;
use burn::backend::{Dispatch, DispatchTensor, TensorMetadata, get_or_init_device_settings};
use burn::tensor::BoolDType;

use super::Tensor;
use crate::Result;
use crate::error::refuse;

/// How the device of `x` holds truth values.
fn bools(x: &DispatchTensor) -> BoolDType {
    get_or_init_device_settings::<Dispatch>(&x.device()).bool_dtype
}

impl Tensor {
    /// `y[.., j, ..] = x[.., indices[j], ..]` along `axis`.
    ///
    /// # Errors
    /// An index is beyond the axis, or the elements are no floats.
    pub fn select(&self, axis: usize, indices: &[usize]) -> Result<Tensor> {
        self.need_float("select")?;
        let size = self.dim(axis)?;
        if let Some(i) = indices.iter().find(|&&i| i >= size) {
            return refuse("select", format!("index {i} is beyond axis {axis} of {self:?}"));
        }
        let list = indices.iter().map(|&i| i as i64).collect();
        let places = Tensor::from_i64(&[indices.len()], list, &self.device())?;
        Ok(Tensor::wrap(Dispatch::float_select(self.inner.clone(), axis, places.inner)))
    }

    /// Element by element `a` where `mask` is not 0, else `b`. Axes of size 1 are broadcast; ranks must agree.
    ///
    /// # Errors
    /// They do not broadcast, or are no floats of one type.
    pub fn choose(mask: &Tensor, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        let mut shape = vec![1; a.rank()];
        for t in [mask, a, b] {
            t.need_float("choose")?;
            if t.rank() != shape.len() {
                return refuse("choose", format!("{mask:?}, {a:?} and {b:?} do not fit"));
            }
            for (s, d) in shape.iter_mut().zip(t.shape()) {
                if *s == 1 {
                    *s = d;
                }
            }
        }
        if a.inner_type() != b.inner_type() {
            return refuse("choose", format!("{a:?} and {b:?} do not fit"));
        }
        let mask = mask.detach().expand(&shape)?.inner;
        let kind = bools(&mask);
        let mask = Dispatch::float_not_equal_elem(mask, 0.0.into(), kind);
        let (a, b) = (a.expand(&shape)?.inner, b.expand(&shape)?.inner);
        Ok(Tensor::wrap(Dispatch::float_mask_where(b, mask, a)))
    }

    /// 1 where `self ≥ other`, else 0, without a tape. Axes of size 1 are broadcast; ranks must agree.
    ///
    /// # Errors
    /// The two do not broadcast, or are no floats of one type.
    pub fn at_least(&self, other: &Tensor) -> Result<Tensor> {
        let difference = self.detach().sub(&other.detach())?;
        let (zeros, ones) = (difference.scale(0.0)?, difference.scale(0.0)?.shift(1.0)?);
        let kind = bools(&difference.inner);
        let mask = Dispatch::float_lower_elem(difference.inner, 0.0.into(), kind);
        Ok(Tensor::wrap(Dispatch::float_mask_where(ones.inner, mask, zeros.inner)))
    }

    /// The largest element along `axis`, which keeps size 1; of equal ones the first has the gradient.
    ///
    /// # Errors
    /// There is no such axis, it is empty, or the elements are no floats.
    pub fn max_axis(&self, axis: usize) -> Result<Tensor> {
        self.need_float("max_axis")?;
        if self.dim(axis)? == 0 {
            return refuse("max_axis", format!("axis {axis} of {self:?} is empty"));
        }
        Ok(Tensor::wrap(Dispatch::float_max_dim(self.inner.clone(), axis)))
    }

    /// The smallest element along `axis`, which keeps size 1; of equal ones the first has the gradient.
    ///
    /// # Errors
    /// There is no such axis, it is empty, or the elements are no floats.
    pub fn min_axis(&self, axis: usize) -> Result<Tensor> {
        self.neg()?.max_axis(axis)?.neg()
    }

    /// `y[.., j, ..] = Σᵢ x[.., i, ..] · matrix[i, j]` along `axis`, for a constant matrix in row-major order.
    ///
    /// # Errors
    /// The matrix has not `size · outputs` elements, or the elements are no floats.
    pub fn along(&self, axis: usize, matrix: Vec<f32>, outputs: usize) -> Result<Tensor> {
        let size = self.dim(axis)?;
        let matrix = Tensor::from_f32(&[size, outputs], matrix, &self.device())?.cast(self.dtype()?)?;
        let last = self.rank() - 1;
        let moved = self.swap_axes(axis, last)?;
        let mut shape = moved.shape();
        let rows = shape.iter().take(last).product();
        if let Some(s) = shape.last_mut() {
            *s = outputs;
        }
        moved.reshape(&[rows, size])?.matmul(&matrix)?.reshape(&shape)?.swap_axes(axis, last)
    }
}

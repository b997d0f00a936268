//! Sums, means and products of matrices.

use burn::backend::Dispatch;
use burn::backend::ops::FloatTensorOps;

use super::Tensor;
use crate::Result;
use crate::error::refuse;
use crate::kernels::TrainKernels;

impl Tensor {
    /// Sum of all elements, of shape `[1]`. On the processor `f32` elements are added in `f64` and in a fixed order: the
    /// same bits whatever the number of threads.
    ///
    /// # Errors
    /// The elements are no floats.
    pub fn sum(&self) -> Result<Tensor> {
        self.need_float("sum")?;
        Ok(Tensor::wrap(Dispatch::occam_sum(self.inner.clone())))
    }

    /// Mean of all elements, of shape `[1]`.
    ///
    /// # Errors
    /// There is no element, or they are no floats.
    pub fn mean(&self) -> Result<Tensor> {
        match self.len() {
            0 => refuse("mean", format!("{self:?} has no element")),
            n => self.sum()?.scale(1.0 / n as f64),
        }
    }

    /// Sum along `axis`, which keeps size 1.
    ///
    /// # Errors
    /// There is no such axis, or the elements are no floats.
    pub fn sum_axis(&self, axis: usize) -> Result<Tensor> {
        self.need_float("sum_axis")?;
        self.need_axis("sum_axis", axis)?;
        Ok(Tensor::wrap(Dispatch::float_sum_dim(self.inner.clone(), axis)))
    }

    /// Mean along `axis`, which keeps size 1.
    ///
    /// # Errors
    /// As [`Tensor::sum_axis`].
    pub fn mean_axis(&self, axis: usize) -> Result<Tensor> {
        self.need_float("mean_axis")?;
        self.need_axis("mean_axis", axis)?;
        Ok(Tensor::wrap(Dispatch::float_mean_dim(self.inner.clone(), axis)))
    }

    /// Product of two matrices, or of two batches of matrices with equal leading axes.
    ///
    /// # Errors
    /// The shapes do not fit.
    pub fn matmul(&self, other: &Tensor) -> Result<Tensor> {
        self.need_float("matmul")?;
        other.need_float("matmul")?;
        let (a, b) = (self.shape(), other.shape());
        let rank = a.len();
        let fits = rank >= 2
            && b.len() == rank
            && a.get(rank - 1) == b.get(rank - 2)
            && a.get(..rank - 2) == b.get(..rank - 2)
            && self.inner_type() == other.inner_type();
        if !fits {
            return refuse("matmul", format!("{self:?} and {other:?} do not fit"));
        }
        Ok(Tensor::wrap(Dispatch::float_matmul(self.inner.clone(), other.inner.clone())))
    }
}

//! Fake quantization.

use burn::backend::Dispatch;
use occam_graph::DType;

use super::Tensor;
use crate::Result;
use crate::error::refuse;
use crate::kernels::{QuantRange, TrainKernels};

impl Tensor {
    /// Rounds to a grid of integers and back: `(clamp(round(x / s) + z, low, high) − z) · s`, ties to even, in one pass.
    /// Gradients pass straight through where nothing was clamped; scale and zero point have some where they learn
    /// ([`QuantRange::learned`]). Zero points are rounded and clamped to the range first.
    ///
    /// `scale` and `zero_point` are `[channels]`, or `[1]` without an axis.
    ///
    /// # Errors
    /// The shapes do not fit, the range is empty, or the elements are no `f32`.
    pub fn fake_quantize(&self, scale: &Tensor, zero_point: &Tensor, range: QuantRange) -> Result<Tensor> {
        let channels = match range.axis {
            None => 1,
            Some(axis) => self.dim(axis)?,
        };
        for t in [self, scale, zero_point] {
            if t.dtype()? != DType::F32 {
                return refuse("fake_quantize", format!("f32 wanted, found {t:?}"));
            }
        }
        if scale.shape() != [channels] || zero_point.shape() != [channels] {
            return refuse("fake_quantize", format!("{scale:?} and {zero_point:?} do not fit {self:?}"));
        }
        if range.low > range.high || self.is_empty() {
            return refuse("fake_quantize", format!("no integers in {}..={}", range.low, range.high));
        }
        let (x, scale, zero) = (self.inner.clone(), scale.inner.clone(), zero_point.inner.clone());
        Ok(Tensor::wrap(Dispatch::occam_fake_quantize(x, scale, zero, range)))
    }
}

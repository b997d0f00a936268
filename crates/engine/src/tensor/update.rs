//! Optimizer updates.

use burn::backend::Dispatch;
use occam_graph::DType;

use super::Tensor;
use crate::Result;
use crate::error::refuse;
use crate::kernels::{AdamWRule, SgdRule, TrainKernels};

impl Tensor {
    /// `Σ x²`, without a tape.
    ///
    /// # Errors
    /// The elements are no floats.
    pub fn sum_of_squares(&self) -> Result<f64> {
        Self::sum_of_squares_of([self])
    }

    /// `Σ x²` over the elements of all `tensors`, without a tape; the device is waited for once.
    ///
    /// # Errors
    /// The elements are no floats, or the tensors lie on several devices.
    pub fn sum_of_squares_of<'a>(tensors: impl IntoIterator<Item = &'a Tensor>) -> Result<f64> {
        let mut parts: Vec<Tensor> = Vec::new();
        for tensor in tensors {
            tensor.need_float("sum_of_squares")?;
            if parts.first().is_some_and(|first| first.device() != tensor.device()) {
                return refuse("sum_of_squares", "the tensors lie on several devices");
            }
            let plain = tensor.detach().cast(DType::F32)?;
            parts.push(Tensor::wrap(Dispatch::occam_sum_of_squares(plain.inner)));
        }
        if parts.is_empty() {
            return Ok(0.0);
        }
        let parts = Tensor::concat(&parts, 0)?.to_f32()?;
        let values = parts.chunks_exact(4).map(|part| {
            let [s, a, b, c] = [0, 1, 2, 3].map(|i| part.get(i).copied().map_or(0.0, f64::from));
            s * s * (a + b + c)
        });
        Ok(values.sum())
    }

    /// `self + share · (target − self)`, in the place of `self` if nobody else has it.
    ///
    /// # Errors
    /// The two differ in shape, or are no floats of one type.
    pub fn lerp(self, target: &Tensor, share: f64) -> Result<Tensor> {
        if self.steps_in_one_pass(&[target]) {
            // A step of descent against `target − self`, at a negative rate.
            let towards =
                SgdRule { lr: -share, momentum: 0.0, dampening: 0.0, weight_decay: -1.0, nesterov: false };
            return self.sgd(target, towards);
        }
        self.add(&target.sub(&self)?.scale(share)?)
    }

    /// Whether the one-pass updates can step a parameter with these tensors.
    pub(crate) fn steps_in_one_pass(&self, others: &[&Tensor]) -> bool {
        let is_plain = |t: &Tensor| t.dtype().is_ok_and(|d| d == DType::F32) && !t.is_tracked();
        is_plain(self) && others.iter().all(|t| is_plain(t) && t.shape() == self.shape())
    }

    /// `p − lr · (g + weight_decay · p)`, in the place of `p` if nobody else has it.
    pub(crate) fn sgd(self, grad: &Tensor, rule: SgdRule) -> Result<Tensor> {
        if !self.steps_in_one_pass(&[grad]) {
            return refuse("sgd", format!("{grad:?} does not fit {self:?}"));
        }
        Ok(Tensor::wrap(Dispatch::occam_sgd(self.inner, grad.inner.clone(), rule)))
    }

    /// A parameter and its momentum buffer after a step, in their places if nobody else has them.
    pub(crate) fn sgd_momentum(
        self,
        grad: &Tensor,
        buffer: Tensor,
        first: bool,
        rule: SgdRule,
    ) -> Result<[Tensor; 2]> {
        if !self.steps_in_one_pass(&[grad, &buffer]) {
            return refuse("sgd", format!("{grad:?} does not fit {self:?}"));
        }
        let (param, buffer) =
            Dispatch::occam_sgd_momentum(self.inner, grad.inner.clone(), buffer.inner, first, rule);
        Ok([Tensor::wrap(param), Tensor::wrap(buffer)])
    }

    /// A parameter and its moments after a step, in their places if nobody else has them.
    pub(crate) fn adamw(
        self,
        grad: &Tensor,
        [exp_avg, exp_avg_sq]: [Tensor; 2],
        step: u32,
        rule: AdamWRule,
    ) -> Result<[Tensor; 3]> {
        if !self.steps_in_one_pass(&[grad, &exp_avg, &exp_avg_sq]) {
            return refuse("adamw", format!("{grad:?} does not fit {self:?}"));
        }
        let grad = grad.inner.clone();
        let (param, m, v) =
            Dispatch::occam_adamw(self.inner, grad, exp_avg.inner, exp_avg_sq.inner, step, rule);
        Ok([Tensor::wrap(param), Tensor::wrap(m), Tensor::wrap(v)])
    }
}

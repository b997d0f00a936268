//! Softmax and batch normalization.

use std::sync::Arc;

use burn::backend::Dispatch;
use burn::backend::ops::{ActivationOps, ModuleOps};

use occam_graph::{DType, Data};

use super::Tensor;
use crate::Result;
use crate::error::refuse;
use crate::kernels::{Activation, TrainKernels};

/// What batch normalization in training gives.
pub struct BatchNormTrain {
    /// The normalized batch.
    pub output: Tensor,
    /// Mean by channel, without a tape.
    pub mean: Tensor,
    /// Biased variance by channel, without a tape.
    pub var: Tensor,
}

impl Tensor {
    /// `exp(x) / Σ exp(x)` along `axis`.
    ///
    /// # Errors
    /// There is no such axis, or the elements are no floats.
    pub fn softmax(&self, axis: usize) -> Result<Tensor> {
        self.need_float("softmax")?;
        self.need_axis("softmax", axis)?;
        Ok(Tensor::wrap(Dispatch::softmax(self.inner.clone(), axis)))
    }

    /// `x − log Σ exp(x)` along `axis`.
    ///
    /// # Errors
    /// There is no such axis, or the elements are no floats.
    pub fn log_softmax(&self, axis: usize) -> Result<Tensor> {
        self.need_float("log_softmax")?;
        self.need_axis("log_softmax", axis)?;
        Ok(Tensor::wrap(Dispatch::log_softmax(self.inner.clone(), axis)))
    }

    /// `−log softmax(self)[b, labels[b]]` of every sample, `[B]`, for scores `[B, C]` and integer labels `[B]`.
    ///
    /// # Errors
    /// The shapes do not fit, or a label is no class.
    pub fn cross_entropy(&self, labels: &Tensor) -> Result<Tensor> {
        self.need_float("cross_entropy")?;
        let [batch, classes] = match self.shape().as_slice() {
            &[b, c] if b > 0 && c > 0 && labels.shape() == [b] => [b, c],
            _ => return refuse("cross_entropy", format!("labels {labels:?} do not fit scores {self:?}")),
        };
        if self.dtype()? != DType::F32 {
            let picked = self.log_softmax(1)?.gather(1, &labels.reshape(&[batch, 1])?)?;
            return picked.reshape(&[batch])?.scale(-1.0);
        }
        let targets: Vec<i64> = match labels.to_array()?.into_data() {
            Data::I64(v) => v,
            Data::I32(v) => v.into_iter().map(i64::from).collect(),
            other => return refuse("cross_entropy", format!("integers wanted, found {}", other.dtype())),
        };
        if let Some(bad) = targets.iter().find(|&&t| usize::try_from(t).map_or(true, |t| t >= classes)) {
            return refuse("cross_entropy", format!("label {bad} is none of {classes} classes"));
        }
        Ok(Tensor::wrap(Dispatch::occam_cross_entropy(self.inner.clone(), Arc::new(targets))))
    }

    fn check_channels(&self, op: &'static str, vectors: &[&Tensor]) -> Result<()> {
        self.need_float(op)?;
        if self.rank() < 2 || self.is_empty() {
            return refuse(op, format!("elements with a channel axis wanted, found {self:?}"));
        }
        let channels = self.dim(1)?;
        for v in vectors {
            v.need_float(op)?;
            if v.shape() != [channels] || v.inner_type() != self.inner_type() {
                return refuse(op, format!("{v:?} does not fit {self:?}"));
            }
        }
        Ok(())
    }

    /// `(x − μ) / √(σ² + eps) · weight + bias` with mean and biased variance over the last axis.
    ///
    /// # Errors
    /// `weight` and `bias` have not one element for each of the last axis.
    pub fn layer_norm(&self, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
        self.need_float("layer_norm")?;
        let features = self.dim(self.rank().saturating_sub(1))?;
        for v in [weight, bias] {
            if v.shape() != [features] || v.inner_type() != self.inner_type() {
                return refuse("layer_norm", format!("{v:?} does not fit {self:?}"));
            }
        }
        let (x, weight, bias) = (self.inner.clone(), weight.inner.clone(), bias.inner.clone());
        Ok(Tensor::wrap(Dispatch::layer_norm(x, weight, Some(bias), eps)))
    }

    /// Normalizes every channel (axis 1) by the batch's own mean and biased variance, then `· weight + bias`.
    ///
    /// # Errors
    /// `weight` and `bias` have not one element a channel.
    pub fn batch_norm_train(&self, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<BatchNormTrain> {
        self.batch_norm_activate(weight, bias, eps, Activation::None)
    }

    /// [`Tensor::batch_norm_train`] and the activation of its output.
    pub(crate) fn batch_norm_activate(
        &self,
        weight: &Tensor,
        bias: &Tensor,
        eps: f64,
        activation: Activation,
    ) -> Result<BatchNormTrain> {
        self.check_channels("batch_norm", &[weight, bias])?;
        let (output, mean, var) = Dispatch::occam_batch_norm(
            self.inner.clone(),
            weight.inner.clone(),
            bias.inner.clone(),
            eps,
            activation,
        );
        Ok(BatchNormTrain {
            output: Tensor::wrap(output),
            mean: Tensor::wrap(mean).detach(),
            var: Tensor::wrap(var).detach(),
        })
    }

    /// `x · scale + shift`, channel by channel (axis 1).
    ///
    /// # Errors
    /// `scale` and `shift` have not one element a channel.
    pub fn channel_affine(&self, scale: &Tensor, shift: &Tensor) -> Result<Tensor> {
        self.check_channels("channel_affine", &[scale, shift])?;
        Ok(Tensor::wrap(Dispatch::occam_channel_affine(
            self.inner.clone(),
            scale.inner.clone(),
            shift.inner.clone(),
        )))
    }
}

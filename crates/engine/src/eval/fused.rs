//! Operators that one kernel computes together.

use occam_graph::ops::{Activation, BatchNorm, Conv};

use super::{Context, batch_norm};
use crate::error::refuse;
use crate::kernels;
use crate::{Result, Tensor};

/// The kernels' name of an activation; none where they cannot compute it in passing.
pub(crate) fn activation(op: Activation) -> Option<kernels::Activation> {
    match op {
        Activation::Relu => Some(kernels::Activation::Relu),
        Activation::Relu6 => Some(kernels::Activation::Relu6),
        _ => None,
    }
}

/// Batch normalization in training, and the activation after it.
pub(crate) fn norm_activate(
    op: &BatchNorm,
    act: kernels::Activation,
    context: &mut Context<'_>,
    inputs: &[Tensor],
) -> Result<Tensor> {
    batch_norm::train(op, context, inputs, act)
}

/// A sum and the activation after it.
pub(crate) fn add_activate(act: kernels::Activation, inputs: Vec<Tensor>) -> Result<Tensor> {
    match <[Tensor; 2]>::try_from(inputs) {
        Ok([a, b]) => a.add_activate(b, act),
        Err(inputs) => refuse("add", format!("2 operands wanted, {} given", inputs.len())),
    }
}

/// What follows a convolution.
#[derive(Debug, Clone, Copy)]
pub(crate) struct After {
    pub biased: bool,
    /// ε of a batch normalization.
    pub norm: Option<f64>,
    pub residual: bool,
    pub activation: kernels::Activation,
}

/// Convolution in evaluation with what follows it. Operands: image, weight, the bias, the four vectors of the
/// normalization, the residual, each where there is one.
pub(crate) fn conv(conv: &Conv, after: After, inputs: &[Tensor]) -> Result<Tensor> {
    let mut rest = inputs.iter();
    let mut take = || match rest.next() {
        Some(x) => Ok(x),
        None => refuse("conv2d", format!("more than {} operands wanted", inputs.len())),
    };
    let (x, weight) = (take()?, take()?);
    let bias = if after.biased { Some(take()?) } else { None };
    let mut scale = None;
    let mut shift = bias.cloned();
    if let Some(eps) = after.norm {
        let [gamma, beta, mean, var] = [take()?, take()?, take()?, take()?];
        let factor = gamma.div(&var.shift(eps)?.sqrt()?)?;
        let mean = match bias {
            Some(bias) => mean.sub(bias)?,
            None => mean.clone(),
        };
        shift = Some(beta.sub(&mean.mul(&factor)?)?);
        scale = Some(factor);
    }
    let residual = if after.residual { Some(take()?) } else { None };
    let channels = [weight.dim(0)?];
    let whole = |value: f32| Tensor::full(&channels, value, &x.device());
    let (scale, shift) = (scale.unwrap_or_else(|| whole(1.0)), shift.unwrap_or_else(|| whole(0.0)));
    x.conv2d_fused(weight, conv, [&scale, &shift], residual, after.activation)
}

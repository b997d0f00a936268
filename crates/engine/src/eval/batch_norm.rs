//! Batch normalization.

use occam_graph::ops::BatchNorm;

use super::{Context, operands};
use crate::error::refuse;
use crate::kernels::Activation;
use crate::{Mode, Result, Tensor};

pub(super) fn eval(op: &BatchNorm, context: &mut Context<'_>, inputs: &[Tensor]) -> Result<Tensor> {
    let [x, weight, bias, running_mean, running_var] = operands(inputs)?;
    if context.mode == Mode::Eval || op.frozen {
        let scale = weight.div(&running_var.shift(op.eps)?.sqrt()?)?;
        let shift = bias.sub(&running_mean.mul(&scale)?)?;
        return x.channel_affine(&scale, &shift);
    }
    train(op, context, inputs, Activation::None)
}

/// By the batch's own statistics, which update the running ones; then the activation.
pub(super) fn train(
    op: &BatchNorm,
    context: &mut Context<'_>,
    inputs: &[Tensor],
    activation: Activation,
) -> Result<Tensor> {
    let [x, weight, bias, running_mean, running_var] = operands(inputs)?;
    let count = x.len() / x.dim(1)?.max(1);
    if count < 2 {
        return refuse("batch_norm", format!("training needs more than one value a channel, found {x:?}"));
    }
    let batch = x.batch_norm_activate(weight, bias, op.eps, activation)?;
    // As PyTorch: the batch is normalized by the biased variance and remembered by the unbiased one.
    let unbiased = count as f64 / (count - 1) as f64;
    let blend = |running: &Tensor, batch: &Tensor, factor: f64| {
        running.detach().scale(1.0 - op.momentum)?.add(&batch.scale(op.momentum * factor)?)
    };
    context.update(3, blend(running_mean, &batch.mean, 1.0)?)?;
    context.update(4, blend(running_var, &batch.var, unbiased)?)?;
    Ok(batch.output)
}

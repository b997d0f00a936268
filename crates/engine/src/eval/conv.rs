//! Convolution.

use occam_graph::ops::Conv;

use super::with_optional;
use crate::{Result, Tensor};

pub(super) fn eval(op: &Conv, inputs: &[Tensor]) -> Result<Tensor> {
    let ([x, weight], bias) = with_optional(inputs)?;
    let y = x.conv2d(weight, op)?;
    match bias {
        Some(bias) => y.add(&bias.reshape(&[1, bias.len(), 1, 1])?),
        None => Ok(y),
    }
}

//! Convolution.

use occam_graph::ops::Conv;

use super::with_optional;
use crate::{Result, Tensor};

pub(super) fn eval(op: &Conv, inputs: &[Tensor]) -> Result<Tensor> {
    let ([x, weight], bias) = with_optional(inputs)?;
    match bias {
        Some(bias) => x.conv2d_bias(weight, bias, op),
        None => x.conv2d(weight, op),
    }
}

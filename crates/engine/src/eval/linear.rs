//! Fully connected layers.

use occam_graph::ops::Linear;

use super::with_optional;
use crate::{Result, Tensor};

pub(super) fn eval(_: &Linear, inputs: &[Tensor]) -> Result<Tensor> {
    let ([x, weight], bias) = with_optional(inputs)?;
    let mut shape = x.shape();
    let features = shape.pop().unwrap_or(1);
    let rows = x.len() / features.max(1);
    let out = weight.dim(0)?;
    let mut y = x.reshape(&[rows, features])?.matmul(&weight.swap_axes(0, 1)?)?;
    if let Some(bias) = bias {
        y = y.add(&bias.reshape(&[1, out])?)?;
    }
    shape.push(out);
    y.reshape(&shape)
}

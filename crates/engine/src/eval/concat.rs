//! Concatenation.

use occam_graph::ops::Concat;

use crate::{Result, Tensor};

pub(super) fn eval(op: &Concat, inputs: &[Tensor]) -> Result<Tensor> {
    Tensor::concat(inputs, op.axis)
}

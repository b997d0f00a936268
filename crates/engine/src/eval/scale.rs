//! Multiplication by a number.

use occam_graph::ops::Scale;

use super::operands;
use crate::{Result, Tensor};

pub(super) fn eval(op: &Scale, inputs: &[Tensor]) -> Result<Tensor> {
    let [x] = operands(inputs)?;
    x.scale(op.factor)
}

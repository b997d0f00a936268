//! Softmax.

use occam_graph::ops::Softmax;

use super::operands;
use crate::{Result, Tensor};

pub(super) fn eval(op: &Softmax, inputs: &[Tensor]) -> Result<Tensor> {
    let [x] = operands(inputs)?;
    x.softmax(op.axis)
}

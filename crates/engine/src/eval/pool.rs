//! Pooling with a sliding window.

use occam_graph::ops::Pool;

use super::operands;
use crate::{Result, Tensor};

pub(super) fn eval(op: &Pool, inputs: &[Tensor]) -> Result<Tensor> {
    let [x] = operands(inputs)?;
    x.pool2d(op)
}

//! A part of one axis.

use occam_graph::ops::Slice;

use super::operands;
use crate::{Result, Tensor};

pub(super) fn eval(op: &Slice, inputs: &[Tensor]) -> Result<Tensor> {
    let [x] = operands(inputs)?;
    x.narrow(op.axis, op.start, op.end.saturating_sub(op.start))
}

//! Splitting an axis.

use occam_graph::ops::Unflatten;

use super::operands;
use crate::error::refuse;
use crate::{Result, Tensor};

pub(super) fn eval(op: &Unflatten, inputs: &[Tensor]) -> Result<Tensor> {
    let [x] = operands(inputs)?;
    let mut shape = x.shape();
    if op.axis >= shape.len() {
        return refuse("unflatten", format!("axis {} is beyond {x:?}", op.axis));
    }
    shape.splice(op.axis..=op.axis, op.sizes.iter().copied());
    x.reshape(&shape)
}

//! Flattening.

use occam_graph::ops::Flatten;

use super::operands;
use crate::{Result, Tensor};

pub(super) fn eval(op: &Flatten, inputs: &[Tensor]) -> Result<Tensor> {
    let [x] = operands(inputs)?;
    let shape = x.shape();
    let axis = op.axis.min(shape.len());
    let (kept, joined) = shape.split_at(axis);
    x.reshape(&[kept, &[joined.iter().product()]].concat())
}

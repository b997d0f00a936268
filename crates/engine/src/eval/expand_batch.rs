//! One example for every example of a batch.

use occam_graph::ops::ExpandBatch;

use super::operands;
use crate::{Result, Tensor};

pub(super) fn eval(_: &ExpandBatch, inputs: &[Tensor]) -> Result<Tensor> {
    let [x, like] = operands(inputs)?;
    let mut shape = x.shape();
    if let Some(first) = shape.first_mut() {
        *first = like.dim(0)?;
    }
    x.expand(&shape)
}

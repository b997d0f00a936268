//! Zeros around planes.

use occam_graph::ops::AdaptivePad;

use super::operands;
use crate::{Result, Tensor};

pub(super) fn eval(op: &AdaptivePad, inputs: &[Tensor]) -> Result<Tensor> {
    let [x] = operands(inputs)?;
    let mut padding = vec![(0, 0); x.rank()];
    for axis in 0..2 {
        let size = x.dim(axis + 2)?;
        if let Some(slot) = padding.get_mut(axis + 2) {
            *slot = op.padding(axis, size)?;
        }
    }
    x.pad(&padding)
}

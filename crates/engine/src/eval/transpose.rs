//! Another order of axes.

use occam_graph::ops::Transpose;

use super::operands;
use crate::{Result, Tensor};

pub(super) fn eval(op: &Transpose, inputs: &[Tensor]) -> Result<Tensor> {
    let [x] = operands(inputs)?;
    x.permute(&op.perm)
}

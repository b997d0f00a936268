//! Products of matrices.

use occam_graph::ops::MatMul;

use super::operands;
use crate::{Result, Tensor};

pub(super) fn eval(op: &MatMul, inputs: &[Tensor]) -> Result<Tensor> {
    let [a, b] = operands(inputs)?;
    if !op.transpose_b {
        return a.matmul(b);
    }
    let rank = b.rank();
    a.matmul(&b.swap_axes(rank.saturating_sub(2), rank.saturating_sub(1))?)
}

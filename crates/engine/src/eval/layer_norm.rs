//! Layer normalization.

use occam_graph::ops::LayerNorm;

use super::operands;
use crate::{Result, Tensor};

pub(super) fn eval(op: &LayerNorm, inputs: &[Tensor]) -> Result<Tensor> {
    let [x, weight, bias] = operands(inputs)?;
    x.layer_norm(weight, bias, op.eps)
}

//! Global average pooling.

use occam_graph::ops::GlobalAvgPool;

use super::operands;
use crate::{Result, Tensor};

pub(super) fn eval(_: &GlobalAvgPool, inputs: &[Tensor]) -> Result<Tensor> {
    let [x] = operands(inputs)?;
    x.global_avg_pool()
}

//! Global average pooling.

use occam_graph::ops::GlobalAvgPool;

use super::operands;
use crate::{Result, Tensor};

pub(super) fn eval(_: &GlobalAvgPool, inputs: &[Tensor]) -> Result<Tensor> {
    let [x] = operands(inputs)?;
    let (n, c) = (x.dim(0)?, x.dim(1)?);
    let mut shape = vec![1; x.rank()];
    shape.iter_mut().zip([n, c]).for_each(|(s, d)| *s = d);
    let inner = x.len() / (n * c).max(1);
    x.reshape(&[n, c, inner])?.mean_axis(2)?.reshape(&shape)
}

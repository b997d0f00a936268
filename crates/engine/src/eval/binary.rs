//! Arithmetic on two values.

use occam_graph::ops::Binary;

use super::owned;
use crate::kernels::Activation;
use crate::{Result, Tensor};

pub(super) fn eval(op: &Binary, inputs: Vec<Tensor>) -> Result<Tensor> {
    let [a, b] = owned(inputs)?;
    let rank = a.rank().max(b.rank());
    let (a, b) = (raise(a, rank)?, raise(b, rank)?);
    match op {
        Binary::Add => a.add_activate(b, Activation::None),
        Binary::Mul => a.mul(&b),
    }
}

/// Leading axes of size 1 up to `rank`.
fn raise(x: Tensor, rank: usize) -> Result<Tensor> {
    if x.rank() == rank {
        return Ok(x);
    }
    let mut shape = vec![1; rank - x.rank()];
    shape.extend(x.shape());
    x.reshape(&shape)
}

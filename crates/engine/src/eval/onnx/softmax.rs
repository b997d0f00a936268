//! Softmax and its logarithm.

use super::{Call, Run, axis_of, one};
use crate::{Operand, Result, Tensor};

pub(super) const TABLE: &[(&str, Run)] =
    &[("LogSoftmax", |c| along(c, Tensor::log_softmax)), ("Softmax", |c| along(c, Tensor::softmax))];

/// Before version 13 all axes from `axis` on are one.
fn along(c: &Call<'_>, f: fn(&Tensor, usize) -> Result<Tensor>) -> Result<Option<Vec<Operand>>> {
    let x = c.tensor(0)?;
    let shape = x.shape();
    if c.op.version >= 13 {
        return one(f(&x, axis_of(c.op.int("axis")?.unwrap_or(-1), shape.len())?)?);
    }
    let axis = axis_of(c.op.int("axis")?.unwrap_or(1), shape.len())?;
    let rows = shape.iter().take(axis).product::<usize>();
    let columns = shape.iter().skip(axis).product::<usize>();
    one(f(&x.reshape(&[rows, columns])?, 1)?.reshape(&shape)?)
}

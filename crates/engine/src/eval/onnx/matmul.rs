//! Products of matrices.

use super::{Call, Run, one, raised, together};
use crate::error::refuse;
use crate::{Operand, Result, Tensor};

pub(super) const TABLE: &[(&str, Run)] =
    &[("Gemm", gemm), ("MatMul", |c| one(matmul(&c.tensor(0)?, &c.tensor(1)?)?))];

/// As `numpy.matmul`: leading axes broadcast, a vector is a row on the left and a column on the right.
pub(super) fn matmul(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let (left, right) = (a.shape(), b.shape());
    if left.is_empty() || right.is_empty() {
        return refuse("MatMul", format!("{a:?} and {b:?} do not fit"));
    }
    let row = if left.len() == 1 { raised(a, 2)? } else { a.clone() };
    let column = if right.len() == 1 { b.reshape(&[b.len(), 1])? } else { b.clone() };
    let mut y = product(&row, &column)?;
    let mut shape = y.shape();
    if right.len() == 1 {
        shape.pop();
    }
    if left.len() == 1 {
        shape.remove(shape.len() - if right.len() == 1 { 1 } else { 2 });
    }
    if shape.len() != y.rank() {
        y = y.reshape(&shape)?;
    }
    Ok(y)
}

fn product(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let (left, right) = (a.shape(), b.shape());
    if let (&[.., k], &[inner, n], true) = (left.as_slice(), right.as_slice(), left.len() > 2) {
        if k != inner {
            return refuse("MatMul", format!("{a:?} and {b:?} do not fit"));
        }
        // One matrix for all batches: their rows are those of one tall matrix.
        let rows = left.iter().take(left.len() - 1).product();
        let mut shape = left.clone();
        if let Some(last) = shape.last_mut() {
            *last = n;
        }
        return a.reshape(&[rows, k])?.matmul(b)?.reshape(&shape);
    }
    let (a, b) = together(a, b)?;
    let (mut left, mut right) = (a.shape(), b.shape());
    let leading = left.len() - 2;
    for (l, r) in left.iter_mut().zip(&mut right).take(leading) {
        match (*l, *r) {
            (1, n) => *l = n,
            (n, 1) => *r = n,
            _ => {}
        }
    }
    a.expand(&left)?.matmul(&b.expand(&right)?)
}

/// `alpha · A · B + beta · C`
fn gemm(c: &Call<'_>) -> Result<Option<Vec<Operand>>> {
    let (a, b, bias) = (c.tensor(0)?, c.tensor(1)?, c.get(2)?);
    let turned = |t: Tensor, name: &str| if c.op.flag(name)? { t.swap_axes(0, 1) } else { Ok(t) };
    let scaled = |t: Tensor, name: &str| match c.float(name, 1.0)? {
        1.0 => Ok(t),
        factor => t.scale(factor),
    };
    let mut y = scaled(turned(a, "transA")?.matmul(&turned(b, "transB")?)?, "alpha")?;
    if let Some(bias) = bias {
        y = y.add(&raised(&scaled(bias, "beta")?, 2)?)?;
    }
    one(y)
}

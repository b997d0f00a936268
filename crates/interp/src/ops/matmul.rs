//! Products of matrices.

use occam_graph::{Array, DType};

use super::quantize::{along, requantize};
use super::{Eval, Operands};
use crate::error::refuse;
use crate::numbers::to_f64;
use crate::product::{Layout, Multiply, Sizes, in_wide, multiply_all, narrow};
use crate::view::{broadcast, broadcast_strides, count, strides, walk};
use crate::{Error, Result};

pub(super) const TABLE: &[Eval] = &[
    Eval::new("MatMul", matmul),
    Eval::new("MatMulInteger", integer),
    Eval::new("QLinearMatMul", quantized),
    Eval::new("Gemm", gemm),
];

/// Sizes of a product with its batch.
pub(super) struct Plan {
    pub sizes: Sizes,
    pub shape: Vec<usize>,
    /// Where the matrices of each product begin.
    offsets: Vec<[usize; 2]>,
}

impl Plan {
    /// The product of arrays of these shapes, as NumPy's `matmul`.
    pub fn of(a: &[usize], b: &[usize]) -> Result<Self> {
        let misfit = || Error::Op(format!("{a:?} and {b:?} do not fit"));
        let (a_batch, m, k) = match a {
            [] => return Err(misfit()),
            [k] => (&a[..0], None, *k),
            [batch @ .., m, k] => (batch, Some(*m), *k),
        };
        let (b_batch, other, n) = match b {
            [] => return Err(misfit()),
            [k] => (&b[..0], *k, None),
            [batch @ .., k, n] => (batch, *k, Some(*n)),
        };
        if k != other {
            return Err(misfit());
        }
        let batch = broadcast(a_batch, b_batch)?;
        let sizes = Sizes { m: m.unwrap_or(1), k, n: n.unwrap_or(1) };
        let mut offsets = Vec::with_capacity(count(&batch)?);
        let strides = [broadcast_strides(a_batch, &batch), broadcast_strides(b_batch, &batch)];
        let (of_a, of_b) = (count(&[sizes.m, k])?, count(&[k, sizes.n])?);
        walk(&batch, [&strides[0], &strides[1]], |[i, j]| offsets.push([i * of_a, j * of_b]));
        let shape = batch.iter().copied().chain(m).chain(n).collect();
        Ok(Self { sizes, shape, offsets })
    }

    pub fn run<T: Multiply>(&self, a: &[T], b: &[T]) -> Result<Vec<T>> {
        let Sizes { m, k, n } = self.sizes;
        let (of_a, of_b) = (Layout::of(k, false), Layout::of(n, false));
        // Where one matrix is all of `b`, the rows of all matrices of `a` are rows of one.
        let folded = self.offsets.iter().enumerate().all(|(i, &o)| o == [i * m * k, 0]);
        if folded && !self.offsets.is_empty() {
            let sizes = Sizes { m: m * self.offsets.len(), ..self.sizes };
            return multiply_all(sizes, (a, of_a), (b, of_b), &[[0, 0]]);
        }
        multiply_all(self.sizes, (a, of_a), (b, of_b), &self.offsets)
    }
}

fn matmul(c: &Operands<'_>) -> Result<Vec<Array>> {
    let (a, b) = (c.array(0)?, c.array(1)?);
    let plan = Plan::of(a.shape(), b.shape())?;
    Ok(vec![in_wide!(a.dtype(), plan.shape.clone(), [a = a, b = b] => plan.run(a, b)?)?])
}

/// The axis of a matrix, or of a vector, that its rows (`rows`) or its columns run along.
fn lines(shape: &[usize], rows: bool) -> usize {
    shape.len().saturating_sub(if rows && shape.len() > 1 { 2 } else { 1 })
}

/// The elements without their zero points, one for all or one for each row (`rows`) or column of the matrices.
pub(super) fn centered(x: &Array, zero: Option<&Array>, rows: bool) -> Result<Vec<f64>> {
    let mut v = to_f64(x);
    if let Some(zero) = zero {
        let steps = along(x.shape(), zero.shape(), lines(x.shape(), rows))?;
        let zero = to_f64(zero);
        let own = strides(x.shape());
        walk(x.shape(), [&own, &steps], |[i, j]| {
            if let (Some(v), Some(z)) = (v.get_mut(i), zero.get(j)) {
                *v -= z;
            }
        });
    }
    Ok(v)
}

/// Sums of products of 8-bit integers are exact in `f64`.
fn integer(c: &Operands<'_>) -> Result<Vec<Array>> {
    let (a, b) = (c.array(0)?, c.array(1)?);
    let plan = Plan::of(a.shape(), b.shape())?;
    let sums = plan.run(&centered(a, c.get(2), true)?, &centered(b, c.get(3), false)?)?;
    let sums: Vec<i64> = sums.into_iter().map(|x| x as i64).collect();
    Ok(vec![narrow(DType::I32, &plan.shape, sums)?])
}

fn quantized(c: &Operands<'_>) -> Result<Vec<Array>> {
    let (a, a_scale, a_zero) = (c.array(0)?, c.array(1)?, c.array(2)?);
    let (b, b_scale, b_zero) = (c.array(3)?, c.array(4)?, c.array(5)?);
    let plan = Plan::of(a.shape(), b.shape())?;
    let sums = plan.run(&centered(a, Some(a_zero), true)?, &centered(b, Some(b_zero), false)?)?;
    let rank = plan.shape.len();
    let rows = rank.saturating_sub(if b.shape().len() > 1 { 2 } else { 1 });
    let scales = [(a_scale, rows), (b_scale, rank.saturating_sub(1))];
    Ok(vec![requantize(sums, &plan.shape, scales, c.array(6)?, c.array(7)?)?])
}

/// `alpha · a' · b' + beta · c`
fn gemm(c: &Operands<'_>) -> Result<Vec<Array>> {
    let (a, b) = (c.array(0)?, c.array(1)?);
    let (ta, tb) = (c.op.flag("transA")?, c.op.flag("transB")?);
    let (&[a0, a1], &[b0, b1]) = (a.shape(), b.shape()) else {
        return refuse(format!("two matrices wanted, found {a:?} and {b:?}"));
    };
    let ((m, k), (other, n)) = (if ta { (a1, a0) } else { (a0, a1) }, if tb { (b1, b0) } else { (b0, b1) });
    if k != other {
        return refuse(format!("{a:?} and {b:?} do not fit"));
    }
    let sizes = Sizes { m, k, n };
    let (alpha, beta) = (c.op.float("alpha")?.unwrap_or(1.0), c.op.float("beta")?.unwrap_or(1.0));
    let (la, lb) = (Layout::of(a1, ta), Layout::of(b1, tb));
    let added = match c.get(2) {
        Some(added) if broadcast(added.shape(), &[m, n])? != [m, n] => {
            return refuse(format!("{added:?} cannot be added to [{m}, {n}]"));
        }
        added => added,
    };
    let shape = vec![m, n];
    let y = match added {
        None => in_wide!(a.dtype(), shape, [a = a, b = b] => {
            let mut y = multiply_all(sizes, (a, la), (b, lb), &[[0, 0]])?;
            scale(&mut y, alpha);
            y
        }),
        Some(added) => {
            let steps = broadcast_strides(added.shape(), &shape);
            let own = strides(&shape);
            in_wide!(a.dtype(), shape.clone(), [a = a, b = b, added = added] => {
                let mut y = multiply_all(sizes, (a, la), (b, lb), &[[0, 0]])?;
                scale(&mut y, alpha);
                let mut added = added.to_vec();
                scale(&mut added, beta);
                walk(&shape, [&own, &steps], |[i, j]| {
                    if let (Some(y), Some(&x)) = (y.get_mut(i), added.get(j)) {
                        *y = y.plus(x);
                    }
                });
                y
            })
        }
    };
    Ok(vec![y?])
}

/// Multiplies by a factor; integers through `f64`, as the factor is a float.
fn scale<T: Multiply>(v: &mut [T], factor: f32) {
    if factor != 1.0 {
        let whole = T::from_f64(factor.into());
        let exact = whole.to_f64() == f64::from(factor);
        for x in v {
            *x = if exact { x.times(whole) } else { T::from_f64(x.to_f64() * f64::from(factor)) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate;
    use occam_graph::Data;
    use occam_graph::onnx::{Attribute, Onnx};

    fn f32s(shape: &[usize], v: &[f32]) -> Array {
        Array::from_f32(shape, v.to_vec()).unwrap()
    }

    #[test]
    fn batches_broadcast() {
        let a = f32s(&[2, 1, 2], &[1.0, 2.0, 3.0, 4.0]);
        let b = f32s(&[2, 2, 1], &[1.0, 1.0, 2.0, 0.5]);
        let y = evaluate(&Onnx::new("MatMul", 13, 2), &[a.clone(), b]).unwrap();
        assert_eq!(y[0], f32s(&[2, 1, 1], &[3.0, 8.0]));
        let y = evaluate(&Onnx::new("MatMul", 13, 2), &[a.clone(), f32s(&[2], &[1.0, -1.0])]).unwrap();
        assert_eq!(y[0], f32s(&[2, 1], &[-1.0, -1.0]));
        assert!(evaluate(&Onnx::new("MatMul", 13, 2), &[a, f32s(&[3], &[0.0; 3])]).is_err());
    }

    #[test]
    fn integers_wrap() {
        let a = Array::from_i64([1, 1], vec![i64::MAX]).unwrap();
        let y =
            evaluate(&Onnx::new("MatMul", 13, 2), &[a.clone(), Array::from_i64([1, 1], vec![2]).unwrap()]);
        assert_eq!(y.unwrap()[0].as_i64().unwrap(), [-2]);
    }

    #[test]
    fn zero_points_are_by_row_and_column() {
        let u8s = |shape: &[usize], v: &[u8]| Array::new(shape, Data::U8(v.to_vec())).unwrap();
        let (a, b) = (u8s(&[2, 2], &[1, 2, 3, 4]), u8s(&[2, 2], &[1, 0, 0, 1]));
        let y = evaluate(&Onnx::new("MatMulInteger", 10, 4), &[a, b, u8s(&[2], &[1, 3]), u8s(&[2], &[0, 1])]);
        assert_eq!(y.unwrap()[0], Array::new([2, 2], Data::I32(vec![0, 0, 0, 0])).unwrap());
    }

    #[test]
    fn gemm_scales_and_adds() {
        let op = Onnx::new("Gemm", 13, 3)
            .with("transA", Attribute::Int(1))
            .with("alpha", Attribute::Float(0.5))
            .with("beta", Attribute::Float(2.0));
        let (a, b) = (f32s(&[2, 1], &[1.0, 3.0]), f32s(&[2, 2], &[2.0, 4.0, 6.0, 8.0]));
        let y = evaluate(&op, &[a, b, f32s(&[2], &[1.0, -1.0])]).unwrap();
        assert_eq!(y[0], f32s(&[1, 2], &[12.0, 12.0]));
    }
}

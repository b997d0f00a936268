//! Values made from sizes alone.

use occam_graph::{Array, DType};

use super::{Eval, Operands};
use crate::Result;
use crate::error::refuse;
use crate::moves::{View, sizes};
use crate::numbers::{Element, array, elements, from_f64};
use crate::view::count;

pub(super) const TABLE: &[Eval] =
    &[Eval::new("ConstantOfShape", constant), Eval::new("Range", range), Eval::new("EyeLike", eye)];

fn constant(c: &Operands<'_>) -> Result<Vec<Array>> {
    let shape = sizes(&c.ints(0)?.unwrap_or_default())?;
    let zero = Array::full([1], 0.0);
    let value = c.op.tensor("value")?.unwrap_or(&zero);
    if value.len() != 1 {
        return refuse(format!("its value must be one element, found {value:?}"));
    }
    let strides = vec![0; shape.len()];
    Ok(vec![View { shape, start: 0, strides }.of(value)?])
}

fn range(c: &Operands<'_>) -> Result<Vec<Array>> {
    match c.dtype(0)? {
        DType::F32 => floats::<f32>(c),
        DType::F64 => floats::<f64>(c),
        DType::I16 => integers::<i16>(c),
        DType::I32 => integers::<i32>(c),
        DType::I64 => integers::<i64>(c),
        other => refuse(format!("a range of {other} is not supported")),
    }
}

fn only<T: Element>(c: &Operands<'_>) -> Result<[T; 3]> {
    let mut all = [T::from_i64(0); 3];
    for (i, x) in all.iter_mut().enumerate() {
        *x = match elements::<T>(c.array(i)?)? {
            [only] => *only,
            v => return refuse(format!("input {i} must have one element, found {}", v.len())),
        };
    }
    Ok(all)
}

/// Element `i` is `start + i · delta`; there are `ceil((limit − start) / delta)`.
fn floats<T: Element>(c: &Operands<'_>) -> Result<Vec<Array>> {
    let [start, limit, delta] = only::<T>(c)?.map(T::to_f64);
    let steps = ((limit - start) / delta).ceil();
    if delta == 0.0 || !steps.is_finite() {
        return refuse(format!("{start}..{limit} by {delta} does not end"));
    }
    let n = count(&[steps.max(0.0) as usize])?;
    Ok(vec![array(&[n], (0..n).map(|i| T::from_f64(start + i as f64 * delta)).collect::<Vec<T>>())?])
}

fn integers<T: Element>(c: &Operands<'_>) -> Result<Vec<Array>> {
    let [start, limit, delta] = only::<T>(c)?.map(|n| i128::from(n.to_i64()));
    if delta == 0 {
        return refuse("its step is 0");
    }
    let span = if delta > 0 { limit - start } else { start - limit };
    let n = u128::try_from(span).unwrap_or(0).div_ceil(delta.unsigned_abs());
    let n = count(&[usize::try_from(n).unwrap_or(usize::MAX)])?;
    let at = |i: usize| i64::try_from(start + i as i128 * delta).unwrap_or(0);
    Ok(vec![array(&[n], (0..n).map(|i| T::from_i64(at(i))).collect::<Vec<T>>())?])
}

fn eye(c: &Operands<'_>) -> Result<Vec<Array>> {
    let x = c.array(0)?;
    let &[rows, columns] = x.shape() else { return refuse(format!("takes a matrix, found {x:?}")) };
    let k = i128::from(c.op.int("k")?.unwrap_or(0));
    let one = |i: usize, j: usize| if j as i128 - i as i128 == k { 1.0 } else { 0.0 };
    let all: Vec<f64> = (0..rows).flat_map(|i| (0..columns).map(move |j| one(i, j))).collect();
    Ok(vec![from_f64(c.op.dtype("dtype")?.unwrap_or(x.dtype()), x.shape(), &all)?])
}

#[cfg(test)]
mod tests {
    use occam_graph::onnx::Onnx;

    use super::*;
    use crate::evaluate;

    #[test]
    fn ranges_end() {
        let run = |v: [i64; 3]| {
            let all = v.map(|n| Array::from_i64([], vec![n]).unwrap());
            evaluate(&Onnx::new("Range", 11, 3), &all).map(|v| v[0].as_i64().unwrap().to_vec())
        };
        assert_eq!(run([1, 6, 2]).unwrap(), [1, 3, 5]);
        assert_eq!(run([5, 0, -2]).unwrap(), [5, 3, 1]);
        assert_eq!(run([5, 0, 1]).unwrap(), [0i64; 0]);
        assert!(run([0, 1, 0]).is_err());
        assert!(run([i64::MIN, i64::MAX, 1]).is_err());
        let none = [0.0, f32::NAN, 1.0].map(|x| Array::from_f32([], vec![x]).unwrap());
        assert!(evaluate(&Onnx::new("Range", 11, 3), &none).is_err());
    }
}

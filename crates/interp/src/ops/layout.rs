//! Parts of values, values side by side, and axes in another order.

use occam_graph::Array;
use occam_graph::onnx::{axis_of, equal_parts, order_of, slice_range};

use super::shape::axis;
use super::{Eval, Operands};
use crate::error::refuse;
use crate::moves::{View, concatenated, part, sizes, steps, transposed};
use crate::{Error, Result};

pub(super) const TABLE: &[Eval] = &[
    Eval::new("Transpose", |c| {
        let x = c.array(0)?;
        Ok(vec![transposed(x, &order_of(c.op.ints("perm")?, x.shape().len())?)?])
    }),
    Eval::new("Concat", concat),
    Eval::new("Split", split),
    Eval::new("Slice", slice),
];

fn concat(c: &Operands<'_>) -> Result<Vec<Array>> {
    let all = (0..c.inputs.len()).map(|i| c.array(i).cloned()).collect::<Result<Vec<_>>>()?;
    let Some(axis) = c.op.int("axis")? else { return refuse("attribute `axis` is missing") };
    let axis = axis_of(axis, all.first().map_or(0, |x| x.shape().len()))?;
    Ok(vec![concatenated(&all, axis)?])
}

fn split(c: &Operands<'_>) -> Result<Vec<Array>> {
    let x = c.array(0)?;
    let axis = axis(c, 0, x.shape().len())?;
    let size = x.shape().get(axis).copied().unwrap_or(0);
    let count = c.op.outputs.len();
    let parts = match c.ints_of("split", 1)? {
        Some(parts) => sizes(&parts)?,
        None => equal_parts(size, c.op.size("num_outputs")?.unwrap_or(count).min(count), c.op.version)?,
    };
    let total = parts.iter().try_fold(0usize, |n, &d| n.checked_add(d));
    if total != Some(size) || parts.len() != count {
        return refuse(format!("parts {parts:?} do not make {count} outputs of {x:?}"));
    }
    let mut start = 0;
    parts
        .into_iter()
        .map(|n| {
            let result = part(x, axis, start, n);
            start += n;
            result
        })
        .collect()
}

fn slice(c: &Operands<'_>) -> Result<Vec<Array>> {
    let x = c.array(0)?;
    let missing = |name: &str| Error::Op(format!("its {name} are missing"));
    let starts = c.ints_of("starts", 1)?.ok_or_else(|| missing("starts"))?;
    let ends = c.ints_of("ends", 2)?.ok_or_else(|| missing("ends"))?;
    let rank = x.shape().len();
    let axes = match c.ints_of("axes", 3)? {
        Some(axes) => axes.into_iter().map(|a| Ok(axis_of(a, rank)?)).collect::<Result<Vec<_>>>()?,
        None => (0..starts.len()).collect(),
    };
    let cuts = c.ints(4)?.unwrap_or_else(|| vec![1; starts.len()]);
    if ends.len() != starts.len() || axes.len() != starts.len() || cuts.len() != starts.len() {
        return refuse(format!("{} starts, but {} ends and {} axes", starts.len(), ends.len(), axes.len()));
    }
    let mut view = View { shape: x.shape().to_vec(), start: 0, strides: steps(x.shape()) };
    let mut seen = vec![false; rank];
    for (((start, end), axis), step) in starts.into_iter().zip(ends).zip(axes).zip(cuts) {
        let (Some(size), Some(stride), Some(seen)) =
            (view.shape.get_mut(axis), view.strides.get_mut(axis), seen.get_mut(axis))
        else {
            return refuse(format!("axis {axis} is beyond {x:?}"));
        };
        if std::mem::replace(seen, true) {
            return refuse(format!("axis {axis} is named twice"));
        }
        let (first, count) = slice_range(*size, start, end, step)?;
        *size = count;
        view.start = view.start.saturating_add(first.saturating_mul(stride.unsigned_abs()));
        *stride = stride.saturating_mul(isize::try_from(step).unwrap_or(isize::MAX));
        if count <= 1 {
            *stride = 0;
        }
    }
    Ok(vec![view.of(x)?])
}

#[cfg(test)]
mod tests {
    use occam_graph::onnx::{Attribute, Onnx};

    use super::*;
    use crate::evaluate;

    fn ints(v: &[i64]) -> Array {
        Array::from_i64([v.len()], v.to_vec()).unwrap()
    }

    #[test]
    fn slices_of_both_forms() {
        let x = ints(&[0, 1, 2, 3, 4]);
        let old = Onnx::new("Slice", 9, 1)
            .with("starts", Attribute::Ints(vec![-3]))
            .with("ends", Attribute::Ints(vec![i64::MAX]));
        assert_eq!(evaluate(&old, std::slice::from_ref(&x)).unwrap()[0].as_i64().unwrap(), [2, 3, 4]);
        let new = Onnx::new("Slice", 13, 5);
        let run = |start, end, step| {
            let all = [x.clone(), ints(&[start]), ints(&[end]), ints(&[0]), ints(&[step])];
            evaluate(&new, &all).map(|v| v[0].as_i64().unwrap().to_vec())
        };
        assert_eq!(run(-1, i64::MIN, -2).unwrap(), [4, 2, 0]);
        assert_eq!(run(3, 1, 1).unwrap(), [0i64; 0]);
        assert_eq!(run(0, i64::MAX, i64::MAX).unwrap(), [0]);
        assert_eq!(run(-1, i64::MIN, i64::MIN).unwrap(), [4]);
        assert!(run(0, 1, 0).is_err());
    }

    #[test]
    fn split_wants_all() {
        let x = ints(&[1, 2, 3]);
        let op = |version| Onnx { outputs: vec![true, true], ..Onnx::new("Split", version, 1) };
        assert!(evaluate(&op(13), std::slice::from_ref(&x)).is_err());
        let halves =
            evaluate(&op(18).with("num_outputs", Attribute::Int(2)), std::slice::from_ref(&x)).unwrap();
        assert_eq!(halves[1].as_i64().unwrap(), [3]);
        let wrong = op(11).with("split", Attribute::Ints(vec![1, 1]));
        assert!(evaluate(&wrong, &[x]).is_err());
    }
}

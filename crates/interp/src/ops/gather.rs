//! Elements at positions that other values give.

use occam_graph::onnx::axis_of;
use occam_graph::{Array, DType};

use super::shape::axis;
use super::{Eval, Operands};
use crate::error::refuse;
use crate::moves::{at, position, size};
use crate::numbers::{each_type, elements, to_f64};
use crate::view::{count, strides, walk};
use crate::{Error, Result};

pub(super) const TABLE: &[Eval] = &[
    Eval::new("Gather", gather),
    Eval::new("GatherElements", gather_elements),
    Eval::new("GatherND", gather_nd),
    Eval::new("Compress", compress),
    Eval::new("NonZero", non_zero),
    Eval::new("OneHot", one_hot),
];

/// The slices at `indices` of an axis of `x`, in a result of `shape`.
pub(crate) fn taken(x: &Array, axis: usize, indices: &[usize], shape: &[usize]) -> Result<Array> {
    let (before, rest) = x.shape().split_at(axis);
    let outer: usize = before.iter().product();
    let (size, inner) = match rest.split_first() {
        Some((n, after)) => (*n, after.iter().product::<usize>()),
        None => (1, 1),
    };
    let total = count(shape)?;
    each_type!(x, v => {
        let mut out = Vec::with_capacity(total);
        for o in 0..outer {
            for &i in indices {
                let from = (o * size + i) * inner;
                out.extend_from_slice(v.get(from..from + inner).unwrap_or_default());
            }
        }
        crate::numbers::array(shape, out)
    })
}

fn gather(c: &Operands<'_>) -> Result<Vec<Array>> {
    let (x, indices) = (c.array(0)?, c.array(1)?);
    let axis = axis(c, 0, x.shape().len())?;
    let (before, rest) = x.shape().split_at(axis);
    let size = rest.first().copied().unwrap_or(0);
    let all = c.ints(1)?.unwrap_or_default();
    let all = all.into_iter().map(|i| position(i, size)).collect::<Result<Vec<_>>>()?;
    let after = rest.get(1..).unwrap_or_default();
    let shape: Vec<usize> = before.iter().chain(indices.shape()).chain(after).copied().collect();
    Ok(vec![taken(x, axis, &all, &shape)?])
}

/// Row-major positions in a value of `shape` of elements whose place along `axis` is `indices`, which have shape `own`.
pub(super) fn element_positions(
    shape: &[usize],
    own: &[usize],
    axis: usize,
    indices: &[i64],
) -> Result<Vec<usize>> {
    let fits =
        shape.len() == own.len() && shape.iter().zip(own).enumerate().all(|(a, (n, m))| a == axis || m <= n);
    if !fits {
        return refuse(format!("positions of shape {own:?} do not fit {shape:?}"));
    }
    let mut steps = strides(shape);
    let Some(step) = steps.get_mut(axis) else { return refuse("a scalar has no positions") };
    let step = std::mem::replace(step, 0);
    let size = shape.get(axis).copied().unwrap_or(0);
    let mut all = Vec::with_capacity(indices.len());
    let mut left = indices.iter();
    let mut failed = None;
    walk(own, [&steps], |[base]| match left.next().map(|&i| position(i, size)) {
        Some(Ok(i)) => all.push(base + i * step),
        Some(Err(e)) => failed = failed.take().or(Some(e)),
        None => {}
    });
    failed.map_or(Ok(all), Err)
}

fn gather_elements(c: &Operands<'_>) -> Result<Vec<Array>> {
    let (x, indices) = (c.array(0)?, c.array(1)?);
    let axis = axis(c, 0, x.shape().len())?;
    let all = element_positions(x.shape(), indices.shape(), axis, &c.ints(1)?.unwrap_or_default())?;
    Ok(vec![at(x, indices.shape(), &all)?])
}

/// Of positions with several coordinates: where each slice starts in a value of `shape`, and how long slices are.
pub(super) fn slice_starts(
    shape: &[usize],
    own: &[usize],
    indices: &[i64],
    batch: usize,
) -> Result<(Vec<usize>, usize)> {
    let wrong = || Error::Op(format!("positions of shape {own:?} do not fit {shape:?}"));
    let (&depth, outer) = own.split_last().ok_or_else(wrong)?;
    let end =
        batch.checked_add(depth).filter(|&e| e <= shape.len() && batch <= outer.len()).ok_or_else(wrong)?;
    if depth == 0 || shape.get(..batch) != outer.get(..batch) {
        return Err(wrong());
    }
    let steps = strides(shape);
    let run: usize = shape.get(end..).unwrap_or_default().iter().product();
    let batches: usize = shape.iter().take(batch).product();
    let each = (indices.len() / depth).checked_div(batches).unwrap_or(0);
    let whole: usize = shape.get(batch..).unwrap_or_default().iter().product();
    let coordinates = || shape.iter().zip(&steps).skip(batch);
    let starts = indices.chunks(depth).enumerate().map(|(k, index)| {
        let first = k.checked_div(each).unwrap_or(0) * whole;
        index.iter().zip(coordinates()).try_fold(first, |s, (&i, (&n, &step))| Ok(s + position(i, n)? * step))
    });
    Ok((starts.collect::<Result<Vec<_>>>()?, run))
}

fn gather_nd(c: &Operands<'_>) -> Result<Vec<Array>> {
    let (x, indices) = (c.array(0)?, c.array(1)?);
    let batch = c.op.size("batch_dims")?.unwrap_or(0);
    let (starts, run) = slice_starts(x.shape(), indices.shape(), &c.ints(1)?.unwrap_or_default(), batch)?;
    let (&depth, outer) = indices.shape().split_last().unwrap_or((&0, &[]));
    let after = x.shape().get(batch + depth..).unwrap_or_default();
    let shape: Vec<usize> = outer.iter().chain(after).copied().collect();
    count(&shape)?;
    let all: Vec<usize> = starts.into_iter().flat_map(|s| s..s + run).collect();
    Ok(vec![at(x, &shape, &all)?])
}

fn compress(c: &Operands<'_>) -> Result<Vec<Array>> {
    let x = c.array(0)?;
    let keep = elements::<bool>(c.array(1)?)?;
    let (x, axis) = match c.op.int("axis")? {
        Some(axis) => (x.clone(), axis_of(axis, x.shape().len())?),
        None => (x.reshape([x.len()])?, 0),
    };
    let mut shape = x.shape().to_vec();
    let kept: Vec<usize> = keep.iter().enumerate().filter(|(_, k)| **k).map(|(i, _)| i).collect();
    let Some(d) = shape.get_mut(axis) else { return refuse("a scalar has no axes") };
    if let Some(beyond) = kept.last().filter(|&&i| i >= *d) {
        return refuse(format!("position {beyond} is beyond size {d}"));
    }
    *d = kept.len();
    Ok(vec![taken(&x, axis, &kept, &shape)?])
}

/// One row of coordinates an axis, row-major.
fn non_zero(c: &Operands<'_>) -> Result<Vec<Array>> {
    let x = c.array(0)?;
    let found: Vec<usize> = each_type!(x, v => v
        .iter()
        .enumerate()
        .filter(|(_, e)| crate::numbers::Element::to_f64(**e) != 0.0)
        .map(|(i, _)| i)
        .collect());
    let axes = strides(x.shape()).into_iter().zip(x.shape());
    let rows = axes.flat_map(|(step, &n)| found.iter().map(move |&i| ((i / step.max(1)) % n.max(1)) as i64));
    Ok(vec![Array::from_i64([x.shape().len(), found.len()], rows.collect())?])
}

fn one_hot(c: &Operands<'_>) -> Result<Vec<Array>> {
    let (indices, values) = (c.array(0)?, c.array(2)?);
    let depth = match to_f64(c.array(1)?).as_slice() {
        [depth] => size(*depth as i64)?,
        other => return refuse(format!("its depth must be one number, found {}", other.len())),
    };
    if values.len() != 2 || indices.dtype() == DType::Bool {
        return refuse(format!("takes numbers and two values, found {indices:?} and {values:?}"));
    }
    let mut shape = indices.shape().to_vec();
    let axis = axis(c, -1, shape.len() + 1)?;
    let inner: usize = shape.iter().skip(axis).product();
    shape.insert(axis, depth);
    let mut all = vec![0usize; count(&shape)?];
    let limit = depth as i64;
    for (k, x) in to_f64(indices).into_iter().enumerate() {
        let n = x as i64;
        // What is beyond the depth has no place.
        let place = if n < 0 { n.saturating_add(limit) } else { n };
        let Ok(place) = usize::try_from(place) else { continue };
        let (outer, at) = (k / inner.max(1), k % inner.max(1));
        if place < depth
            && let Some(on) = all.get_mut((outer * depth + place) * inner + at)
        {
            *on = 1;
        }
    }
    Ok(vec![at(values, &shape, &all)?])
}

#[cfg(test)]
mod tests {
    use occam_graph::onnx::{Attribute, Onnx};

    use super::*;
    use crate::evaluate;

    #[test]
    fn positions_are_checked() {
        let x = Array::from_i64([2, 2], vec![1, 2, 3, 4]).unwrap();
        let run = |i: i64| {
            let all = [x.clone(), Array::from_i64([1], vec![i]).unwrap()];
            evaluate(&Onnx::new("Gather", 13, 2).with("axis", Attribute::Int(1)), &all)
        };
        assert_eq!(run(-1).unwrap()[0].as_i64().unwrap(), [2, 4]);
        assert!(run(2).is_err());
        assert!(run(i64::MIN).is_err());
        let at = Array::from_i64([1, 2], vec![1, -2]).unwrap();
        let y = evaluate(&Onnx::new("GatherND", 13, 2), &[x.clone(), at]).unwrap();
        assert_eq!(y[0].as_i64().unwrap(), [3]);
        let deep = Array::from_i64([1, 3], vec![0, 0, 0]).unwrap();
        assert!(evaluate(&Onnx::new("GatherND", 13, 2), &[x, deep]).is_err());
    }
}

//! Reductions over axes.

use super::{Call, Run, axis_of, one};
use crate::{Operand, Result, Tensor};

pub(super) const TABLE: &[(&str, Run)] = &[
    ("CumSum", cumsum),
    ("ReduceL1", |c| reduce(c, |x, axes| sum(&x.abs()?, axes))),
    ("ReduceL2", |c| reduce(c, |x, axes| sum(&x.mul(x)?, axes)?.sqrt())),
    ("ReduceLogSum", |c| reduce(c, |x, axes| sum(x, axes)?.log())),
    ("ReduceLogSumExp", |c| {
        reduce(c, |x, axes| {
            let peak = each(&x.detach(), axes, Tensor::max_axis)?;
            sum(&x.sub(&peak)?.exp()?, axes)?.log()?.add(&peak)
        })
    }),
    ("ReduceMax", |c| reduce(c, |x, axes| each(x, axes, Tensor::max_axis))),
    ("ReduceMean", |c| reduce(c, |x, axes| each(x, axes, Tensor::mean_axis))),
    ("ReduceMin", |c| reduce(c, |x, axes| each(x, axes, Tensor::min_axis))),
    ("ReduceProd", |c| reduce(c, |x, axes| each(x, axes, product))),
    ("ReduceSum", |c| reduce(c, sum)),
    ("ReduceSumSquare", |c| reduce(c, |x, axes| sum(&x.mul(x)?, axes))),
];

/// One axis after the other.
fn each(x: &Tensor, axes: &[usize], f: impl Fn(&Tensor, usize) -> Result<Tensor>) -> Result<Tensor> {
    axes.iter().try_fold(x.clone(), |x, &axis| f(&x, axis))
}

/// Sum over axes, which keep size 1.
pub(super) fn sum(x: &Tensor, axes: &[usize]) -> Result<Tensor> {
    each(x, axes, Tensor::sum_axis)
}

/// Product of the slices of `axis`; its gradient is right where some are 0.
fn product(x: &Tensor, axis: usize) -> Result<Tensor> {
    let size = x.dim(axis)?;
    let mut result = x.narrow(axis, 0, size.min(1))?;
    for i in 1..size {
        result = result.mul(&x.narrow(axis, i, 1)?)?;
    }
    Ok(result)
}

/// The axes of a reduction; none where nothing is reduced.
fn axes(c: &Call<'_>, rank: usize) -> Result<Option<Vec<usize>>> {
    let axes = c.ints_of("axes", 1)?.unwrap_or_default();
    if axes.is_empty() {
        return Ok((!c.op.flag("noop_with_empty_axes")?).then(|| (0..rank).collect()));
    }
    let mut axes = axes.into_iter().map(|a| axis_of(a, rank)).collect::<Result<Vec<_>>>()?;
    axes.sort_unstable();
    axes.dedup();
    Ok(Some(axes))
}

fn reduce(c: &Call<'_>, f: impl Fn(&Tensor, &[usize]) -> Result<Tensor>) -> Result<Option<Vec<Operand>>> {
    let x = c.tensor(0)?;
    if x.is_empty() {
        return Ok(None);
    }
    let shape = x.shape();
    let axes = axes(c, shape.len())?.unwrap_or_default();
    let keep = c.op.int("keepdims")?.unwrap_or(1) != 0;
    let left = |(i, &d): (usize, &usize)| match (axes.contains(&i), keep) {
        (true, true) => Some(1),
        (true, false) => None,
        (false, _) => Some(d),
    };
    let wanted: Vec<usize> = shape.iter().enumerate().filter_map(left).collect();
    // A scalar is reduced as a vector of one.
    let x = if shape.is_empty() { x.reshape(&[1])? } else { x };
    one(f(&x, &axes)?.reshape(&wanted)?)
}

fn cumsum(c: &Call<'_>) -> Result<Option<Vec<Operand>>> {
    let x = c.tensor(0)?;
    let Some(&[axis]) = c.ints(1)?.as_deref() else { return Ok(None) };
    let axis = axis_of(axis, x.rank())?;
    let (exclusive, reverse) = (c.op.flag("exclusive")?, c.op.flag("reverse")?);
    if !exclusive && !reverse {
        return one(x.cumsum(axis)?);
    }
    let n = x.dim(axis)?;
    let counts = |i: usize, j: usize| {
        let (before, same) = if reverse { (i > j, i == j) } else { (i < j, i == j) };
        if before || (same && !exclusive) { 1.0 } else { 0.0 }
    };
    let matrix = (0..n).flat_map(|i| (0..n).map(move |j| counts(i, j))).collect();
    one(x.along(axis, matrix, n)?)
}

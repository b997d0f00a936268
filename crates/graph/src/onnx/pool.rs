//! Poolings.

use super::window::{Window, sizes};
use super::{Def, Site};
use crate::axes::{input, output};
use crate::{AxisMap, DType, Dim, Error, Fact, Inferred, Result};

pub(super) const TABLE: &[Def] = &[
    Def::new("MaxPool", |s| pool(s, &[Some(DType::I64)])).axes(channels),
    Def::new("AveragePool", |s| pool(s, &[])).axes(channels),
    Def::new("LpPool", |s| pool(s, &[])).axes(channels),
    Def::new("GlobalAveragePool", global).axes(channels),
    Def::new("GlobalMaxPool", global).axes(channels),
    Def::new("GlobalLpPool", global).axes(channels),
    Def::new("MaxUnpool", unpool).axes(channels),
];

fn split<'a>(site: &Site<'a>) -> Result<(&'a Fact, &'a [Dim], &'a [Dim])> {
    let x = site.fact(0)?;
    match x.shape.split_at_checked(2) {
        Some((outer, spatial)) if !spatial.is_empty() => Ok((x, outer, spatial)),
        _ => Err(Error::Op(format!("the input must have rank 3 or more, found {x}"))),
    }
}

/// `[N, C, D..]` gives `[N, C, P..]`, `P` the positions of the window; further outputs have the same shape.
fn pool(site: &Site<'_>, more: &[Option<DType>]) -> Result<Vec<Inferred>> {
    let (x, outer, spatial) = split(site)?;
    let window = Window::of_pool(site.op, spatial.len())?;
    let shape: Vec<Dim> = outer.iter().cloned().chain(window.outputs(site, spatial)?).collect();
    let types = std::iter::once(x.dtype).chain(more.iter().map(|t| t.unwrap_or(x.dtype)));
    Ok(types.map(|t| Inferred::new(t, shape.clone())).collect())
}

/// Every spatial axis becomes 1.
fn global(site: &Site<'_>) -> Result<Vec<Inferred>> {
    let (x, outer, spatial) = split(site)?;
    let shape = outer.iter().cloned().chain(spatial.iter().map(|_| Dim::Known(1)));
    Ok(vec![Inferred::new(x.dtype, shape)])
}

/// `[N, C, P..]` gives what operand 2 says, or `(P − 1) · stride − before − after + kernel`.
fn unpool(site: &Site<'_>) -> Result<Vec<Inferred>> {
    let (x, outer, spatial) = split(site)?;
    let rank = spatial.len();
    let given = site.get(2).map(|k| k.ints());
    if let Some(given) = given {
        let at = |i: usize| given.as_ref().and_then(|g| g.get(i)).and_then(|&n| usize::try_from(n).ok());
        let shape = (0..rank + 2).map(|i| at(i).map_or_else(|| site.unknown(format!("axis{i}")), Dim::Known));
        return Ok(vec![Inferred::new(x.dtype, shape)]);
    }
    let window = Window::of_pool(site.op, rank)?;
    let strides = sizes(site.op, "strides", rank, 1, 1)?;
    let mut shape = outer.to_vec();
    for (i, (d, &stride)) in spatial.iter().zip(&strides).enumerate() {
        let (before, after) = window.given(i);
        let kernel = window.kernel.get(i).copied().unwrap_or(1);
        shape.push(d.times(&Dim::Known(stride))?.offset(kernel as i64 - (stride + before + after) as i64)?);
    }
    Ok(vec![Inferred::new(x.dtype, shape)])
}

fn channels(_: &Site<'_>, outputs: &[&Fact]) -> AxisMap {
    (0..outputs.len())
        .fold(AxisMap::default(), |m, o| m.same(input(0, 0), output(o, 0)).same(input(0, 1), output(o, 1)))
}

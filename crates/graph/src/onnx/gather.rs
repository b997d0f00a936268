//! Elements at positions that other values give.

use super::contents::picked;
use super::{Def, NarrowUse, Site, axis_of};
use crate::axes::{input, output};
use crate::{AxisMap, DType, Dim, Error, Fact, Inferred, Result};

pub(super) const TABLE: &[Def] = &[
    Def::new("Gather", gather).axes(gather_axes).narrow(NarrowUse::Moved),
    Def::new("GatherElements", gather_elements).axes(elements_axes).narrow(NarrowUse::Moved),
    Def::new("GatherND", gather_nd).narrow(NarrowUse::Moved),
    Def::new("Compress", compress).narrow(NarrowUse::Moved),
    Def::new("NonZero", non_zero),
    Def::new("OneHot", one_hot),
];

/// Refuses positions that are no integers.
pub(super) fn positions<'a>(site: &Site<'a>, index: usize) -> Result<&'a Fact> {
    let fact = site.fact(index)?;
    if fact.dtype.is_integer() {
        Ok(fact)
    } else {
        Err(Error::Op(format!("positions must be integers, found {fact}")))
    }
}

fn gather(site: &Site<'_>) -> Result<Vec<Inferred>> {
    let x = site.known(0)?;
    let at = positions(site, 1)?;
    let axis = axis_of(site.op.int("axis")?.unwrap_or(0), x.fact.rank())?;
    let (before, rest) = x.fact.shape.split_at(axis);
    let after = rest.get(1..).unwrap_or_default();
    let dims: Vec<Dim> = before.iter().chain(&at.shape).chain(after).cloned().collect();
    let size = rest.first().and_then(Dim::known);
    let indices = site.known(1)?.ints();
    let content = match (size, indices) {
        (Some(n), Some(indices)) if x.content.is_some() => {
            let indices = indices.iter().map(|&i| axis_of(i, n)).collect::<Result<Vec<_>>>();
            let indices =
                indices.map_err(|_| Error::Op(format!("a position is beyond size {n} of axis {axis}")))?;
            // What is known of shapes is a list; of other values nothing is followed.
            if x.fact.rank() == 1 { picked(&x, &dims, indices) } else { None }
        }
        _ => None,
    };
    Ok(vec![Inferred::from(Fact { dtype: x.fact.dtype, shape: dims }).with(content)])
}

/// All axes but the gathered one pass through.
fn gather_axes(site: &Site<'_>, _: &[&Fact]) -> AxisMap {
    let (Some(x), Some(at)) = (site.get(0), site.get(1)) else { return AxisMap::default() };
    let rank = x.fact.rank();
    let Ok(axis) = site.op.int("axis").and_then(|a| axis_of(a.unwrap_or(0), rank)) else {
        return AxisMap::default();
    };
    let map = (0..axis).fold(AxisMap::default(), |m, i| m.same(input(0, i), output(0, i)));
    let shift = at.fact.rank();
    (axis + 1..rank).fold(map, |m, i| m.same(input(0, i), output(0, i + shift - 1)))
}

fn gather_elements(site: &Site<'_>) -> Result<Vec<Inferred>> {
    let (x, at) = (site.fact(0)?, positions(site, 1)?);
    axis_of(site.op.int("axis")?.unwrap_or(0), x.rank())?;
    if at.rank() != x.rank() {
        return Err(Error::Op(format!("positions {at} have not the axes of {x}")));
    }
    Ok(vec![Inferred::new(x.dtype, at.shape.iter().cloned())])
}

/// All axes but the gathered one pass through where as many positions are taken of them; on that one each position is an
/// element of the result.
fn elements_axes(site: &Site<'_>, _: &[&Fact]) -> AxisMap {
    let (Some(x), Some(at)) = (site.get(0), site.get(1)) else { return AxisMap::default() };
    let Ok(axis) = site.op.int("axis").and_then(|a| axis_of(a.unwrap_or(0), x.fact.rank())) else {
        return AxisMap::default();
    };
    x.fact.shape.iter().zip(&at.fact.shape).enumerate().fold(AxisMap::default(), |map, (i, (own, at))| {
        if i == axis {
            map.same(input(1, i), output(0, i))
        } else if own == at {
            map.same(input(0, i), output(0, i)).same(input(1, i), output(0, i))
        } else {
            map
        }
    })
}

fn gather_nd(site: &Site<'_>) -> Result<Vec<Inferred>> {
    let (x, at) = (site.fact(0)?, positions(site, 1)?);
    let batch = site.op.size("batch_dims")?.unwrap_or(0);
    let Some((depth, outer)) = at.shape.split_last() else {
        return Err(Error::Op(format!("positions need an axis, found {at}")));
    };
    let Some(depth) = depth.known() else {
        return Err(Error::Op(format!(
            "the last size of positions {at} must be known; others are not supported"
        )));
    };
    let after = batch.checked_add(depth).and_then(|n| x.shape.get(n..));
    let Some(after) = after.filter(|_| batch <= outer.len() && depth > 0) else {
        return Err(Error::Op(format!("positions {at} with {batch} batch axes do not fit {x}")));
    };
    Ok(vec![Inferred::new(x.dtype, outer.iter().chain(after).cloned())])
}

fn compress(site: &Site<'_>) -> Result<Vec<Inferred>> {
    let (x, keep) = (site.fact(0)?, site.fact(1)?);
    if keep.dtype != DType::Bool || keep.rank() != 1 {
        return Err(Error::Op(format!("its condition must be a list of truth values, found {keep}")));
    }
    let Some(axis) = site.op.int("axis")? else { return Ok(vec![Inferred::new(x.dtype, [site.unknown(0)])]) };
    let mut out = x.clone();
    if let Some(d) = out.shape.get_mut(axis_of(axis, x.rank())?) {
        *d = site.unknown(0);
    }
    Ok(vec![out.into()])
}

fn non_zero(site: &Site<'_>) -> Result<Vec<Inferred>> {
    let rank = site.fact(0)?.rank();
    Ok(vec![Inferred::new(DType::I64, [Dim::Known(rank), site.unknown(0)])])
}

fn one_hot(site: &Site<'_>) -> Result<Vec<Inferred>> {
    let (at, values) = (site.fact(0)?, site.fact(2)?);
    let rank = at.rank() + 1;
    let axis = axis_of(site.op.int("axis")?.unwrap_or(-1), rank)?;
    let depth = site.known(1)?.sizes().and_then(|s| s.first().and_then(crate::Size::dim));
    let mut dims = at.shape.clone();
    dims.insert(axis, depth.unwrap_or_else(|| site.unknown(0)));
    Ok(vec![Inferred::new(values.dtype, dims)])
}

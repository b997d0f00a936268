//! Values made from sizes alone.

use super::contents::{self, is_small};
use super::shape::length;
use super::{Def, Site};
use crate::axes::output;
use crate::{Array, AxisMap, DType, Data, Dim, Error, Fact, Inferred, Result, Size};

pub(super) const TABLE: &[Def] = &[
    Def::new("ConstantOfShape", constant).axes(equal_axes),
    Def::new("Range", range),
    Def::new("EyeLike", eye),
];

/// All elements are equal: any may go.
fn equal_axes(_: &Site<'_>, outputs: &[&Fact]) -> AxisMap {
    let rank = outputs.first().map_or(0, |y| y.rank());
    (0..rank).fold(AxisMap::default(), |m, i| m.size(output(0, i)))
}

fn constant(site: &Site<'_>) -> Result<Vec<Inferred>> {
    let target = site.known(0)?;
    let value = site.op.tensor("value")?;
    if let Some(value) = value.filter(|v| v.len() != 1) {
        return Err(Error::Op(format!("its value must be one element, found {value:?}")));
    }
    let rank = length(&target, "the shape")?;
    let sizes = target.sizes().unwrap_or_else(|| vec![Size::Unknown; rank]);
    let mut dims = Vec::with_capacity(rank);
    for (i, s) in sizes.iter().enumerate() {
        if let Some(n) = s.known().filter(|&n| n < 0) {
            return Err(Error::Op(format!("size {n} is negative")));
        }
        dims.push(s.dim().unwrap_or_else(|| site.unknown(i)));
    }
    let dtype = value.map_or(DType::F32, Array::dtype);
    let only = value.and_then(|v| match v.data() {
        Data::I64(v) => v.first().copied(),
        Data::I32(v) => v.first().map(|&n| n.into()),
        _ => None,
    });
    let shape: Option<Vec<usize>> = dims.iter().map(Dim::known).collect();
    let content = only.zip(shape).and_then(|(n, shape)| {
        let count =
            shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).filter(|&n| n <= contents::MOST)?;
        contents::of(dtype, &shape, vec![Size::Int(n); count])
    });
    Ok(vec![Inferred::from(Fact { dtype, shape: dims }).with(content)])
}

fn range(site: &Site<'_>) -> Result<Vec<Inferred>> {
    let (start, limit, delta) = (site.known(0)?, site.known(1)?, site.known(2)?);
    let dtype = start.fact.dtype;
    if limit.fact.dtype != dtype || delta.fact.dtype != dtype || dtype == DType::Bool {
        let facts = [start.fact, limit.fact, delta.fact].map(ToString::to_string);
        return Err(Error::Op(format!("takes three numbers of one type, found {}", facts.join(", "))));
    }
    let only = |k: crate::Known<'_>| k.sizes().and_then(|s| s.into_iter().next());
    let (Some(Size::Int(from)), Some(to), Some(Size::Int(step))) = (only(start), only(limit), only(delta))
    else {
        return Ok(vec![Inferred::new(dtype, [site.unknown(0)])]);
    };
    if step == 0 {
        return Err(Error::Op("its step is 0".into()));
    }
    let size = match (&to, usize::try_from(step)) {
        (Size::Int(to), _) => {
            let span = if step > 0 { to.checked_sub(from) } else { from.checked_sub(*to) };
            let span = span.ok_or_else(|| Error::Op(format!("{from}..{to} is too long")))?;
            let count = u64::try_from(span).unwrap_or(0).div_ceil(step.unsigned_abs());
            Dim::Known(usize::try_from(count).map_err(|_| Error::Op(format!("{from}..{to} is too long")))?)
        }
        // A size is at least 0, and an expression that would be below has no value.
        (Size::Dim(to), Ok(step)) if from <= 0 => match from.checked_neg() {
            Some(offset) => to.offset(offset)?.ceil_div(step)?,
            None => site.unknown(0),
        },
        _ => site.unknown(0),
    };
    let size = if is_small(&size) { size } else { site.unknown(0) };
    let content = size.known().filter(|&n| n <= contents::MOST).and_then(|n| {
        let all = (0..n).map(|i| i64::try_from(i).ok()?.checked_mul(step)?.checked_add(from).map(Size::Int));
        contents::of(dtype, &[n], all.collect::<Option<Vec<_>>>()?)
    });
    Ok(vec![Inferred::new(dtype, [size]).with(content)])
}

fn eye(site: &Site<'_>) -> Result<Vec<Inferred>> {
    let x = site.fact(0)?;
    if x.rank() != 2 {
        return Err(Error::Op(format!("takes a matrix, found {x}")));
    }
    Ok(vec![Inferred::new(site.op.dtype("dtype")?.unwrap_or(x.dtype), x.shape.iter().cloned())])
}

//! The largest elements, and those that differ.

use super::{Def, Site, axis_of};
use crate::{DType, Dim, Error, Fact, Inferred, Result, Size};

pub(super) const TABLE: &[Def] = &[Def::new("TopK", top_k), Def::new("Unique", unique)];

fn top_k(site: &Site<'_>) -> Result<Vec<Inferred>> {
    let x = site.fact(0)?;
    let axis = axis_of(site.op.int("axis")?.unwrap_or(-1), x.rank())?;
    let k = match site.op.int("k")? {
        Some(k) => Some(Size::Int(k)),
        None => site.known(1)?.sizes().and_then(|s| s.into_iter().next()),
    };
    if let Some(n) = k.as_ref().and_then(Size::known).filter(|&n| n < 0) {
        return Err(Error::Op(format!("it asks for {n} elements")));
    }
    let mut shape = x.shape.clone();
    if let Some(d) = shape.get_mut(axis) {
        let k = k.as_ref().and_then(Size::dim).unwrap_or_else(|| site.unknown(axis));
        if let (Some(k), Some(n)) = (k.known(), d.known())
            && k > n
        {
            return Err(Error::Op(format!("it asks for {k} of {n} elements")));
        }
        *d = k;
    }
    Ok(vec![Fact { dtype: x.dtype, shape: shape.clone() }.into(), Inferred::new(DType::I64, shape)])
}

fn unique(site: &Site<'_>) -> Result<Vec<Inferred>> {
    let x = site.fact(0)?;
    let found = site.unknown("found");
    let (shape, all) = match site.op.int("axis")? {
        None => (vec![found.clone()], x.shape.iter().try_fold(Dim::Known(1), |n, d| n.times(d))?),
        Some(axis) => {
            let axis = axis_of(axis, x.rank())?;
            let mut shape = x.shape.clone();
            let all = shape.get_mut(axis).map(|d| std::mem::replace(d, found.clone()));
            (shape, all.unwrap_or(Dim::Known(0)))
        }
    };
    let all = if super::contents::is_small(&all) { all } else { site.unknown("all") };
    let count = |d: &Dim| Inferred::new(DType::I64, [d.clone()]);
    Ok(vec![Inferred::new(x.dtype, shape), count(&found), count(&all), count(&found)])
}

//! Functions of any number of values that broadcast.

use super::{Def, Site, broadcast, contents, sizes};
use crate::content::Size;
use crate::{DType, Error, Inferred, Result};

pub(super) const TABLE: &[Def] = &[
    Def::new("Min", |s| all(s, |d| d != DType::Bool, Some(sizes::min))).axes(broadcast::axes),
    Def::new("Max", |s| all(s, |d| d != DType::Bool, Some(sizes::max))).axes(broadcast::axes),
    Def::new("Sum", |s| all(s, DType::is_float, None)).axes(broadcast::axes),
    Def::new("Mean", |s| all(s, DType::is_float, None)).axes(broadcast::axes),
];

fn all(
    site: &Site<'_>,
    takes: fn(DType) -> bool,
    f: Option<fn(&Size, &Size) -> Size>,
) -> Result<Vec<Inferred>> {
    let dtype = site.fact(0)?.dtype;
    if !takes(dtype) {
        return Err(Error::Op(format!("does not take {dtype}")));
    }
    if let Some(other) = broadcast::facts(site).iter().find(|f| f.dtype != dtype) {
        return Err(Error::Op(format!("takes operands of one type, found {dtype} and {other}")));
    }
    let operands: Vec<_> = site.inputs.iter().flatten().copied().collect();
    let content = f.and_then(|f| {
        let (shape, operands) = broadcast::sizes(&operands)?;
        let mut operands = operands.into_iter();
        let first = operands.next()?;
        let all = operands.fold(first, |a, b| a.iter().zip(&b).map(|(a, b)| f(a, b)).collect());
        contents::of(dtype, &shape, all)
    });
    Ok(vec![broadcast::all(site, dtype)?.with(content)])
}

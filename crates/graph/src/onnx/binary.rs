//! Arithmetic, comparisons and logic of two values that broadcast.

use std::cmp::Ordering;

use super::{Def, Site, broadcast, sizes};
use crate::content::{Content, Size};
use crate::{Array, DType, Data, Error, Inferred, Result};

pub(super) const TABLE: &[Def] = &[
    Def::new("Add", |s| arithmetic(s, sizes::add)).axes(broadcast::axes),
    Def::new("Sub", |s| arithmetic(s, sizes::sub)).axes(broadcast::axes),
    Def::new("Mul", |s| arithmetic(s, sizes::mul)).axes(broadcast::axes),
    Def::new("Div", |s| arithmetic(s, sizes::div)).axes(broadcast::axes),
    Def::new("Mod", modulo).axes(broadcast::axes),
    Def::new("Pow", power).axes(broadcast::axes),
    Def::new("And", |s| logic(s, |d| d == DType::Bool, "truth values")).axes(broadcast::axes),
    Def::new("Or", |s| logic(s, |d| d == DType::Bool, "truth values")).axes(broadcast::axes),
    Def::new("Xor", |s| logic(s, |d| d == DType::Bool, "truth values")).axes(broadcast::axes),
    Def::new("BitwiseAnd", |s| logic(s, DType::is_integer, "integers")).axes(broadcast::axes),
    Def::new("BitwiseOr", |s| logic(s, DType::is_integer, "integers")).axes(broadcast::axes),
    Def::new("BitwiseXor", |s| logic(s, DType::is_integer, "integers")).axes(broadcast::axes),
    Def::new("BitShift", |s| {
        logic(s, |d| matches!(d, DType::U8 | DType::U16 | DType::U32 | DType::U64), "unsigned integers")
    })
    .axes(broadcast::axes),
    Def::new("Equal", |s| comparison(s, |_| true, Ordering::is_eq)).axes(broadcast::axes),
    Def::new("Less", |s| comparison(s, numbers, Ordering::is_lt)).axes(broadcast::axes),
    Def::new("LessOrEqual", |s| comparison(s, numbers, Ordering::is_le)).axes(broadcast::axes),
    Def::new("Greater", |s| comparison(s, numbers, Ordering::is_gt)).axes(broadcast::axes),
    Def::new("GreaterOrEqual", |s| comparison(s, numbers, Ordering::is_ge)).axes(broadcast::axes),
];

fn numbers(dtype: DType) -> bool {
    dtype != DType::Bool
}

/// The type of both operands.
fn same(site: &Site<'_>, takes: fn(DType) -> bool, what: &str) -> Result<DType> {
    let (a, b) = (site.fact(0)?, site.fact(1)?);
    if a.dtype != b.dtype || !takes(a.dtype) {
        return Err(Error::Op(format!("takes {what} of one type, found {a} and {b}")));
    }
    Ok(a.dtype)
}

/// Numbers in, the same type out; elements that are sizes become `f` of them.
fn arithmetic(site: &Site<'_>, f: fn(&Size, &Size) -> Size) -> Result<Vec<Inferred>> {
    let dtype = same(site, numbers, "numbers")?;
    let known = broadcast::sizes(&[site.known(0)?, site.known(1)?]);
    let content = known.and_then(|(shape, operands)| {
        let [a, b] = operands.as_slice() else { return None };
        sizes::content(dtype, shape, a.iter().zip(b).map(|(a, b)| f(a, b)).collect())
    });
    Ok(vec![broadcast::all(site, dtype)?.with(content)])
}

/// Without `fmod` floats have no remainder.
fn modulo(site: &Site<'_>) -> Result<Vec<Inferred>> {
    let dtype = same(site, numbers, "numbers")?;
    if dtype.is_float() && !site.op.flag("fmod")? {
        return Err(Error::Op("`fmod` must be 1 for floats".into()));
    }
    Ok(vec![broadcast::all(site, dtype)?])
}

/// Base and exponent may be of different types; the result has the base's.
fn power(site: &Site<'_>) -> Result<Vec<Inferred>> {
    let (a, b) = (site.fact(0)?, site.fact(1)?);
    if !numbers(a.dtype) || !numbers(b.dtype) {
        return Err(Error::Op(format!("takes numbers, found {a} and {b}")));
    }
    Ok(vec![broadcast::all(site, a.dtype)?])
}

fn logic(site: &Site<'_>, takes: fn(DType) -> bool, what: &str) -> Result<Vec<Inferred>> {
    let dtype = same(site, takes, what)?;
    Ok(vec![broadcast::all(site, dtype)?])
}

/// Truth out; known where symbols do not matter.
fn comparison(site: &Site<'_>, takes: fn(DType) -> bool, f: fn(Ordering) -> bool) -> Result<Vec<Inferred>> {
    same(site, takes, "values")?;
    let known = broadcast::sizes(&[site.known(0)?, site.known(1)?]);
    let content = known.and_then(|(shape, operands)| {
        let [a, b] = operands.as_slice() else { return None };
        let truth: Option<Vec<bool>> = a.iter().zip(b).map(|(a, b)| sizes::compare(a, b).map(f)).collect();
        Array::new(shape, Data::Bool(truth?)).ok().map(Content::Array)
    });
    Ok(vec![broadcast::all(site, DType::Bool)?.with(content)])
}

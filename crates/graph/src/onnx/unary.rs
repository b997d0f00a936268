//! Functions of one value, element by element.

use super::{Def, NarrowUse, Site, contents, elementwise};
use crate::content::Size;
use crate::{DType, Error, Fact, Inferred, Result};

pub(super) const TABLE: &[Def] = &[
    Def::new("Abs", |s| sized(s, |n| if n.known().is_none_or(|n| n >= 0) { n.clone() } else { negative(n) }))
        .axes(elementwise),
    Def::new("Neg", |s| sized(s, negative)).axes(elementwise),
    Def::new("Sign", numeric).axes(elementwise),
    Def::new("Ceil", float).axes(elementwise),
    Def::new("Floor", float).axes(elementwise),
    Def::new("Round", float).axes(elementwise),
    Def::new("Reciprocal", float).axes(elementwise),
    Def::new("Sqrt", float).axes(elementwise),
    Def::new("Exp", float).axes(elementwise),
    Def::new("Log", float).axes(elementwise),
    Def::new("Erf", numeric).axes(elementwise),
    Def::new("Sin", float).axes(elementwise),
    Def::new("Cos", float).axes(elementwise),
    Def::new("Tan", float).axes(elementwise),
    Def::new("Asin", float).axes(elementwise),
    Def::new("Acos", float).axes(elementwise),
    Def::new("Atan", float).axes(elementwise),
    Def::new("Sinh", float).axes(elementwise),
    Def::new("Cosh", float).axes(elementwise),
    Def::new("Tanh", float).axes(elementwise),
    Def::new("Asinh", float).axes(elementwise),
    Def::new("Acosh", float).axes(elementwise),
    Def::new("Atanh", float).axes(elementwise),
    Def::new("IsNaN", test).axes(elementwise),
    Def::new("IsInf", test).axes(elementwise),
    Def::new("Not", logical).axes(elementwise),
    Def::new("BitwiseNot", integer).axes(elementwise),
    Def::new("Identity", |s| {
        let x = s.known(0)?;
        Ok(vec![Inferred { fact: x.fact.clone(), content: x.content.cloned() }])
    })
    .axes(elementwise)
    .narrow(NarrowUse::Known),
];

/// `-n`
fn negative(n: &Size) -> Size {
    contents::difference(&Size::Int(0), n)
}

/// Any number in, the same type out.
pub(super) fn numeric(site: &Site<'_>) -> Result<Vec<Inferred>> {
    same(site, |d| d != DType::Bool, "numbers")
}

/// A float in, the same type out.
pub(super) fn float(site: &Site<'_>) -> Result<Vec<Inferred>> {
    same(site, DType::is_float, "floats")
}

fn integer(site: &Site<'_>) -> Result<Vec<Inferred>> {
    same(site, DType::is_integer, "integers")
}

fn logical(site: &Site<'_>) -> Result<Vec<Inferred>> {
    same(site, |d| d == DType::Bool, "truth values")
}

fn same(site: &Site<'_>, takes: fn(DType) -> bool, what: &str) -> Result<Vec<Inferred>> {
    let x = site.fact(0)?;
    if !takes(x.dtype) {
        return Err(Error::Op(format!("takes {what}, found {x}")));
    }
    Ok(vec![x.clone().into()])
}

/// Any number in, the same type out; elements that are sizes become `f` of them.
fn sized(site: &Site<'_>, f: fn(&Size) -> Size) -> Result<Vec<Inferred>> {
    let mut out = numeric(site)?;
    let x = site.known(0)?;
    if let (Some(out), Some(elements), Some(content)) = (out.first_mut(), x.sizes(), x.content) {
        out.content = contents::of(x.fact.dtype, content.shape(), elements.iter().map(f).collect());
    }
    Ok(out)
}

/// A float in, truth out.
fn test(site: &Site<'_>) -> Result<Vec<Inferred>> {
    float(site)?;
    Ok(vec![Fact { dtype: DType::Bool, shape: site.fact(0)?.shape.clone() }.into()])
}

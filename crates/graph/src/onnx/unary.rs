//! Functions of one value, element by element.

use super::{Def, Site, elementwise};
use crate::{DType, Error, Inferred, Result};

pub(super) const TABLE: &[Def] = &[
    Def::new("Abs", numeric).axes(elementwise),
    Def::new("Neg", numeric).axes(elementwise),
    Def::new("Exp", float).axes(elementwise),
    Def::new("Not", logical).axes(elementwise),
];

/// Any number in, the same type out.
fn numeric(site: &Site<'_>) -> Result<Vec<Inferred>> {
    let x = site.fact(0)?;
    if x.dtype == DType::Bool {
        return Err(Error::Op(format!("takes numbers, found {x}")));
    }
    Ok(vec![x.clone().into()])
}

/// A float in, the same type out.
fn float(site: &Site<'_>) -> Result<Vec<Inferred>> {
    let x = site.fact(0)?;
    if !x.dtype.is_float() {
        return Err(Error::Op(format!("takes floats, found {x}")));
    }
    Ok(vec![x.clone().into()])
}

fn logical(site: &Site<'_>) -> Result<Vec<Inferred>> {
    let x = site.fact(0)?;
    if x.dtype != DType::Bool {
        return Err(Error::Op(format!("takes truth values, found {x}")));
    }
    Ok(vec![x.clone().into()])
}

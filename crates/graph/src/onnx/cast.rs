//! Changing the element type.

use super::{Def, NarrowUse, Site, contents, elementwise};
use crate::{DType, Error, Fact, Inferred, Result};

pub(super) const TABLE: &[Def] = &[
    Def::new("Cast", |s| {
        let to = s.op.dtype("to")?.ok_or_else(|| Error::Op("attribute `to` is missing".into()))?;
        cast(s, to)
    })
    .axes(elementwise)
    .narrow(NarrowUse::Known),
    Def::new("CastLike", |s| cast(s, s.fact(1)?.dtype)).axes(elementwise).narrow(NarrowUse::Known),
];

fn cast(site: &Site<'_>, to: DType) -> Result<Vec<Inferred>> {
    let x = site.known(0)?;
    let fact = Fact { dtype: to, shape: x.fact.shape.clone() };
    let content = match x.content {
        Some(content) if x.fact.dtype == to => Some(content.clone()),
        Some(content) => x.sizes().and_then(|s| contents::of(to, content.shape(), s)),
        None => None,
    };
    Ok(vec![Inferred { fact, content }])
}

//! Dropout, as it is when a model is used.

use super::unary::float;
use super::{Def, Site, elementwise};
use crate::{DType, Data, Error, Fact, Inferred, Result};

pub(super) const TABLE: &[Def] = &[Def::new("Dropout", dropout).axes(elementwise)];

/// The values themselves, and that none was dropped: truth values since version 10, numbers before.
fn dropout(site: &Site<'_>) -> Result<Vec<Inferred>> {
    let x = site.fact(0)?;
    let (given, mode) = (site.get(1), site.get(2));
    let training = mode.as_ref().and_then(|k| match k.array()?.data() {
        Data::Bool(v) => v.first().copied(),
        _ => None,
    });
    let ratio = match &given {
        None => Some(0.5),
        Some(k) => match k.array() {
            Some(a) => a.to_f32()?.as_f32()?.first().copied(),
            None => None,
        },
    };
    if training == Some(true) && ratio.is_some_and(|r| r != 0.0) {
        return Err(Error::Op("dropping values (`training_mode`) is not supported".into()));
    }
    let mut out = float(site)?;
    let dtype = if site.op.version < 10 { x.dtype } else { DType::Bool };
    out.push(Fact { dtype, shape: x.shape.clone() }.into());
    Ok(out)
}

//! Window functions of signal processing.

use super::{Def, Site};
use crate::{DType, Error, Inferred, Result};

pub(super) const TABLE: &[Def] =
    &[Def::new("HannWindow", window), Def::new("HammingWindow", window), Def::new("BlackmanWindow", window)];

/// The operand is the window's length.
fn window(site: &Site<'_>) -> Result<Vec<Inferred>> {
    let size = site.known(0)?;
    if !size.fact.dtype.is_integer() {
        return Err(Error::Op(format!("takes an integer length, found {}", size.fact)));
    }
    let length = match size.sizes().as_deref() {
        Some([n]) => n.dim(),
        _ => None,
    };
    let dtype = site.op.dtype("output_datatype")?.unwrap_or(DType::F32);
    Ok(vec![Inferred::new(dtype, [length.unwrap_or_else(|| site.unknown("length"))])])
}

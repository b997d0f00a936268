//! Softmax and its relatives.

use super::unary::float;
use super::{Def, Site, elementwise};
use crate::{Inferred, Result};

pub(super) const TABLE: &[Def] = &[
    Def::new("Softmax", along).axes(elementwise),
    Def::new("LogSoftmax", along).axes(elementwise),
    Def::new("Hardmax", along).axes(elementwise),
];

/// Before version 13 all axes from `axis` on are one, by default from 1; since then `axis` is one, by default the last.
fn along(site: &Site<'_>) -> Result<Vec<Inferred>> {
    let rank = site.fact(0)?.rank();
    let old = site.op.version < 13;
    let axis = site.op.int("axis")?.unwrap_or(if old { 1 } else { -1 });
    if !(old && usize::try_from(axis) == Ok(rank)) && rank > 0 {
        site.axis(axis, rank)?;
    }
    float(site)
}

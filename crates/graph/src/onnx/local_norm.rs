//! Normalizations by the size of the elements.

use super::norm::channels;
use super::unary::float;
use super::{Def, Site, elementwise};
use crate::axes::input;
use crate::{Error, Inferred, Result};

pub(super) const TABLE: &[Def] = &[
    Def::new("LpNormalization", lp).axes(elementwise),
    Def::new("LRN", |s| {
        if s.op.size("size")?.unwrap_or(0) == 0 {
            return Err(Error::Op("attribute `size` must be 1 or more".into()));
        }
        channels(s)?;
        float(s)
    })
    // Others become neighbours where a channel goes.
    .axes(|s, outputs| elementwise(s, outputs).statistic(input(0, 1))),
];

fn lp(site: &Site<'_>) -> Result<Vec<Inferred>> {
    if !matches!(site.op.int("p")?, None | Some(1 | 2)) {
        return Err(Error::Op("`p` must be 1 or 2".into()));
    }
    site.axis(site.op.int("axis")?.unwrap_or(-1), site.fact(0)?.rank())?;
    float(site)
}

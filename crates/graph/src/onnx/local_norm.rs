//! Normalizations by the size of the elements.

use super::norm::channels;
use super::unary::float;
use super::{Def, Site, elementwise};
use crate::axes::input;
use crate::{Error, Inferred, Result};

pub(super) const TABLE: &[Def] = &[
    // What an activation makes of a channel that is 0 is in the norm of all.
    Def::new("LpNormalization", lp).axes(|s, outputs| {
        let rank = outputs.first().map_or(0, |y| y.rank());
        let axis = s.op.int("axis").ok().and_then(|axis| s.axis(axis.unwrap_or(-1), rank).ok());
        axis.into_iter().fold(elementwise(s, outputs), |m, axis| m.statistic(input(0, axis)))
    }),
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

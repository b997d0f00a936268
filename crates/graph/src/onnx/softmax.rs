//! Softmax and its relatives.

use super::unary::float;
use super::{Def, Site};
use crate::axes::{input, output};
use crate::{AxisMap, Fact, Inferred, Result};

pub(super) const TABLE: &[Def] = &[
    Def::new("Softmax", along).axes(others),
    Def::new("LogSoftmax", along).axes(others),
    Def::new("Hardmax", along).axes(others),
];

/// The axis along which elements compete has no link: removing one of them, even a 0, changes the others.
fn others(site: &Site<'_>, _: &[&Fact]) -> AxisMap {
    let rank = site.get(0).map_or(0, |x| x.fact.rank());
    let old = site.op.version < 13;
    let axis = site.op.int("axis").map(|a| a.unwrap_or(if old { 1 } else { -1 }));
    let Ok(first) = axis.and_then(|a| site.axis(a, rank)) else { return AxisMap::default() };
    let joined = |i: usize| i == first || (old && i > first);
    (0..rank).filter(|&i| !joined(i)).fold(AxisMap::default(), |m, i| m.same(input(0, i), output(0, i)))
}

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

//! Values of which some elements are replaced.

use super::gather::positions;
use super::{Def, Site, axis_of};
use crate::axes::{input, output};
use crate::{AxisMap, Error, Fact, Inferred, Result};

pub(super) const TABLE: &[Def] = &[
    Def::new("Scatter", scatter_elements).axes(scatter_axes),
    Def::new("ScatterElements", scatter_elements).axes(scatter_axes),
    Def::new("ScatterND", scatter_nd),
];

fn scatter_elements(site: &Site<'_>) -> Result<Vec<Inferred>> {
    let (x, at, updates) = (site.fact(0)?, positions(site, 1)?, site.fact(2)?);
    axis_of(site.op.int("axis")?.unwrap_or(0), x.rank())?;
    if at.rank() != x.rank() || updates.rank() != x.rank() || updates.dtype != x.dtype {
        return Err(Error::Op(format!("positions {at} and updates {updates} do not fit {x}")));
    }
    Ok(vec![x.clone().into()])
}

/// Axes other than the one that is written to pass through where positions and updates are as long on them as the value;
/// on that one each update goes with its position.
fn scatter_axes(site: &Site<'_>, _: &[&Fact]) -> AxisMap {
    let (Some(x), Some(at), Some(updates)) = (site.get(0), site.get(1), site.get(2)) else {
        return AxisMap::default();
    };
    let Ok(axis) = site.op.int("axis").and_then(|a| axis_of(a.unwrap_or(0), x.fact.rank())) else {
        return AxisMap::default();
    };
    let sizes = x.fact.shape.iter().zip(&at.fact.shape).zip(&updates.fact.shape);
    sizes.enumerate().fold(AxisMap::default(), |map, (i, ((own, at), update))| {
        if i == axis {
            map.same(input(1, i), input(2, i))
        } else if own == at && own == update {
            (0..3).fold(map, |m, port| m.same(input(port, i), output(0, i)))
        } else {
            map
        }
    })
}

fn scatter_nd(site: &Site<'_>) -> Result<Vec<Inferred>> {
    let (x, at, updates) = (site.fact(0)?, positions(site, 1)?, site.fact(2)?);
    if updates.dtype != x.dtype || at.rank() == 0 {
        return Err(Error::Op(format!("positions {at} and updates {updates} do not fit {x}")));
    }
    Ok(vec![x.clone().into()])
}

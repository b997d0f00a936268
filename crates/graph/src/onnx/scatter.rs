//! Values of which some elements are replaced.

use super::gather::positions;
use super::{Def, Site, axis_of};
use crate::{Error, Inferred, Result};

pub(super) const TABLE: &[Def] = &[
    Def::new("Scatter", scatter_elements),
    Def::new("ScatterElements", scatter_elements),
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

fn scatter_nd(site: &Site<'_>) -> Result<Vec<Inferred>> {
    let (x, at, updates) = (site.fact(0)?, positions(site, 1)?, site.fact(2)?);
    if updates.dtype != x.dtype || at.rank() == 0 {
        return Err(Error::Op(format!("positions {at} and updates {updates} do not fit {x}")));
    }
    Ok(vec![x.clone().into()])
}

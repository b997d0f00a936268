//! Where along an axis the extreme elements are.

use super::reduce::{left, links};
use super::{Def, Site};
use crate::{AxisMap, DType, Error, Fact, Inferred, Result};

pub(super) const TABLE: &[Def] = &[Def::new("ArgMax", arg).axes(axes), Def::new("ArgMin", arg).axes(axes)];

/// By axis, whether it is searched; and whether it stays, with size 1.
fn searched(site: &Site<'_>) -> Result<(Vec<bool>, bool)> {
    let rank = site.fact(0)?.rank();
    let axis = site.axis(site.op.int("axis")?.unwrap_or(0), rank)?;
    Ok(((0..rank).map(|i| i == axis).collect(), site.op.int("keepdims")?.unwrap_or(1) != 0))
}

fn arg(site: &Site<'_>) -> Result<Vec<Inferred>> {
    let x = site.fact(0)?;
    if x.dtype == DType::Bool {
        return Err(Error::Op(format!("takes numbers, found {x}")));
    }
    let (flags, keep) = searched(site)?;
    Ok(vec![Fact { dtype: DType::I64, shape: left(&x.shape, &flags, keep) }.into()])
}

fn axes(site: &Site<'_>, _: &[&Fact]) -> AxisMap {
    searched(site).map_or_else(|_| AxisMap::default(), |(flags, keep)| links(&flags, keep))
}

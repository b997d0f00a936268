//! Choosing between values, element by element.

use super::{Def, NarrowUse, Site, broadcast, contents, elementwise};
use crate::{DType, Data, Error, Inferred, Result};

pub(super) const TABLE: &[Def] = &[
    Def::new("Where", choose).axes(broadcast::axes).narrow(NarrowUse::Moved),
    Def::new("Clip", clip).axes(elementwise),
];

fn choose(site: &Site<'_>) -> Result<Vec<Inferred>> {
    let (condition, x, y) = (site.known(0)?, site.known(1)?, site.known(2)?);
    if condition.fact.dtype != DType::Bool {
        return Err(Error::Op(format!("takes a condition of truth values, found {}", condition.fact)));
    }
    if x.fact.dtype != y.fact.dtype {
        return Err(Error::Op(format!("takes values of one type, found {} and {}", x.fact, y.fact)));
    }
    let out = broadcast::all(site, x.fact.dtype)?;
    let content = out.fact.known_shape().and_then(|shape| {
        let truth = condition.array()?;
        let Data::Bool(flags) = truth.data() else { return None };
        let (own, operands) = broadcast::sizes(&[x, y])?;
        let [a, b] = operands.as_slice() else { return None };
        let count =
            shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).filter(|&n| n <= contents::MOST)?;
        let chosen: Option<Vec<_>> = (0..count)
            .map(|i| {
                let take = *flags.get(broadcast::position(i, &shape, truth.shape()))?;
                let from = if take { a } else { b };
                from.get(broadcast::position(i, &shape, &own)).cloned()
            })
            .collect();
        contents::of(out.fact.dtype, &shape, chosen?)
    });
    Ok(vec![out.with(content)])
}

/// The limits are attributes before version 11 and scalars since.
fn clip(site: &Site<'_>) -> Result<Vec<Inferred>> {
    let x = site.fact(0)?;
    if x.dtype == DType::Bool {
        return Err(Error::Op(format!("takes numbers, found {x}")));
    }
    for limit in [site.get(1), site.get(2)].into_iter().flatten() {
        if limit.fact.dtype != x.dtype || limit.fact.shape.iter().any(|d| d.known().is_some_and(|n| n != 1)) {
            return Err(Error::Op(format!("takes limits that are one {}, found {}", x.dtype, limit.fact)));
        }
    }
    Ok(vec![x.clone().into()])
}

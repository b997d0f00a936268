//! Operands that are repeated along axes of size 1, as in NumPy.

use super::{Site, contents};
use crate::axes::{input, output};
use crate::content::Size;
use crate::{AxisMap, DType, Dim, Error, Fact, Inferred, Known, Result};

/// The shape that all `shapes` broadcast to. Where two symbols meet that may differ, only running tells the size.
///
/// # Errors
/// Two known sizes differ and neither is 1.
pub(super) fn shape(site: &Site<'_>, shapes: &[&[Dim]]) -> Result<Vec<Dim>> {
    let rank = shapes.iter().map(|s| s.len()).max().unwrap_or(0);
    let mut out = vec![Dim::Known(1); rank];
    for s in shapes {
        let skip = rank - s.len();
        for (i, (d, o)) in s.iter().zip(out.iter_mut().skip(skip)).enumerate() {
            *o = match (&*o, d) {
                (a, b) if a == b => continue,
                (_, Dim::Known(1)) => continue,
                (Dim::Known(1), b) => b.clone(),
                (Dim::Known(a), Dim::Known(b)) => {
                    return Err(Error::Op(format!(
                        "sizes {a} and {b} of axis {} do not broadcast",
                        i + skip
                    )));
                }
                (Dim::Known(_), _) => continue,
                (_, Dim::Known(_)) => d.clone(),
                _ => site.unknown(i + skip),
            };
        }
    }
    Ok(out)
}

/// The facts of all given operands.
pub(super) fn facts<'a>(site: &Site<'a>) -> Vec<&'a Fact> {
    site.inputs.iter().flatten().map(|k| k.fact).collect()
}

/// An output of `dtype` that all operands broadcast to.
pub(super) fn all(site: &Site<'_>, dtype: DType) -> Result<Inferred> {
    let facts = facts(site);
    if facts.is_empty() {
        return Err(Error::Op("input 0 is missing".into()));
    }
    let shapes: Vec<&[Dim]> = facts.iter().map(|f| f.shape.as_slice()).collect();
    Ok(Inferred::new(dtype, shape(site, &shapes)?))
}

/// Every axis of every operand that is not repeated is an axis of output 0, counted from the end.
pub(super) fn axes(site: &Site<'_>, outputs: &[&Fact]) -> AxisMap {
    let Some(out) = outputs.first() else { return AxisMap::default() };
    let mut map = AxisMap::default();
    for (n, fact) in facts(site).iter().enumerate() {
        let Some(skip) = out.rank().checked_sub(fact.rank()) else { continue };
        for (i, (d, o)) in fact.shape.iter().zip(out.shape.iter().skip(skip)).enumerate() {
            if d == o {
                map = map.same(input(n, i), output(0, i + skip));
            }
        }
    }
    map
}

/// The elements of all operands as sizes, each repeated to the shape that they broadcast to, and that shape; none where
/// elements of one are not known at all.
pub(super) fn sizes(operands: &[Known<'_>]) -> Option<(Vec<usize>, Vec<Vec<Size>>)> {
    let rank = operands.iter().map(|k| k.fact.rank()).max()?;
    let mut shape = vec![1usize; rank];
    for k in operands {
        let own = k.content?.shape();
        for (o, &d) in shape.iter_mut().rev().zip(own.iter().rev()) {
            match (*o, d) {
                (a, b) if a == b => {}
                (1, b) => *o = b,
                (_, 1) => {}
                _ => return None,
            }
        }
    }
    let count = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).filter(|&n| n <= contents::MOST)?;
    let mut all = Vec::with_capacity(operands.len());
    for k in operands {
        let (own, elements) = (k.content?.shape(), k.sizes()?);
        let repeated: Option<Vec<Size>> =
            (0..count).map(|i| elements.get(position(i, &shape, own)).cloned()).collect();
        all.push(repeated?);
    }
    Some((shape, all))
}

/// The place in an operand of shape `own` of element `index` of the `shape` that it broadcasts to.
pub(super) fn position(mut index: usize, shape: &[usize], own: &[usize]) -> usize {
    let (mut place, mut stride) = (0, 1);
    let mut own = own.iter().rev();
    for &d in shape.iter().rev() {
        let at = index % d.max(1);
        index /= d.max(1);
        let Some(&size) = own.next() else { break };
        if size != 1 {
            place += at * stride;
        }
        stride *= size;
    }
    place
}

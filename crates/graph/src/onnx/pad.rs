//! Values with a border, or without.

use super::shape::length;
use super::{Def, NarrowUse, Site, axes_of, axis_of, contents};
use crate::axes::{Block, input, output};
use crate::{AxisMap, Dim, Error, Fact, Inferred, Result, Size};

pub(super) const TABLE: &[Def] = &[
    Def::new("Pad", pad).axes(pad_links).narrow(NarrowUse::Moved),
    Def::new("CenterCropPad", center).axes(same_sizes),
];

/// What is put around one axis; negative numbers cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PadAxis {
    /// Elements before the first.
    pub before: i64,
    /// Elements after the last.
    pub after: i64,
}

/// By axis of `rank` what `pads` say: all befores, then all afters, of the axes named.
///
/// # Errors
/// They are not two numbers for each axis, or an axis is wrong.
pub fn pad_axes(pads: &[i64], axes: Option<&[i64]>, rank: usize) -> Result<Vec<PadAxis>> {
    let axes = match axes {
        None => (0..rank).collect(),
        Some(axes) => {
            axes_of(axes, rank)?;
            axes.iter().map(|&a| axis_of(a, rank)).collect::<Result<Vec<_>>>()?
        }
    };
    if axes.len().checked_mul(2) != Some(pads.len()) {
        return Err(Error::Op(format!("{} pads given for {} axes", pads.len(), axes.len())));
    }
    let (before, after) = pads.split_at(axes.len());
    let mut all = vec![PadAxis::default(); rank];
    for ((&axis, &before), &after) in axes.iter().zip(before).zip(after) {
        if let Some(p) = all.get_mut(axis) {
            *p = PadAxis { before, after };
        }
    }
    Ok(all)
}

/// By axis what is known of the pads.
fn known(site: &Site<'_>, rank: usize) -> Result<Option<Vec<PadAxis>>> {
    let axes = match site.get(3) {
        None => None,
        Some(axes) => match axes.ints() {
            Some(axes) => Some(axes),
            None => return Ok(None),
        },
    };
    match site.ints("pads", 1)? {
        None => Err(Error::Op("its pads are missing".into())),
        Some(None) => Ok(None),
        Some(Some(pads)) => pad_axes(&pads, axes.as_deref(), rank).map(Some),
    }
}

fn pad(site: &Site<'_>) -> Result<Vec<Inferred>> {
    let x = site.fact(0)?;
    let mut out = x.clone();
    let pads = known(site, x.rank())?;
    for (i, d) in out.shape.iter_mut().enumerate() {
        *d = match pads.as_ref().and_then(|p| p.get(i)) {
            Some(p) => {
                let both = p.before.checked_add(p.after);
                let both = both.ok_or_else(|| {
                    Error::Op(format!("pads of {} and {} are too large", p.before, p.after))
                })?;
                let padded = d.offset(both)?;
                if contents::is_small(&padded) { padded } else { site.unknown(i) }
            }
            None => site.unknown(i),
        };
    }
    Ok(vec![out.into()])
}

/// What is inside the border is what was there.
fn pad_links(site: &Site<'_>, _: &[&Fact]) -> AxisMap {
    let Some(x) = site.get(0) else { return AxisMap::default() };
    let Ok(Some(pads)) = known(site, x.fact.rank()) else { return AxisMap::default() };
    let mut map = AxisMap::default();
    for (i, (p, d)) in pads.iter().zip(&x.fact.shape).enumerate() {
        map = match (*p, d.known()) {
            (PadAxis { before: 0, after: 0 }, _) => map.same(input(0, i), output(0, i)),
            (PadAxis { before, after }, Some(n)) => {
                let cut = |n: i64| usize::try_from(n.saturating_neg()).unwrap_or(0);
                let count = n.saturating_sub(cut(before)).saturating_sub(cut(after));
                let to = usize::try_from(before).unwrap_or(0);
                map.blocks(input(0, i), output(0, i), vec![Block::range(cut(before), to, count)])
            }
            _ => map,
        };
    }
    map
}

/// Axes of an unchanged size pass through.
pub(super) fn same_sizes(site: &Site<'_>, outputs: &[&Fact]) -> AxisMap {
    let (Some(x), Some(y)) = (site.get(0), outputs.first()) else { return AxisMap::default() };
    let pairs = x.fact.shape.iter().zip(&y.shape).enumerate();
    pairs.filter(|(_, (a, b))| a == b).fold(AxisMap::default(), |m, (i, _)| m.same(input(0, i), output(0, i)))
}

/// What makes an axis of `size` one of `target` around its middle: an odd element is cut at the end and added at the end.
pub fn centered(size: i64, target: i64) -> PadAxis {
    let difference = target.saturating_sub(size);
    let before = difference / 2;
    PadAxis { before, after: difference - before }
}

fn center(site: &Site<'_>) -> Result<Vec<Inferred>> {
    let (x, target) = (site.fact(0)?, site.known(1)?);
    let count = length(&target, "the shape")?;
    let axes = match site.op.ints("axes")? {
        None => (0..x.rank()).collect(),
        Some(axes) => {
            axes_of(axes, x.rank())?;
            axes.iter().map(|&a| axis_of(a, x.rank())).collect::<Result<Vec<_>>>()?
        }
    };
    if axes.len() != count {
        return Err(Error::Op(format!("{count} sizes given for {} axes", axes.len())));
    }
    let sizes = target.sizes().unwrap_or_else(|| vec![Size::Unknown; count]);
    let mut out = x.clone();
    for (&axis, size) in axes.iter().zip(&sizes) {
        if let Some(n) = size.known().filter(|&n| n < 0) {
            return Err(Error::Op(format!("size {n} is negative")));
        }
        let dim: Dim = size.dim().unwrap_or_else(|| site.unknown(axis));
        if let Some(d) = out.shape.get_mut(axis) {
            *d = dim;
        }
    }
    Ok(vec![out.into()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pads_are_of_the_axes_named() {
        let pads = pad_axes(&[1, 2, 3, 4], Some(&[-1, 0]), 3).unwrap();
        let at = |before, after| PadAxis { before, after };
        assert_eq!(pads, [at(2, 4), at(0, 0), at(1, 3)]);
        assert!(pad_axes(&[1, 2, 3], None, 2).is_err());
        assert!(pad_axes(&[1, 2, 3, 4], Some(&[0, -3]), 3).is_err());
    }

    #[test]
    fn the_middle_stays() {
        assert_eq!(centered(10, 7), PadAxis { before: -1, after: -2 });
        assert_eq!(centered(7, 10), PadAxis { before: 1, after: 2 });
    }
}

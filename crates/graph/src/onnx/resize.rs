//! Images of other sizes.

use super::pad::same_sizes;
use super::{Def, Site, axes_of, axis_of};
use crate::{Dim, Error, Fact, Inferred, Known, Result, Size};

pub(super) const TABLE: &[Def] =
    &[Def::new("Resize", resize).axes(same_sizes), Def::new("Upsample", upsample).axes(same_sizes)];

/// `floor(size · scale)`, the product in `f32` as runtimes compute it.
///
/// # Errors
/// The scale is not above 0, or the result no size.
pub fn resized(size: usize, scale: f32) -> Result<usize> {
    let product = (size as f32 * scale).floor();
    if scale > 0.0 && scale.is_finite() && product < 1e15 {
        Ok(product as usize)
    } else {
        Err(Error::Op(format!("scale {scale} is not above 0, or too large")))
    }
}

/// The same of a size with symbols, where it is a whole multiple or part of it.
fn scaled(site: &Site<'_>, axis: usize, dim: &Dim, scale: f32) -> Result<Dim> {
    let one = resized(1, scale.max(1.0))?;
    resized(1, scale)?;
    if let Some(n) = dim.known() {
        return Ok(Dim::Known(resized(n, scale)?));
    }
    let part = 1.0 / scale;
    if scale >= 1.0 && scale.fract() == 0.0 {
        dim.times(&Dim::Known(one))
    } else if scale < 1.0 && part.fract() == 0.0 && part < 65536.0 {
        dim.floor_div(part as usize)
    } else {
        Ok(site.unknown(axis))
    }
}

/// The elements of scales, where they are known.
fn floats(known: &Known<'_>) -> Option<Vec<f32>> {
    Some(known.array()?.to_f32().ok()?.as_f32().ok()?.to_vec())
}

/// Sizes by scales, one an axis of `axes`.
fn by_scales(site: &Site<'_>, x: &Fact, axes: &[usize], scales: Option<Vec<f32>>) -> Result<Vec<Inferred>> {
    let mut out = x.clone();
    if let Some(given) = scales.as_ref().map(Vec::len).filter(|&n| n != axes.len()) {
        return Err(Error::Op(format!("{given} scales given for {} axes", axes.len())));
    }
    for (i, &axis) in axes.iter().enumerate() {
        let Some(d) = out.shape.get_mut(axis) else { continue };
        *d = match scales.as_ref().and_then(|s| s.get(i)) {
            Some(&scale) => scaled(site, axis, d, scale)?,
            None => site.unknown(axis),
        };
    }
    Ok(vec![out.into()])
}

fn upsample(site: &Site<'_>) -> Result<Vec<Inferred>> {
    let x = site.fact(0)?;
    let scales = match site.op.floats("scales")? {
        Some(scales) => Some(scales.to_vec()),
        None => floats(&site.known(1)?),
    };
    by_scales(site, x, &(0..x.rank()).collect::<Vec<_>>(), scales)
}

/// An operand that is given and not empty.
fn given<'a>(site: &Site<'a>, index: usize) -> Option<Known<'a>> {
    site.get(index).filter(|k| k.fact.shape != [Dim::Known(0)])
}

fn resize(site: &Site<'_>) -> Result<Vec<Inferred>> {
    let x = site.fact(0)?;
    let axes = match site.op.ints("axes")? {
        Some(axes) => {
            axes_of(axes, x.rank())?;
            axes.iter().map(|&a| axis_of(a, x.rank())).collect::<Result<Vec<_>>>()?
        }
        None => (0..x.rank()).collect(),
    };
    let scales = if site.op.version < 11 { 1 } else { 2 };
    match (given(site, scales), given(site, 3)) {
        (Some(scales), None) => by_scales(site, x, &axes, floats(&scales)),
        (None, Some(target)) => by_sizes(site, x, &axes, &target),
        _ => Err(Error::Op("either scales or sizes must be given".into())),
    }
}

fn by_sizes(site: &Site<'_>, x: &Fact, axes: &[usize], target: &Known<'_>) -> Result<Vec<Inferred>> {
    let count = super::shape::length(target, "the sizes")?;
    if count != axes.len() {
        return Err(Error::Op(format!("{count} sizes given for {} axes", axes.len())));
    }
    let stretch = matches!(site.op.text("keep_aspect_ratio_policy")?, None | Some("stretch"));
    let sizes = target.sizes().filter(|_| stretch).unwrap_or_else(|| vec![Size::Unknown; count]);
    let mut out = x.clone();
    for (&axis, size) in axes.iter().zip(&sizes) {
        if let Some(n) = size.known().filter(|&n| n < 0) {
            return Err(Error::Op(format!("size {n} is negative")));
        }
        if let Some(d) = out.shape.get_mut(axis) {
            *d = size.dim().unwrap_or_else(|| site.unknown(axis));
        }
    }
    Ok(vec![out.into()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_rounded_down() {
        assert_eq!(resized(10, 0.7).unwrap(), 7);
        assert_eq!(resized(5, 0.6).unwrap(), 3);
        assert_eq!(resized(3, 2.5).unwrap(), 7);
        assert!(resized(3, 0.0).is_err());
        assert!(resized(3, f32::NAN).is_err());
        assert!(resized(usize::MAX, 2.0).is_err());
    }
}

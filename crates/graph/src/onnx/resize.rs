//! Images of other sizes.

use super::pad::same_sizes;
use super::{Def, Onnx, Site, axes_of, axis_of};
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

/// Which element of the operand an element of a result is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Coordinates {
    HalfPixel,
    HalfPixelSymmetric,
    PytorchHalfPixel,
    AlignCorners,
    Asymmetric,
    TfHalfPixelForNn,
    TfCropAndResize,
}

/// Which neighbour is the nearest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nearest {
    RoundPreferFloor,
    RoundPreferCeil,
    Floor,
    Ceil,
    /// The one before, but the one behind where an axis gets smaller.
    Simple,
}

/// What becomes of one axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ResizedAxis {
    /// Which one.
    pub axis: usize,
    /// Its elements in the result.
    pub size: usize,
    /// Those of the result over those of the operand, as it is given, or by their numbers.
    pub scale: f32,
    /// The part of the operand that is seen, as fractions of its size, for [`Coordinates::TfCropAndResize`].
    pub roi: (f32, f32),
}

/// How places of a result are places of the operand.
///
/// Everything is computed in `f32`: at a scale such as 1.7 the last bit decides which neighbour is the nearest, and ONNX
/// Runtime and PyTorch count in `f32`. `align_corners` divides by the whole number of elements, as both do, where ONNX's
/// reference has `scale · size`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Places {
    /// How places correspond.
    pub coordinates: Coordinates,
    nearest: Nearest,
}

impl Places {
    /// Those of a `Resize` or an `Upsample`. Before version 11 there was one rule and no attribute for it.
    ///
    /// # Errors
    /// It names a way that is not known.
    pub fn of(op: &Onnx) -> Result<Self> {
        let unsupported =
            |what: &str, name: &str| Err(Error::Op(format!("{what} `{name}` is not supported")));
        let old = op.op_type == "Upsample" || op.version < 11;
        let coordinates = match op.text("coordinate_transformation_mode")? {
            None if old => Coordinates::Asymmetric,
            None | Some("half_pixel") => Coordinates::HalfPixel,
            Some("half_pixel_symmetric") => Coordinates::HalfPixelSymmetric,
            Some("pytorch_half_pixel") => Coordinates::PytorchHalfPixel,
            Some("align_corners") => Coordinates::AlignCorners,
            Some("asymmetric") => Coordinates::Asymmetric,
            Some("tf_half_pixel_for_nn") => Coordinates::TfHalfPixelForNn,
            Some("tf_crop_and_resize") => Coordinates::TfCropAndResize,
            Some(other) => return unsupported("coordinate_transformation_mode", other),
        };
        let nearest = match op.text("nearest_mode")? {
            None if old => Nearest::Simple,
            None | Some("round_prefer_floor") => Nearest::RoundPreferFloor,
            Some("round_prefer_ceil") => Nearest::RoundPreferCeil,
            Some("floor") => Nearest::Floor,
            Some("ceil") => Nearest::Ceil,
            Some(other) => return unsupported("nearest_mode", other),
        };
        Ok(Self { coordinates, nearest })
    }

    /// Where element `y` of the result is among `own` elements.
    pub fn place(&self, y: usize, own: usize, axis: &ResizedAxis) -> f32 {
        let (y, own, size, scale) = (y as f32, own as f32, axis.size as f32, axis.scale);
        match self.coordinates {
            Coordinates::HalfPixelSymmetric => {
                own / 2.0 * (1.0 - size / (scale * own)) + (y + 0.5) / scale - 0.5
            }
            Coordinates::PytorchHalfPixel | Coordinates::AlignCorners if axis.size <= 1 => 0.0,
            Coordinates::HalfPixel | Coordinates::PytorchHalfPixel => (y + 0.5) / scale - 0.5,
            Coordinates::AlignCorners => y * (own - 1.0) / (size - 1.0),
            Coordinates::Asymmetric => y / scale,
            Coordinates::TfHalfPixelForNn => (y + 0.5) / scale,
            Coordinates::TfCropAndResize => {
                let (start, end) = axis.roi;
                if axis.size <= 1 {
                    (start + end) / 2.0 * (own - 1.0)
                } else {
                    start * (own - 1.0) + y * (end - start) * (own - 1.0) / (size - 1.0)
                }
            }
        }
    }

    /// Which of `own` elements is the nearest to element `y` of the result.
    pub fn nearest(&self, y: usize, own: usize, axis: &ResizedAxis) -> usize {
        let place = self.place(y, own, axis);
        let whole = match self.nearest {
            Nearest::Simple if axis.scale < 1.0 => place.ceil(),
            Nearest::Floor | Nearest::Simple => place.floor(),
            Nearest::Ceil => place.ceil(),
            Nearest::RoundPreferFloor => (place - 0.5).ceil(),
            Nearest::RoundPreferCeil => (place + 0.5).floor(),
        };
        (whole.max(0.0) as usize).min(own.saturating_sub(1))
    }
}

/// [`resized`] of a size with symbols, where it is a whole multiple or part of it.
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

    fn picked(op: &Onnx, own: usize, scale: f32) -> Vec<usize> {
        let axis = ResizedAxis { axis: 0, size: resized(own, scale).unwrap(), scale, roi: (0.0, 1.0) };
        let places = Places::of(op).unwrap();
        (0..axis.size).map(|y| places.nearest(y, own, &axis)).collect()
    }

    /// What ONNX Runtime picks, and PyTorch for its part, also where `y / scale` in `f64` is on the other side of a whole number.
    #[test]
    fn the_nearest_element_is_that_of_runtimes() {
        let text = |s: &str| super::super::Attribute::String(s.as_bytes().to_vec());
        let torch = Onnx::new("Resize", 13, 3)
            .with("coordinate_transformation_mode", text("asymmetric"))
            .with("nearest_mode", text("floor"));
        let twelve = [0, 0, 1, 1, 2, 2, 3, 4, 4, 5, 5, 6, 7, 7, 8, 8, 9, 10, 10, 11];
        assert_eq!(picked(&torch, 12, 1.7), twelve);
        assert_eq!(picked(&torch, 12, 0.6), [0, 1, 3, 5, 6, 8, 10]);
        assert_eq!(picked(&torch, 14, 1.1), [0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10, 11, 12]);
        // Before version 11 a smaller image takes the element behind.
        assert_eq!(picked(&Onnx::new("Resize", 10, 2), 10, 0.6), [0, 2, 4, 5, 7, 9]);
        assert_eq!(picked(&Onnx::new("Resize", 10, 2), 10, 0.7), [0, 2, 3, 5, 6, 8, 9]);
        let cases: [(&str, &str, &[usize], &[usize]); 6] = [
            ("half_pixel", "round_prefer_floor", &[0, 1, 1, 2, 3, 4, 4, 5, 6], &[0, 2, 3, 4, 6, 7]),
            ("align_corners", "round_prefer_floor", &[0, 1, 1, 2, 3, 4, 4, 5, 6], &[0, 2, 3, 5, 6, 8]),
            ("asymmetric", "round_prefer_floor", &[0, 1, 2, 2, 3, 4, 5, 5, 6], &[0, 1, 3, 4, 6, 7]),
            ("half_pixel_symmetric", "round_prefer_ceil", &[0, 1, 1, 2, 3, 4, 5, 5, 6], &[0, 2, 3, 5, 6, 8]),
            ("pytorch_half_pixel", "ceil", &[0, 1, 2, 3, 3, 4, 5, 6, 6], &[1, 2, 4, 5, 6, 8]),
            ("align_corners", "ceil", &[0, 1, 2, 3, 3, 4, 5, 6, 6], &[0, 2, 4, 5, 7, 8]),
        ];
        for (coordinates, nearest, larger, smaller) in cases {
            let op = Onnx::new("Resize", 13, 3)
                .with("coordinate_transformation_mode", text(coordinates))
                .with("nearest_mode", text(nearest));
            assert_eq!(picked(&op, 7, 1.3), larger, "{coordinates} {nearest}");
            assert_eq!(picked(&op, 9, 0.7), smaller, "{coordinates} {nearest}");
        }
        assert!(Places::of(&Onnx::new("Resize", 13, 3).with("nearest_mode", text("best"))).is_err());
    }

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

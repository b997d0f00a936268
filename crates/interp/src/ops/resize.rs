//! Images of other sizes.
//!
//! Interpolation is separable: one axis after the other, every element of a result is a sum of weighted neighbours.

use occam_graph::onnx::{Coordinates, Places, ResizedAxis, axes_of, axis_of, resized};
use occam_graph::{Array, DType};
use rayon::prelude::*;

use super::gather::taken;
use super::{Eval, Operands};
use crate::error::refuse;
use crate::moves::sizes;
use crate::numbers::{array, elements, from_f64, to_f64};
use crate::view::count;
use crate::{Error, Result};

pub(super) const TABLE: &[Eval] = &[Eval::new("Resize", resize), Eval::new("Upsample", upsample)];

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Nearest,
    Linear,
    Cubic,
}

/// How values between elements are computed.
struct Rule {
    mode: Mode,
    places: Places,
    cubic: f64,
    exclude_outside: bool,
    antialias: bool,
    /// What is outside, for [`Coordinates::TfCropAndResize`].
    extrapolation: f64,
}

/// Weighted elements, the same number for each element of a result.
struct Taps {
    each: usize,
    indices: Vec<usize>,
    weights: Vec<f64>,
    /// Elements of the result that are outside of the operand.
    outside: Vec<usize>,
}

/// The most weights an axis may take.
const MOST_TAPS: usize = 1 << 28;

impl Rule {
    fn of(c: &Operands<'_>) -> Result<Self> {
        let mode = match c.op.text("mode")?.unwrap_or("nearest") {
            "nearest" => Mode::Nearest,
            "linear" | "bilinear" => Mode::Linear,
            "cubic" => Mode::Cubic,
            other => return refuse(format!("mode `{other}` is not supported")),
        };
        let antialias = c.op.flag("antialias")?;
        if antialias && mode == Mode::Nearest {
            return refuse("antialias with mode `nearest` is not supported");
        }
        Ok(Self {
            mode,
            places: Places::of(c.op)?,
            cubic: c.op.float("cubic_coeff_a")?.unwrap_or(-0.75).into(),
            exclude_outside: c.op.flag("exclude_outside")?,
            antialias,
            extrapolation: c.op.float("extrapolation_value")?.unwrap_or(0.0).into(),
        })
    }

    /// Weights of neighbours for a place `ratio` behind the left one of the two in the middle, and which neighbour is the
    /// first: 0 is that left one.
    fn weights(&self, ratio: f64, scale: f64) -> (i64, Vec<f64>) {
        let shrink = if self.antialias { scale.min(1.0) } else { 1.0 };
        let reach = if self.mode == Mode::Cubic { 2.0 } else { 1.0 };
        let a = self.cubic;
        let kernel = |x: f64| {
            let x = x.abs();
            match self.mode {
                Mode::Cubic if x <= 1.0 => ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0,
                Mode::Cubic if x < 2.0 => ((x - 5.0) * x + 8.0) * x * a - 4.0 * a,
                Mode::Cubic => 0.0,
                _ => (1.0 - x).max(0.0),
            }
        };
        let first = (-reach / shrink).floor() as i64 + 1;
        let mut all: Vec<f64> = (first..2 - first).map(|i| kernel((i as f64 - ratio) * shrink)).collect();
        if self.antialias {
            let sum: f64 = all.iter().sum();
            all.iter_mut().for_each(|w| *w /= sum);
        }
        (first, all)
    }

    fn taps(&self, own: usize, axis: &ResizedAxis) -> Result<Taps> {
        let last = i64::try_from(own).unwrap_or(0) - 1;
        if last < 0 && axis.size > 0 {
            return refuse(format!("there is nothing in axis {} to resize", axis.axis));
        }
        let inside = |i: i64| usize::try_from(i.clamp(0, last)).unwrap_or(0);
        let mut taps = Taps { each: 0, indices: Vec::new(), weights: Vec::new(), outside: Vec::new() };
        let (first, sample) = self.weights(0.5, axis.scale.into());
        if first.unsigned_abs() > MOST_TAPS as u64
            || sample.len().checked_mul(axis.size).is_none_or(|n| n > MOST_TAPS)
        {
            return refuse(format!("axis {} takes too many weights", axis.axis));
        }
        taps.each = sample.len();
        for y in 0..axis.size {
            let place = f64::from(self.places.place(y, own, axis));
            if self.places.coordinates == Coordinates::TfCropAndResize
                && !(0.0..=last as f64).contains(&place)
            {
                taps.outside.push(y);
            }
            // An element that is met exactly is the right one of the two in the middle.
            let left = if place == place.floor() { place - 1.0 } else { place.floor() };
            let (first, mut weights) = self.weights(place - left, axis.scale.into());
            let from = (left as i64).saturating_add(first);
            if self.exclude_outside {
                for (i, w) in (from..).zip(&mut weights) {
                    *w = if (0..=last).contains(&i) { *w } else { 0.0 };
                }
                let sum: f64 = weights.iter().sum();
                let sum = if sum == 0.0 { 1.0 } else { sum };
                weights.iter_mut().for_each(|w| *w /= sum);
            }
            taps.indices.extend((0..taps.each as i64).map(|k| inside(from.saturating_add(k))));
            taps.weights.extend(weights);
        }
        Ok(taps)
    }
}

/// A number that interpolation is done in.
trait Real: Copy + Send + Sync + Default + std::ops::AddAssign + std::ops::Mul<Output = Self> {
    fn of(x: f64) -> Self;
}

impl Real for f32 {
    fn of(x: f64) -> Self {
        x as f32
    }
}

impl Real for f64 {
    fn of(x: f64) -> Self {
        x
    }
}

/// One axis of `x`, which has `own` elements there and `inner` between them.
fn along<T: Real>(x: &[T], own: usize, inner: usize, taps: &Taps, size: usize, outside: f64) -> Vec<T> {
    let plane = own * inner;
    let outer = x.len().checked_div(plane).unwrap_or(0);
    let mut out = vec![T::default(); outer * size * inner];
    if out.is_empty() {
        return out;
    }
    let weights: Vec<T> = taps.weights.iter().map(|&w| T::of(w)).collect();
    out.par_chunks_mut(size * inner).zip(x.par_chunks(plane)).for_each(|(out, x)| {
        let rows = taps.indices.chunks(taps.each).zip(weights.chunks(taps.each));
        for (row, (indices, weights)) in out.chunks_mut(inner).zip(rows) {
            for (&i, &w) in indices.iter().zip(weights) {
                let from = x.get(i * inner..(i + 1) * inner).unwrap_or_default();
                row.iter_mut().zip(from).for_each(|(o, &v)| *o += w * v);
            }
        }
        for &y in &taps.outside {
            if let Some(row) = out.get_mut(y * inner..(y + 1) * inner) {
                row.fill(T::of(outside));
            }
        }
    });
    out
}

fn interpolated<T: Real>(
    mut data: Vec<T>,
    shape: &mut [usize],
    axes: &[ResizedAxis],
    rule: &Rule,
) -> Result<Vec<T>> {
    for axis in axes {
        let own = shape.get(axis.axis).copied().unwrap_or(0);
        let inner: usize = shape.iter().skip(axis.axis + 1).product();
        let taps = rule.taps(own, axis)?;
        if let Some(d) = shape.get_mut(axis.axis) {
            *d = axis.size;
        }
        count(shape)?;
        data = along(&data, own, inner, &taps, axis.size, rule.extrapolation);
    }
    Ok(data)
}

fn run(x: &Array, axes: Vec<ResizedAxis>, rule: &Rule) -> Result<Vec<Array>> {
    let whole =
        |a: &ResizedAxis| rule.places.coordinates != Coordinates::TfCropAndResize || a.roi == (0.0, 1.0);
    let axes: Vec<ResizedAxis> = axes
        .into_iter()
        .filter(|a| !(a.scale == 1.0 && x.shape().get(a.axis) == Some(&a.size) && whole(a)))
        .collect();
    let mut shape = x.shape().to_vec();
    for a in &axes {
        if let Some(d) = shape.get_mut(a.axis) {
            *d = a.size;
        }
    }
    count(&shape)?;
    if shape.contains(&0) {
        return Ok(vec![from_f64(x.dtype(), &shape, &[])?]);
    }
    if rule.mode == Mode::Nearest {
        return nearest(x, &axes, rule);
    }
    let mut shape = x.shape().to_vec();
    if x.dtype() == DType::F32 {
        let data = interpolated(elements::<f32>(x)?.to_vec(), &mut shape, &axes, rule)?;
        return Ok(vec![array(&shape, data)?]);
    }
    let mut data = interpolated(to_f64(x), &mut shape, &axes, rule)?;
    if !x.dtype().is_float() {
        data.iter_mut().for_each(|v| *v = v.round_ties_even());
    }
    Ok(vec![from_f64(x.dtype(), &shape, &data)?])
}

/// Copies alone, of whatever type the elements are.
fn nearest(x: &Array, axes: &[ResizedAxis], rule: &Rule) -> Result<Vec<Array>> {
    let mut out = x.clone();
    for axis in axes {
        let mut shape = out.shape().to_vec();
        let Some(size) = shape.get_mut(axis.axis) else { continue };
        let own = std::mem::replace(size, axis.size);
        let last = own.checked_sub(1).ok_or_else(|| Error::Op("there is nothing to resize".into()))? as f32;
        let all: Vec<usize> = (0..axis.size).map(|y| rule.places.nearest(y, own, axis)).collect();
        out = taken(&out, axis.axis, &all, &shape)?;
        let cropped = rule.places.coordinates == Coordinates::TfCropAndResize;
        let outside: Vec<usize> = (0..axis.size)
            .filter(|&y| cropped && !(0.0..=last).contains(&rule.places.place(y, own, axis)))
            .collect();
        if !outside.is_empty() {
            let mut values = to_f64(&out);
            let inner: usize = shape.iter().skip(axis.axis + 1).product();
            for plane in values.chunks_mut((axis.size * inner).max(1)) {
                for &y in &outside {
                    if let Some(row) = plane.get_mut(y * inner..(y + 1) * inner) {
                        row.fill(rule.extrapolation);
                    }
                }
            }
            out = from_f64(x.dtype(), &shape, &values)?;
        }
    }
    Ok(vec![out])
}

/// One axis for each scale.
fn by_scales(x: &Array, axes: &[usize], scales: &[f32], roi: &[f32]) -> Result<Vec<ResizedAxis>> {
    if scales.len() != axes.len() {
        return refuse(format!("{} scales given for {} axes", scales.len(), axes.len()));
    }
    let all = axes.iter().zip(scales).enumerate().map(|(i, (&axis, &scale))| {
        let own = x.shape().get(axis).copied().unwrap_or(0);
        Ok(ResizedAxis { axis, size: resized(own, scale)?, scale, roi: part(roi, i, axes.len()) })
    });
    all.collect()
}

/// Start and end of the `i`-th of `count` axes: all starts come before all ends.
fn part(roi: &[f32], i: usize, count: usize) -> (f32, f32) {
    match (roi.get(i), roi.get(i + count)) {
        (Some(&start), Some(&end)) => (start, end),
        _ => (0.0, 1.0),
    }
}

/// One axis for each size; a policy keeps the proportions of the axes that are named.
fn by_sizes(c: &Operands<'_>, axes: &[usize], target: &[usize], roi: &[f32]) -> Result<Vec<ResizedAxis>> {
    let x = c.array(0)?;
    if target.len() != axes.len() {
        return refuse(format!("{} sizes given for {} axes", target.len(), axes.len()));
    }
    let own: Vec<usize> = axes.iter().map(|&a| x.shape().get(a).copied().unwrap_or(0)).collect();
    if own.iter().zip(target).any(|(&n, &t)| n == 0 && t > 0) {
        return refuse(format!("there is nothing in {x:?} to resize"));
    }
    let scales: Vec<f32> = own.iter().zip(target).map(|(&n, &t)| t as f32 / n.max(1) as f32).collect();
    let pick = match c.op.text("keep_aspect_ratio_policy")?.unwrap_or("stretch") {
        "stretch" => None,
        "not_larger" => scales.iter().copied().reduce(f32::min),
        "not_smaller" => scales.iter().copied().reduce(f32::max),
        other => return refuse(format!("keep_aspect_ratio_policy `{other}` is not supported")),
    };
    let all = axes.iter().zip(own).zip(target.iter().zip(scales)).enumerate();
    Ok(all
        .map(|(i, ((&axis, own), (&size, scale)))| {
            let (size, scale) = match pick {
                Some(scale) => ((scale * own as f32 + 0.5).floor() as usize, scale),
                None => (size, scale),
            };
            ResizedAxis { axis, size, scale, roi: part(roi, i, axes.len()) }
        })
        .collect())
}

fn floats(x: &Array) -> Result<Vec<f32>> {
    Ok(x.to_f32()?.as_f32()?.to_vec())
}

fn upsample(c: &Operands<'_>) -> Result<Vec<Array>> {
    let x = c.array(0)?;
    let scales = match c.op.floats("scales")? {
        Some(scales) => scales.to_vec(),
        None => floats(c.array(1)?)?,
    };
    if let Some(small) = scales.iter().find(|s| **s < 1.0) {
        return refuse(format!("scale {small} makes it smaller"));
    }
    let axes: Vec<usize> = (0..x.shape().len()).collect();
    run(x, by_scales(x, &axes, &scales, &[])?, &Rule::of(c)?)
}

fn resize(c: &Operands<'_>) -> Result<Vec<Array>> {
    let x = c.array(0)?;
    let rank = x.shape().len();
    let axes = match c.op.ints("axes")? {
        Some(axes) => {
            axes_of(axes, rank)?;
            axes.iter().map(|&a| Ok(axis_of(a, rank)?)).collect::<Result<Vec<_>>>()?
        }
        None => (0..rank).collect(),
    };
    let old = c.op.version < 11;
    let rule = Rule::of(c)?;
    let given = |i: usize| c.get(i).filter(|a| !a.is_empty());
    let roi = match given(1).filter(|_| !old && rule.places.coordinates == Coordinates::TfCropAndResize) {
        Some(roi) if roi.len() == axes.len() * 2 => floats(roi)?,
        Some(roi) => return refuse(format!("roi {roi:?} given for {} axes", axes.len())),
        None if rule.places.coordinates == Coordinates::TfCropAndResize => {
            return refuse("its roi is missing");
        }
        None => Vec::new(),
    };
    let all = match (given(if old { 1 } else { 2 }), given(3)) {
        (Some(scales), None) => by_scales(x, &axes, &floats(scales)?, &roi)?,
        (None, Some(_)) => by_sizes(c, &axes, &sizes(&c.ints(3)?.unwrap_or_default())?, &roi)?,
        _ => return refuse("either scales or sizes must be given"),
    };
    run(x, all, &rule)
}

#[cfg(test)]
mod tests {
    use occam_graph::onnx::{Attribute, Onnx};

    use super::*;
    use crate::evaluate;

    fn row(version: i64, scale: f32, attributes: &[(&str, &str)]) -> Result<Vec<f32>> {
        let x = Array::from_f32([1, 1, 1, 4], vec![1.0, 2.0, 3.0, 4.0]).unwrap();
        let scales = Array::from_f32([4], vec![1.0, 1.0, 1.0, scale]).unwrap();
        let mut op = Onnx::new("Resize", version, 2);
        let mut inputs = vec![x];
        if version >= 11 {
            op.inputs = vec![true, false, true];
        }
        inputs.push(scales);
        for (name, value) in attributes {
            op = op.with(name, Attribute::String(value.as_bytes().to_vec()));
        }
        Ok(evaluate(&op, &inputs)?[0].as_f32().unwrap().to_vec())
    }

    /// Values from ONNX's own tests.
    #[test]
    fn modes() {
        let linear = ("mode", "linear");
        assert_eq!(row(11, 2.0, &[]).unwrap(), [1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 4.0, 4.0]);
        assert_eq!(row(11, 0.5, &[linear]).unwrap(), [1.5, 3.5]);
        assert_eq!(row(13, 2.0, &[linear]).unwrap(), [1.0, 1.25, 1.75, 2.25, 2.75, 3.25, 3.75, 4.0]);
        let corners = ("coordinate_transformation_mode", "align_corners");
        assert_eq!(row(13, 1.75, &[linear, corners]).unwrap(), [1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0]);
        // A size that is rounded down counts as it is: ONNX Runtime and PyTorch end at the last element.
        let rounded = row(13, 1.4, &[linear, corners]).unwrap();
        assert_eq!(rounded, [1.0, 1.75, 2.5, 3.25, 4.0]);
        assert_eq!(row(10, 2.0, &[linear]).unwrap(), [1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.0]);
    }

    #[test]
    fn refuses_what_it_cannot_do() {
        assert!(row(11, 0.0, &[]).is_err());
        assert!(row(11, f32::INFINITY, &[]).is_err());
        assert!(row(11, 1e12, &[]).is_err());
        assert!(row(11, 2.0, &[("mode", "lanczos")]).is_err());
        assert!(row(11, 2.0, &[("coordinate_transformation_mode", "tf_crop_and_resize")]).is_err());
    }
}

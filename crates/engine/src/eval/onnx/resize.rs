//! Resizing, one axis after the other: nearest elements are picked, all else is a product with a matrix of weights.

use occam_graph::onnx::{Coordinates, Places, ResizedAxis, resized};

use super::{Call, Run, axis_of, one};
use crate::{Operand, Result, Tensor};

pub(super) const TABLE: &[(&str, Run)] = &[("Resize", resize), ("Upsample", upsample)];

/// The most weights that the matrix of an axis may have.
const MOST_WEIGHTS: usize = 1 << 26;

/// The weights of `cubic` (its coefficient) or linear interpolation, `[own, size]`; what is beyond the axis is its nearest
/// end.
fn weights(places: &Places, cubic: Option<f64>, own: usize, axis: &ResizedAxis) -> Vec<f32> {
    let last = own.saturating_sub(1) as f64;
    let mut matrix = vec![0.0f64; own * axis.size];
    for x in 0..axis.size {
        let at = f64::from(places.place(x, own, axis));
        let at = if cubic.is_some() { at } else { at.clamp(0.0, last) };
        let (floor, t) = (at.floor(), at - at.floor());
        let taps: &[(f64, f64)] = if let Some(a) = cubic {
            let near = |t: f64| ((a + 2.0) * t - (a + 3.0)) * t * t + 1.0;
            let far = |t: f64| ((a * t - 5.0 * a) * t + 8.0 * a) * t - 4.0 * a;
            &[(-1.0, far(1.0 + t)), (0.0, near(t)), (1.0, near(1.0 - t)), (2.0, far(2.0 - t))]
        } else {
            &[(0.0, 1.0 - t), (1.0, t)]
        };
        for &(offset, weight) in taps {
            let i = (floor + offset).clamp(0.0, last) as usize;
            if let Some(w) = matrix.get_mut(i * axis.size + x) {
                *w += weight;
            }
        }
    }
    matrix.into_iter().map(|w| w as f32).collect()
}

/// `x` with its axes resized.
fn interpolate(c: &Call<'_>, x: &Tensor, axes: &[ResizedAxis]) -> Result<Option<Vec<Operand>>> {
    let places = Places::of(c.op)?;
    if places.coordinates == Coordinates::TfCropAndResize {
        return Ok(None);
    }
    let mode = c.op.text("mode")?.unwrap_or("nearest");
    let cubic = if mode == "cubic" { Some(c.float("cubic_coeff_a", -0.75)?) } else { None };
    let mut y = x.clone();
    for axis in axes {
        let own = y.dim(axis.axis)?;
        if own == axis.size && axis.scale == 1.0 {
            continue;
        }
        if own == 0 || axis.size == 0 || own.checked_mul(axis.size).is_none_or(|n| n > MOST_WEIGHTS) {
            return Ok(None);
        }
        y = match mode {
            "nearest" => {
                let picked: Vec<usize> = (0..axis.size).map(|y| places.nearest(y, own, axis)).collect();
                y.select(axis.axis, &picked)?
            }
            "linear" | "bilinear" | "cubic" => {
                y.along(axis.axis, weights(&places, cubic, own, axis), axis.size)?
            }
            _ => return Ok(None),
        };
    }
    one(y)
}

fn resize(c: &Call<'_>) -> Result<Option<Vec<Operand>>> {
    let x = c.tensor(0)?;
    let unusual = c.op.flag("antialias")? || c.op.flag("exclude_outside")?;
    let policy = c.op.text("keep_aspect_ratio_policy")?.unwrap_or("stretch");
    if unusual || policy != "stretch" {
        return Ok(None);
    }
    let axes = match c.op.ints("axes")? {
        Some(axes) => axes.iter().map(|&a| axis_of(a, x.rank())).collect::<Result<Vec<_>>>()?,
        None => (0..x.rank()).collect(),
    };
    // Version 10 has factors as its second operand.
    let old = c.op.version < 11;
    let scales = c.floats(if old { 1 } else { 2 })?;
    let sizes = if old { None } else { c.ints(3)?.filter(|s| !s.is_empty()) };
    let mut all = Vec::with_capacity(axes.len());
    for (i, &axis) in axes.iter().enumerate() {
        let own = x.dim(axis)?;
        let size = |n: i64| usize::try_from(n).ok().map(|n| (n, n as f32 / own as f32));
        let given = match (&sizes, &scales) {
            (Some(sizes), _) => sizes.get(i).and_then(|&n| size(n)),
            (None, Some(scales)) => {
                scales.get(i).and_then(|&s| Some((resized(own, s as f32).ok()?, s as f32)))
            }
            _ => None,
        };
        let Some((size, scale)) = given else { return Ok(None) };
        all.push(ResizedAxis { axis, size, scale, roi: (0.0, 1.0) });
    }
    interpolate(c, &x, &all)
}

fn upsample(c: &Call<'_>) -> Result<Option<Vec<Operand>>> {
    let x = c.tensor(0)?;
    let scales = match c.op.floats("scales")? {
        Some(v) => v.to_vec(),
        None => c.floats(1)?.unwrap_or_default().into_iter().map(|s| s as f32).collect(),
    };
    if scales.len() != x.rank() {
        return Ok(None);
    }
    let of = |(axis, (own, scale)): (usize, (usize, f32))| {
        Ok(ResizedAxis { axis, size: resized(own, scale)?, scale, roi: (0.0, 1.0) })
    };
    let all = x.shape().into_iter().zip(scales).enumerate().map(of).collect::<Result<Vec<_>>>()?;
    interpolate(c, &x, &all)
}

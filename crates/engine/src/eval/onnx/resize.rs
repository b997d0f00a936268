//! Resizing, one axis after the other: nearest elements are picked, all else is a product with a matrix of weights.

use super::{Call, Run, axis_of, one};
use crate::{Operand, Result, Tensor};

pub(super) const TABLE: &[(&str, Run)] = &[("Resize", resize), ("Upsample", upsample)];

/// How places of the result are places of the operand.
struct Mapping<'a> {
    coordinates: &'a str,
    nearest: &'a str,
    cubic: f64,
}

impl Mapping<'_> {
    /// Where place `x` of an axis of `output` elements is on one of `input`; none for modes that are not known.
    fn source(&self, x: usize, input: usize, output: usize, scale: f64) -> Option<f64> {
        let (x, i, o) = (x as f64, input as f64, output as f64);
        Some(match self.coordinates {
            "half_pixel" => (x + 0.5) / scale - 0.5,
            "pytorch_half_pixel" if output == 1 => 0.0,
            "pytorch_half_pixel" => (x + 0.5) / scale - 0.5,
            "align_corners" if output == 1 => 0.0,
            "align_corners" => x * (i - 1.0) / (o - 1.0),
            "asymmetric" => x / scale,
            "half_pixel_symmetric" => {
                let adjusted = o / (scale * i);
                i / 2.0 * (1.0 - adjusted) + (x + 0.5) / scale - 0.5
            }
            _ => return None,
        })
    }

    fn picked(&self, input: usize, output: usize, scale: f64) -> Option<Vec<usize>> {
        let place = |x: usize| {
            let at = self.source(x, input, output, scale)?;
            let whole = match self.nearest {
                "round_prefer_floor" => (at - 0.5).ceil(),
                "round_prefer_ceil" => (at + 0.5).floor(),
                "floor" => at.floor(),
                "ceil" => at.ceil(),
                _ => return None,
            };
            Some(whole.clamp(0.0, input.saturating_sub(1) as f64) as usize)
        };
        (0..output).map(place).collect()
    }

    /// The weights of `cubic` or linear interpolation, `[input, output]`; what is beyond the axis is its nearest end.
    fn weights(&self, cubic: bool, input: usize, output: usize, scale: f64) -> Option<Vec<f32>> {
        let mut matrix = vec![0.0f64; input * output];
        for x in 0..output {
            let at = self.source(x, input, output, scale)?;
            let at = if cubic { at } else { at.clamp(0.0, input.saturating_sub(1) as f64) };
            let (floor, t) = (at.floor(), at - at.floor());
            let a = self.cubic;
            let near = |t: f64| ((a + 2.0) * t - (a + 3.0)) * t * t + 1.0;
            let far = |t: f64| ((a * t - 5.0 * a) * t + 8.0 * a) * t - 4.0 * a;
            let taps: &[(f64, f64)] = if cubic {
                &[(-1.0, far(1.0 + t)), (0.0, near(t)), (1.0, near(1.0 - t)), (2.0, far(2.0 - t))]
            } else {
                &[(0.0, 1.0 - t), (1.0, t)]
            };
            for &(offset, weight) in taps {
                let i = (floor + offset).clamp(0.0, input.saturating_sub(1) as f64) as usize;
                if let Some(w) = matrix.get_mut(i * output + x) {
                    *w += weight;
                }
            }
        }
        Some(matrix.into_iter().map(|w| w as f32).collect())
    }
}

/// `x` with axis `axes[i]` of `sizes[i]` elements.
fn interpolate(
    x: &Tensor,
    mode: &str,
    mapping: &Mapping<'_>,
    targets: &[(usize, usize, f64)],
) -> Result<Option<Vec<Operand>>> {
    let mut y = x.clone();
    for &(axis, output, scale) in targets {
        let input = y.dim(axis)?;
        if input == output && scale == 1.0 {
            continue;
        }
        if input == 0 || output == 0 || scale <= 0.0 || !scale.is_finite() || output > 1 << 24 {
            return Ok(None);
        }
        let Some(next) = (match mode {
            "nearest" => mapping.picked(input, output, scale).map(|p| y.select(axis, &p)),
            "linear" | "bilinear" | "cubic" => {
                mapping.weights(mode == "cubic", input, output, scale).map(|w| y.along(axis, w, output))
            }
            _ => None,
        }) else {
            return Ok(None);
        };
        y = next?;
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
    // Version 10 has factors as its second operand and one rule for coordinates.
    let old = c.op.version < 11;
    let scales = c.floats(if old { 1 } else { 2 })?;
    let sizes = if old { None } else { c.ints(3)?.filter(|s| !s.is_empty()) };
    let mut targets = Vec::with_capacity(axes.len());
    for (i, &axis) in axes.iter().enumerate() {
        let input = x.dim(axis)?;
        targets.push(match (&sizes, &scales) {
            (Some(sizes), _) => match sizes.get(i).map(|&n| usize::try_from(n)) {
                Some(Ok(n)) => (axis, n, n as f64 / input as f64),
                _ => return Ok(None),
            },
            (None, Some(scales)) => match scales.get(i) {
                Some(&s) => (axis, (input as f64 * s).floor() as usize, s),
                None => return Ok(None),
            },
            _ => return Ok(None),
        });
    }
    let (coordinates, nearest) =
        if old { ("asymmetric", "floor") } else { ("half_pixel", "round_prefer_floor") };
    let mapping = Mapping {
        coordinates: c.op.text("coordinate_transformation_mode")?.unwrap_or(coordinates),
        nearest: c.op.text("nearest_mode")?.unwrap_or(nearest),
        cubic: c.float("cubic_coeff_a", -0.75)?,
    };
    interpolate(&x, c.op.text("mode")?.unwrap_or("nearest"), &mapping, &targets)
}

fn upsample(c: &Call<'_>) -> Result<Option<Vec<Operand>>> {
    let x = c.tensor(0)?;
    let scales = match c.op.floats("scales")? {
        Some(v) => v.iter().map(|&s| f64::from(s)).collect(),
        None => c.floats(1)?.unwrap_or_default(),
    };
    if scales.len() != x.rank() {
        return Ok(None);
    }
    let targets: Vec<(usize, usize, f64)> = x
        .shape()
        .into_iter()
        .zip(scales)
        .enumerate()
        .map(|(axis, (n, s))| (axis, (n as f64 * s).floor() as usize, s))
        .collect();
    let mapping = Mapping { coordinates: "asymmetric", nearest: "floor", cubic: -0.75 };
    interpolate(&x, c.op.text("mode")?.unwrap_or("nearest"), &mapping, &targets)
}

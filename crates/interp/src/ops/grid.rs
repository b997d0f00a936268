//! Sampling at the points of a grid.

use occam_graph::Array;
use rayon::prelude::*;

use super::{Eval, Operands};
use crate::Result;
use crate::error::refuse;
use crate::numbers::{from_f64, to_f64};
use crate::view::{count, strides};

pub(super) const TABLE: &[Eval] = &[Eval::new("GridSample", sample), Eval::new("AffineGrid", affine)];

/// What lies outside the input.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Outside {
    Zeros,
    Border,
    Reflection,
}

/// How elements between others are made.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Between {
    Nearest,
    Linear,
    Cubic,
}

struct Sampler {
    outside: Outside,
    between: Between,
    corners: bool,
}

impl Sampler {
    /// A coordinate that lies inside, where the way of padding says which; `size` is at least 1.
    fn inside(&self, v: f64, size: usize) -> f64 {
        let last = (size - 1) as f64;
        match self.outside {
            Outside::Zeros => v,
            Outside::Border => v.clamp(0.0, last),
            Outside::Reflection => {
                let (low, high) = if self.corners { (0.0, last) } else { (-0.5, last + 0.5) };
                let span = high - low;
                if span <= 0.0 {
                    return 0.0;
                }
                let far = (v - low).rem_euclid(2.0 * span);
                (low + if far > span { 2.0 * span - far } else { far }).clamp(0.0, last)
            }
        }
    }

    /// Elements along an axis with their weights, for a coordinate of -1 to 1.
    fn taps(&self, v: f64, size: usize, taps: &mut Vec<(usize, f64)>) {
        taps.clear();
        if size == 0 || !v.is_finite() {
            return;
        }
        let n = size as f64;
        let v = if self.corners { (v + 1.0) / 2.0 * (n - 1.0) } else { ((v + 1.0) * n - 1.0) / 2.0 };
        let mut put = |i: f64, weight: f64| {
            if i >= 0.0 && i < n {
                taps.push((i as usize, weight));
            }
        };
        match self.between {
            Between::Nearest => put(self.inside(v, size).round_ties_even(), 1.0),
            Between::Linear => {
                let v = self.inside(v, size);
                let low = v.floor();
                put(low, 1.0 - (v - low));
                put(low + 1.0, v - low);
            }
            Between::Cubic => {
                let low = v.floor();
                let t = v - low;
                const A: f64 = -0.75;
                let near = |t: f64| ((A + 2.0) * t - (A + 3.0)) * t * t + 1.0;
                let far = |t: f64| ((A * t - 5.0 * A) * t + 8.0 * A) * t - 4.0 * A;
                for (k, weight) in
                    [(-1.0, far(t + 1.0)), (0.0, near(t)), (1.0, near(1.0 - t)), (2.0, far(2.0 - t))]
                {
                    put(self.inside(low + k, size), weight);
                }
            }
        }
    }
}

/// Elements of `[N, C, D..]` at points given as coordinates of -1 to 1, the last axis first.
fn sample(c: &Operands<'_>) -> Result<Vec<Array>> {
    let (x, grid) = (c.array(0)?, c.array(1)?);
    let (&[n, channels, ref spatial @ ..], &[of, ref points @ .., axes]) = (x.shape(), grid.shape()) else {
        return refuse(format!("grid {grid:?} does not fit {x:?}"));
    };
    if n != of || spatial.is_empty() || axes != spatial.len() || points.len() != axes {
        return refuse(format!("grid {grid:?} does not fit {x:?}"));
    }
    let sampler = Sampler {
        outside: match c.op.text("padding_mode")?.unwrap_or("zeros") {
            "zeros" => Outside::Zeros,
            "border" => Outside::Border,
            "reflection" => Outside::Reflection,
            other => return refuse(format!("padding_mode `{other}` is not supported")),
        },
        between: match c.op.text("mode")?.unwrap_or("linear") {
            "nearest" => Between::Nearest,
            "linear" | "bilinear" => Between::Linear,
            "cubic" | "bicubic" => Between::Cubic,
            other => return refuse(format!("mode `{other}` is not supported")),
        },
        corners: c.op.flag("align_corners")?,
    };
    let (xs, grid) = (to_f64(x), to_f64(grid));
    let shape: Vec<usize> = [n, channels].into_iter().chain(points.iter().copied()).collect();
    let mut y = vec![0.0; count(&shape)?];
    let (each, plane, own) = (count(points)?, count(spatial)?, strides(spatial));
    if y.is_empty() {
        return Ok(vec![from_f64(x.dtype(), &shape, &y)?]);
    }
    for (image, y) in y.chunks_mut(channels * each).enumerate() {
        let places: Vec<Vec<(usize, f64)>> = grid
            .get(image * each * axes..(image + 1) * each * axes)
            .unwrap_or_default()
            .par_chunks(axes)
            .map(|point| {
                let (mut all, mut taps) = (vec![(0usize, 1.0f64)], Vec::new());
                for ((&v, &size), &step) in point.iter().rev().zip(spatial).zip(&own) {
                    sampler.taps(v, size, &mut taps);
                    all = all
                        .iter()
                        .flat_map(|&(o, w)| taps.iter().map(move |&(i, t)| (o + i * step, w * t)))
                        .collect();
                }
                all
            })
            .collect();
        y.par_chunks_mut(each).enumerate().for_each(|(channel, y)| {
            let first = (image * channels + channel) * plane;
            let plane = xs.get(first..first + plane).unwrap_or_default();
            for (y, place) in y.iter_mut().zip(&places) {
                *y = place.iter().map(|&(o, w)| plane.get(o).map_or(0.0, |v| v * w)).sum();
            }
        });
    }
    Ok(vec![from_f64(x.dtype(), &shape, &y)?])
}

/// The points of a grid of coordinates of -1 to 1, each moved by its image's matrix.
fn affine(c: &Operands<'_>) -> Result<Vec<Array>> {
    let theta = c.array(0)?;
    let sizes: Vec<usize> =
        c.ints(1)?.unwrap_or_default().iter().filter_map(|&n| usize::try_from(n).ok()).collect();
    let (&[n, axes, columns], &[of, _, ref spatial @ ..]) = (theta.shape(), sizes.as_slice()) else {
        return refuse(format!("matrices {theta:?} and size {sizes:?} do not fit"));
    };
    if n != of || axes != spatial.len() || columns != axes + 1 {
        return refuse(format!("matrices {theta:?} and size {sizes:?} do not fit"));
    }
    let corners = c.op.flag("align_corners")?;
    let shape: Vec<usize> = std::iter::once(n).chain(spatial.iter().copied()).chain([axes]).collect();
    let (matrices, own) = (to_f64(theta), strides(spatial));
    let mut y = vec![0.0; count(&shape)?];
    let each = count(spatial)?;
    for (i, point) in y.chunks_mut(axes.max(1)).enumerate() {
        let (image, place) = (i / each.max(1), i % each.max(1));
        let at = |axis: usize| {
            let (size, step) = (spatial.get(axis).copied().unwrap_or(1), own.get(axis).copied().unwrap_or(1));
            let (k, n) = ((place / step.max(1) % size.max(1)) as f64, size as f64);
            match corners {
                true if size == 1 => 0.0,
                true => 2.0 * k / (n - 1.0) - 1.0,
                false => (2.0 * k + 1.0) / n - 1.0,
            }
        };
        for (row, to) in point.iter_mut().enumerate() {
            let first = (image * axes + row) * columns;
            let entry = |j: usize| matrices.get(first + j).copied().unwrap_or(0.0);
            // Coordinates go from the last axis to the first.
            *to = (0..axes).map(|j| entry(j) * at(axes - 1 - j)).sum::<f64>() + entry(axes);
        }
    }
    Ok(vec![from_f64(theta.dtype(), &shape, &y)?])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate;
    use occam_graph::onnx::{Attribute, Onnx};

    #[test]
    fn the_identity_changes_nothing() {
        let x = Array::from_f32([1, 1, 2, 3], (0..6).map(|v| v as f32).collect()).unwrap();
        let theta = Array::from_f32([1, 2, 3], vec![1.0, 0.0, 0.0, 0.0, 1.0, 0.0]).unwrap();
        let size = Array::from_i64([4], vec![1, 1, 2, 3]).unwrap();
        for corners in [0, 1] {
            let with = |op: Onnx| op.with("align_corners", Attribute::Int(corners));
            let grid =
                evaluate(&with(Onnx::new("AffineGrid", 20, 2)), &[theta.clone(), size.clone()]).unwrap();
            for mode in ["nearest", "linear", "cubic"] {
                let op = with(Onnx::new("GridSample", 20, 2)).with("mode", Attribute::String(mode.into()));
                let y = evaluate(&op, &[x.clone(), grid[0].clone()]).unwrap();
                for (a, b) in y[0].as_f32().unwrap().iter().zip(x.as_f32().unwrap()) {
                    assert!((a - b).abs() < 1e-5, "{mode}: {a}, not {b}");
                }
            }
        }
    }
}

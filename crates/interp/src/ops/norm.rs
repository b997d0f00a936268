//! Normalizations by mean and variance.

use occam_graph::onnx::axis_of;
use occam_graph::{Array, DType};

use super::unary::{floats, one};
use super::{Eval, Operands};
use crate::Result;
use crate::arith::{Number, each_float};
use crate::error::refuse;
use crate::map::{Lanes, repeated};
use crate::numbers::{Element, array, from_f64, to_f64};

pub(super) const TABLE: &[Eval] = &[
    Eval::new("BatchNormalization", batch),
    Eval::new("InstanceNormalization", instance),
    Eval::new("GroupNormalization", group),
    Eval::new("LayerNormalization", layer),
    Eval::new("RMSNormalization", rms),
    Eval::new("MeanVarianceNormalization", mean_variance),
];

fn epsilon(c: &Operands<'_>) -> Result<f64> {
    Ok(c.op.float("epsilon")?.unwrap_or(1e-5).into())
}

/// Mean and population variance.
fn moments(run: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let (sum, count) = run.clone().fold((0.0, 0.0), |(s, n), x| (s + x, n + 1.0));
    let mean = sum / count;
    (mean, run.map(|x| (x - mean) * (x - mean)).sum::<f64>() / count)
}

/// `a[c] · x + b[c]` with channels in axis 1, or one channel where there is no such axis.
fn affine<T: Number>(v: &[T], shape: &[usize], a: &[f64], b: &[f64]) -> Vec<T> {
    let plane: usize = shape.iter().skip(2).product();
    let channels = shape.get(1).copied().unwrap_or(1);
    let mut out = Vec::with_capacity(v.len());
    for (i, plane) in v.chunks(plane.max(1)).enumerate() {
        let c = i % channels.max(1);
        if let (Some(&a), Some(&b)) = (a.get(c), b.get(c)) {
            out.extend(plane.iter().map(|x| T::from_f64(x.to_f64() * a + b)));
        }
    }
    out
}

/// An operand of `count` floats.
fn vector(c: &Operands<'_>, index: usize, count: usize) -> Result<Vec<f64>> {
    let v = c.array(index)?;
    if v.shape() != [count] || !v.dtype().is_float() {
        return refuse(format!("input {index} must have shape [{count}], found {v:?}"));
    }
    Ok(to_f64(v))
}

/// Channels of a value that has them in axis 1.
fn channels(x: &Array) -> Result<usize> {
    match x.shape().get(1) {
        Some(&n) => Ok(n),
        None => refuse(format!("takes a value with channels in axis 1, found {x:?}")),
    }
}

fn batch(c: &Operands<'_>) -> Result<Vec<Array>> {
    let x = c.array(0)?;
    if c.op.version < 9 && c.op.int("spatial")?.unwrap_or(1) == 0 {
        return refuse("`spatial` 0 is not supported");
    }
    let count = if x.shape().len() == 1 { 1 } else { channels(x)? };
    let [scale, bias, mean, var] =
        [vector(c, 1, count)?, vector(c, 2, count)?, vector(c, 3, count)?, vector(c, 4, count)?];
    let training = c.op.version >= 14 && c.op.flag("training_mode")?;
    let epsilon = epsilon(c)?;
    let (used_mean, used_var) = if training { batch_moments(x, count)? } else { (mean.clone(), var.clone()) };
    let a: Vec<f64> = scale.iter().zip(&used_var).map(|(s, v)| s / (v + epsilon).sqrt()).collect();
    let b: Vec<f64> = bias.iter().zip(used_mean.iter().zip(&a)).map(|(b, (m, a))| b - m * a).collect();
    let y = each_float!(x, v => array(x.shape(), affine(v, x.shape(), &a, &b)), else => floats(x))?;
    if !training {
        return Ok(vec![y]);
    }
    let momentum = f64::from(c.op.float("momentum")?.unwrap_or(0.9));
    let moved = |old: &[f64], new: &[f64]| -> Vec<f64> {
        old.iter().zip(new).map(|(o, n)| o * momentum + n * (1.0 - momentum)).collect()
    };
    let mean = from_f64(c.dtype(3)?, &[count], &moved(&mean, &used_mean))?;
    let var = from_f64(c.dtype(4)?, &[count], &moved(&var, &used_var))?;
    Ok(vec![y, mean, var])
}

/// Mean and variance of every channel.
fn batch_moments(x: &Array, count: usize) -> Result<(Vec<f64>, Vec<f64>)> {
    if x.is_empty() || x.shape().len() < 2 {
        return refuse(format!("training takes a batch of channels, found {x:?}"));
    }
    let flags: Vec<bool> = (0..x.shape().len()).map(|i| i != 1).collect();
    let lanes = Lanes::new(x.shape(), &flags)?;
    let all: Vec<(f64, f64)> = each_float!(x, v => {
        lanes.fold(v, |start| moments(lanes.run(v, start).map(Element::to_f64)))
    }, else => floats(x)?);
    debug_assert_eq!(all.len(), count);
    Ok(all.into_iter().unzip())
}

fn instance(c: &Operands<'_>) -> Result<Vec<Array>> {
    let x = c.array(0)?;
    let count = channels(x)?;
    grouped(c, x, count, &vector(c, 1, count)?, &vector(c, 2, count)?)
}

/// Scale and bias are by group before version 21 and by channel since.
fn group(c: &Operands<'_>) -> Result<Vec<Array>> {
    let x = c.array(0)?;
    let count = channels(x)?;
    let groups = match c.op.size("num_groups")? {
        Some(n) if n > 0 && count % n == 0 => n,
        other => return refuse(format!("{count} channels do not make {other:?} groups")),
    };
    let operand = |i: usize| -> Result<Vec<f64>> {
        if c.op.version >= 21 {
            return vector(c, i, count);
        }
        Ok(vector(c, i, groups)?.iter().flat_map(|&s| std::iter::repeat_n(s, count / groups)).collect())
    };
    grouped(c, x, groups, &operand(1)?, &operand(2)?)
}

/// Normalizes every group of channels of every sample; scale and bias are by channel.
fn grouped(c: &Operands<'_>, x: &Array, groups: usize, scale: &[f64], bias: &[f64]) -> Result<Vec<Array>> {
    let epsilon = epsilon(c)?;
    let samples = x.shape().first().copied().unwrap_or(1);
    let group = x.len().checked_div(samples * groups).unwrap_or(0);
    let plane: usize = x.shape().iter().skip(2).product();
    if x.is_empty() {
        return Ok(vec![x.clone()]);
    }
    let lanes = Lanes::axis(&[samples * groups, group], 1)?;
    one(each_float!(x, v => {
        let normed = lanes.rewrite(v, |start, run| {
            let (mean, var) = moments(run.iter().copied());
            let factor = 1.0 / (var + epsilon).sqrt();
            let channels = scale.iter().zip(bias).skip(start / plane % scale.len().max(1));
            for (plane, (scale, bias)) in run.chunks_mut(plane).zip(channels) {
                plane.iter_mut().for_each(|x| *x = (*x - mean) * factor * scale + bias);
            }
        });
        array(x.shape(), normed)
    }, else => floats(x)))
}

/// The runs over `axis` and all axes after it, and the shape that is left with 1 for these.
fn trailing(c: &Operands<'_>, x: &Array) -> Result<(Lanes, Vec<usize>)> {
    let rank = x.shape().len();
    let axis = axis_of(c.op.int("axis")?.unwrap_or(-1), rank)?;
    let flags: Vec<bool> = (0..rank).map(|i| i >= axis).collect();
    Ok((Lanes::new(x.shape(), &flags)?, super::reduce::left(x.shape(), &flags, true)))
}

/// `y · scale + bias`, both repeated to the shape of `x`, as elements of `dtype`.
fn scaled(c: &Operands<'_>, x: &Array, y: Vec<f64>, dtype: DType) -> Result<Array> {
    let mut y = y;
    let scale = c.array(1)?;
    let factors = to_f64(scale);
    for (y, s) in y.iter_mut().zip(repeated(&factors, scale.shape(), x.shape())?.iter()) {
        *y *= s;
    }
    if let Some(bias) = c.get(2) {
        let terms = to_f64(bias);
        for (y, b) in y.iter_mut().zip(repeated(&terms, bias.shape(), x.shape())?.iter()) {
            *y += b;
        }
    }
    from_f64(dtype, x.shape(), &y)
}

fn layer(c: &Operands<'_>) -> Result<Vec<Array>> {
    let x = c.array(0)?;
    let epsilon = epsilon(c)?;
    let (lanes, shape) = trailing(c, x)?;
    let stash = c.op.dtype("stash_type")?.unwrap_or(DType::F32);
    let (y, statistics) = each_float!(x, v => {
        let statistics = lanes.fold(v, |start| {
            let (mean, var) = moments(lanes.run(v, start).map(Element::to_f64));
            (mean, 1.0 / (var + epsilon).sqrt())
        });
        let mut y = vec![0.0; v.len()];
        for (&start, (mean, factor)) in lanes.starts.iter().zip(&statistics) {
            for &offset in &lanes.offsets {
                if let (Some(y), Some(x)) = (y.get_mut(start + offset), v.get(start + offset)) {
                    *y = (Element::to_f64(*x) - mean) * factor;
                }
            }
        }
        (y, statistics)
    }, else => floats(x)?);
    let (means, factors): (Vec<f64>, Vec<f64>) = statistics.into_iter().unzip();
    Ok(vec![
        scaled(c, x, y, x.dtype())?,
        from_f64(stash, &shape, &means)?,
        from_f64(stash, &shape, &factors)?,
    ])
}

/// `x / sqrt(mean(x²) + epsilon) · scale`, in the scale's type.
fn rms(c: &Operands<'_>) -> Result<Vec<Array>> {
    let x = c.array(0)?;
    let epsilon = epsilon(c)?;
    let (lanes, _) = trailing(c, x)?;
    let y = each_float!(x, v => lanes.map(v, |start, out: &mut Vec<f64>| {
        let run = lanes.run(v, start).map(Element::to_f64);
        let (sum, count) = run.clone().fold((0.0, 0.0), |(s, n), x| (s + x * x, n + 1.0));
        let root = (sum / count + epsilon).sqrt();
        out.extend(run.map(|x| x / root));
    }), else => floats(x)?);
    one(scaled(c, x, y, c.dtype(1)?))
}

/// `(x - mean) / (sqrt(var) + 1e-9)`, as ONNX's function has it.
fn mean_variance(c: &Operands<'_>) -> Result<Vec<Array>> {
    let x = c.array(0)?;
    let mut flags = vec![false; x.shape().len()];
    for &axis in c.op.ints("axes")?.unwrap_or(&[0, 2, 3]) {
        let axis = axis_of(axis, x.shape().len())?;
        if let Some(flag) = flags.get_mut(axis) {
            *flag = true;
        }
    }
    let lanes = Lanes::new(x.shape(), &flags)?;
    one(each_float!(x, v => {
        let normed = lanes.rewrite(v, |_, run| {
            let (mean, var) = moments(run.iter().copied());
            run.iter_mut().for_each(|x| *x = (*x - mean) / (var.sqrt() + 1e-9));
        });
        array(x.shape(), normed)
    }, else => floats(x)))
}

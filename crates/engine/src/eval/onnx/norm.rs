//! Normalizations.

use super::{Call, Run, axis_of, one, raised};
use crate::error::refuse;
use crate::{Operand, Result, Tensor};

pub(super) const TABLE: &[(&str, Run)] = &[
    ("BatchNormalization", batch),
    ("GroupNormalization", group),
    ("InstanceNormalization", instance),
    ("LRN", local_response),
    ("LayerNormalization", layer),
    ("LpNormalization", lp),
    ("MeanVarianceNormalization", mean_variance),
    ("RMSNormalization", rms),
    ("SimplifiedLayerNormalization", rms),
];

/// `v[c]` for every channel of `[N, C, ..]`.
fn by_channel(v: &Tensor, rank: usize) -> Result<Tensor> {
    let mut shape = vec![1; rank];
    if let Some(c) = shape.get_mut(1) {
        *c = v.len();
    }
    v.reshape(&shape)
}

/// `(x − μ) / √(σ² + eps)` along `axis`.
fn standard(x: &Tensor, axis: usize, eps: f64) -> Result<Tensor> {
    let centred = x.sub(&x.mean_axis(axis)?)?;
    let deviation = centred.mul(&centred)?.mean_axis(axis)?.shift(eps)?.sqrt()?;
    centred.div(&deviation)
}

/// By the statistics that the file holds, which stay as they are while a model learns: files have no running ones.
fn batch(c: &Call<'_>) -> Result<Option<Vec<Operand>>> {
    let old = c.op.int("is_test")?.is_some_and(|n| n == 0) || c.op.int("spatial")?.is_some_and(|n| n == 0);
    if old || c.op.flag("training_mode")? {
        return Ok(None);
    }
    let x = c.tensor(0)?;
    let (scale, bias, mean, var) = (c.tensor(1)?, c.tensor(2)?, c.tensor(3)?, c.tensor(4)?);
    let factor = scale.div(&var.shift(c.float("epsilon", 1e-5)?)?.sqrt()?)?;
    let term = bias.sub(&mean.mul(&factor)?)?;
    one(x.channel_affine(&factor, &term)?)
}

fn instance(c: &Call<'_>) -> Result<Option<Vec<Operand>>> {
    let (x, scale, bias) = (c.tensor(0)?, c.tensor(1)?, c.tensor(2)?);
    let shape = x.shape();
    let &[n, channels, ..] = shape.as_slice() else { return Ok(None) };
    let flat = x.reshape(&[n, channels, x.len() / (n * channels).max(1)])?;
    let y = standard(&flat, 2, c.float("epsilon", 1e-5)?)?.reshape(&shape)?;
    one(y.mul(&by_channel(&scale, shape.len())?)?.add(&by_channel(&bias, shape.len())?)?)
}

fn group(c: &Call<'_>) -> Result<Option<Vec<Operand>>> {
    let (x, scale, bias) = (c.tensor(0)?, c.tensor(1)?, c.tensor(2)?);
    let shape = x.shape();
    let (&[n, channels, ..], Some(groups)) = (shape.as_slice(), c.op.size("num_groups")?) else {
        return Ok(None);
    };
    if groups == 0 || !channels.is_multiple_of(groups) {
        return refuse("GroupNormalization", format!("{groups} groups do not divide the channels of {x:?}"));
    }
    let flat = x.reshape(&[n, groups, x.len() / (n * groups).max(1)])?;
    let y = standard(&flat, 2, c.float("epsilon", 1e-5)?)?.reshape(&shape)?;
    // Until version 21 there was a factor for every group.
    let spread = |v: &Tensor| -> Result<Tensor> {
        if v.len() == channels {
            return by_channel(v, shape.len());
        }
        let each = v.reshape(&[v.len(), 1])?.expand(&[v.len(), channels / groups])?;
        by_channel(&each.reshape(&[channels])?, shape.len())
    };
    one(y.mul(&spread(&scale)?)?.add(&spread(&bias)?)?)
}

/// `x` as rows of what is normalized together, from `axis` on.
fn rows(c: &Call<'_>, x: &Tensor) -> Result<Tensor> {
    let shape = x.shape();
    let axis = axis_of(c.op.int("axis")?.unwrap_or(-1), shape.len())?;
    let outer = shape.iter().take(axis).product();
    x.reshape(&[outer, shape.iter().skip(axis).product()])
}

fn layer(c: &Call<'_>) -> Result<Option<Vec<Operand>>> {
    let x = c.tensor(0)?;
    let flat = rows(c, &x)?;
    let eps = c.float("epsilon", 1e-5)?;
    let (scale, bias) = (c.get(1)?, c.get(2)?);
    let n = flat.dim(1)?;
    if let (Some(scale), Some(bias)) = (&scale, &bias)
        && scale.len() == n
        && bias.len() == n
    {
        let y = flat.layer_norm(&scale.reshape(&[n])?, &bias.reshape(&[n])?, eps)?;
        return one(y.reshape(&x.shape())?);
    }
    let mut y = standard(&flat, 1, eps)?.reshape(&x.shape())?;
    if let Some(scale) = scale {
        y = y.mul(&raised(&scale, x.rank())?)?;
    }
    if let Some(bias) = bias {
        y = y.add(&raised(&bias, x.rank())?)?;
    }
    one(y)
}

/// `x / √(mean(x²) + eps) · scale`
fn rms(c: &Call<'_>) -> Result<Option<Vec<Operand>>> {
    let x = c.tensor(0)?;
    let flat = rows(c, &x)?;
    let size = flat.mul(&flat)?.mean_axis(1)?.shift(c.float("epsilon", 1e-5)?)?.sqrt()?;
    let y = flat.div(&size)?.reshape(&x.shape())?;
    match c.get(1)? {
        Some(scale) => one(y.mul(&raised(&scale, x.rank())?)?),
        None => one(y),
    }
}

fn lp(c: &Call<'_>) -> Result<Option<Vec<Operand>>> {
    let x = c.tensor(0)?;
    let axis = axis_of(c.op.int("axis")?.unwrap_or(-1), x.rank())?;
    let size = match c.op.int("p")?.unwrap_or(2) {
        1 => x.abs()?.sum_axis(axis)?,
        2 => x.mul(&x)?.sum_axis(axis)?.sqrt()?,
        _ => return Ok(None),
    };
    // A row of zeros stays 0.
    one(x.div(&size.clamp(f64::from(f32::MIN_POSITIVE), f64::INFINITY)?)?)
}

/// `x / (bias + alpha / size · Σ x²)^beta` over `size` neighbouring channels.
fn local_response(c: &Call<'_>) -> Result<Option<Vec<Operand>>> {
    let x = c.tensor(0)?;
    let Some(size) = c.op.size("size")?.filter(|&s| s > 0) else { return Ok(None) };
    let (alpha, beta) = (c.float("alpha", 1e-4)?, c.float("beta", 0.75)?);
    let channels = x.dim(1)?;
    let (before, behind) = ((size - 1) / 2, size / 2);
    let near = |i: usize, j: usize| i + before >= j && i <= j + behind;
    let band = (0..channels).flat_map(|i| (0..channels).map(move |j| if near(i, j) { 1.0 } else { 0.0 }));
    let sums = x.mul(&x)?.along(1, band.collect(), channels)?;
    let divisor = sums.scale(alpha / size as f64)?.shift(c.float("bias", 1.0)?)?;
    one(x.mul(&divisor.powf(-beta)?)?)
}

/// `(x − μ) / √(mean(x²) − μ²)` over `axes`.
fn mean_variance(c: &Call<'_>) -> Result<Option<Vec<Operand>>> {
    let x = c.tensor(0)?;
    let axes = c.op.ints("axes")?.unwrap_or(&[0, 2, 3]);
    let axes = axes.iter().map(|&a| axis_of(a, x.rank())).collect::<Result<Vec<_>>>()?;
    let mean = |x: &Tensor| axes.iter().try_fold(x.clone(), |x, &axis| x.mean_axis(axis));
    let centred = x.sub(&mean(&x)?)?;
    let deviation = mean(&centred.mul(&centred)?)?.sqrt()?.shift(1e-9)?;
    one(centred.div(&deviation)?)
}

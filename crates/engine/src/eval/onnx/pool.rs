//! Poolings.
//!
//! Those of planes with equal pads on both sides go to the kernels. All others look up the places of each window, which
//! follow from the geometry alone, and reduce what is there.

use occam_graph::ops::{Pool, PoolKind};

use super::conv::pads;
use super::{Call, Run, one};
use crate::{Operand, Result, Tensor};

pub(super) const TABLE: &[(&str, Run)] = &[
    ("AveragePool", average),
    ("GlobalAveragePool", |c| one(c.tensor(0)?.global_avg_pool()?)),
    ("GlobalLpPool", global_lp),
    ("GlobalMaxPool", |c| global(c, |x| x.max_axis(2))),
    ("LpPool", lp),
    ("MaxPool", max),
];

/// `[N, C, ..]` as `[N, C, elements]`, and the shape of one value a channel.
fn channels(x: &Tensor) -> Result<(Tensor, Vec<usize>)> {
    let (n, c) = (x.dim(0)?, x.dim(1)?);
    let mut shape = vec![1; x.rank()];
    shape.iter_mut().zip([n, c]).for_each(|(s, d)| *s = d);
    Ok((x.reshape(&[n, c, x.len() / (n * c).max(1)])?, shape))
}

fn global(c: &Call<'_>, f: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Option<Vec<Operand>>> {
    let (flat, shape) = channels(&c.tensor(0)?)?;
    one(f(&flat)?.reshape(&shape)?)
}

fn global_lp(c: &Call<'_>) -> Result<Option<Vec<Operand>>> {
    let p = c.op.int("p")?.unwrap_or(2) as f64;
    global(c, |x| norm(x, p, 2))
}

/// `(Σ |x|ᵖ)^(1 / p)` along `axis`.
fn norm(x: &Tensor, p: f64, axis: usize) -> Result<Tensor> {
    let size = x.abs()?;
    if p == 1.0 {
        return size.sum_axis(axis);
    }
    size.powf(p)?.sum_axis(axis)?.powf(1.0 / p)
}

/// Windows of a pooling.
struct Windows {
    kernel: Vec<usize>,
    stride: Vec<usize>,
    dilation: Vec<usize>,
    pads: Vec<(usize, usize)>,
    output: Vec<usize>,
    ceil: bool,
}

impl Windows {
    fn of(c: &Call<'_>, x: &Tensor) -> Result<Option<Self>> {
        let shape = x.shape();
        let (Some(input), Some(kernel)) = (shape.get(2..), c.op.ints("kernel_shape")?) else {
            return Ok(None);
        };
        let rank = input.len();
        let kernel: Vec<usize> = kernel.iter().filter_map(|&k| usize::try_from(k).ok()).collect();
        let (stride, dilation) = (c.sizes("strides", rank, 1)?, c.sizes("dilations", rank, 1)?);
        let lists = [kernel.len(), stride.len(), dilation.len()];
        if lists != [rank; 3] || kernel.contains(&0) || stride.contains(&0) || x.is_empty() {
            return Ok(None);
        }
        let Some(pads) = pads(c, input, &kernel, &stride, &dilation)? else { return Ok(None) };
        let ceil = c.op.flag("ceil_mode")?;
        let mut output = Vec::with_capacity(rank);
        for ((((&n, &k), &s), &d), &(a, b)) in
            input.iter().zip(&kernel).zip(&stride).zip(&dilation).zip(&pads)
        {
            let Some(room) = (n + a + b).checked_sub(d * (k - 1) + 1) else { return Ok(None) };
            let steps = if ceil { room.div_ceil(s) } else { room / s };
            // A window must not begin in the padding behind.
            output.push(if ceil && steps * s >= n + a { steps } else { steps + 1 });
        }
        Ok(Some(Self { kernel, stride, dilation, pads, output, ceil }))
    }

    /// The geometry of the kernels, where they have it.
    fn pool(&self, kind: PoolKind) -> Option<Pool> {
        let two = |v: &[usize]| <[usize; 2]>::try_from(v).ok();
        let even = self.pads.iter().all(|(a, b)| a == b) && self.dilation.iter().all(|&d| d == 1);
        let padding: Vec<usize> = self.pads.iter().map(|p| p.0).collect();
        let narrow = padding.iter().zip(&self.kernel).all(|(&p, &k)| 2 * p <= k);
        if !even || self.ceil || !narrow {
            return None;
        }
        let (kernel, stride) = (two(&self.kernel)?, two(&self.stride)?);
        Some(Pool { kernel, stride, padding: two(&padding)?, ceil_mode: false, kind })
    }

    /// The elements of every window, `[N, C, windows, places]`, with `fill` where a place is padding; and by window how many
    /// places are elements, and how many are elements or padding that was asked for.
    fn elements(&self, x: &Tensor, fill: f32) -> Result<(Tensor, Vec<(usize, usize)>)> {
        let shape = x.shape();
        let input = shape.get(2..).unwrap_or_default();
        let (flat, _) = channels(x)?;
        let outside = flat.dim(2)?;
        let flat = flat.pad_with(&[(0, 0), (0, 0), (0, 1)], fill)?;
        let windows: usize = self.output.iter().product();
        let places: usize = self.kernel.iter().product();
        let mut picked = Vec::with_capacity(windows * places);
        let mut counts = Vec::with_capacity(windows);
        for window in 0..windows {
            let (mut inside, mut padded) = (0, 0);
            for place in 0..places {
                let (mut w, mut k, mut at, mut scale) = (window, place, Some(0), 1);
                let mut within = true;
                for axis in (0..input.len()).rev() {
                    let get = |v: &[usize]| v.get(axis).copied().unwrap_or(1);
                    let (n, (a, b)) = (get(input), self.pads.get(axis).copied().unwrap_or_default());
                    let (o, i) = (w % get(&self.output), k % get(&self.kernel));
                    (w, k) = (w / get(&self.output), k / get(&self.kernel));
                    let place = o * get(&self.stride) + i * get(&self.dilation);
                    within &= place < n + a + b;
                    at = at.zip(place.checked_sub(a).filter(|&p| p < n)).map(|(at, p)| at + p * scale);
                    scale *= n;
                }
                inside += usize::from(at.is_some());
                padded += usize::from(within);
                picked.push(at.unwrap_or(outside));
            }
            counts.push((inside, padded));
        }
        let (n, c) = (x.dim(0)?, x.dim(1)?);
        Ok((flat.select(2, &picked)?.reshape(&[n, c, windows, places])?, counts))
    }

    /// `[N, C, windows, 1]` as the result.
    fn shaped(&self, x: &Tensor, y: &Tensor) -> Result<Tensor> {
        let mut shape = vec![x.dim(0)?, x.dim(1)?];
        shape.extend(&self.output);
        y.reshape(&shape)
    }
}

fn max(c: &Call<'_>) -> Result<Option<Vec<Operand>>> {
    let x = c.tensor(0)?;
    let Some(windows) = Windows::of(c, &x)? else { return Ok(None) };
    if let Some(pool) = windows.pool(PoolKind::Max) {
        return one(x.pool2d(&pool)?);
    }
    let (elements, _) = windows.elements(&x, f32::NEG_INFINITY)?;
    one(windows.shaped(&x, &elements.max_axis(3)?)?)
}

fn average(c: &Call<'_>) -> Result<Option<Vec<Operand>>> {
    let x = c.tensor(0)?;
    let Some(windows) = Windows::of(c, &x)? else { return Ok(None) };
    let count_include_pad = c.op.flag("count_include_pad")?;
    if let Some(pool) = windows.pool(PoolKind::Average { count_include_pad }) {
        return one(x.pool2d(&pool)?);
    }
    let (elements, counts) = windows.elements(&x, 0.0)?;
    let shares = counts.iter().map(|&(inside, padded)| {
        let count = if count_include_pad { padded } else { inside };
        1.0 / count.max(1) as f32
    });
    let shares = Tensor::from_f32(&[1, 1, counts.len(), 1], shares.collect(), c.device)?.cast(x.dtype()?)?;
    one(windows.shaped(&x, &elements.sum_axis(3)?.mul(&shares)?)?)
}

fn lp(c: &Call<'_>) -> Result<Option<Vec<Operand>>> {
    let x = c.tensor(0)?;
    let Some(windows) = Windows::of(c, &x)? else { return Ok(None) };
    let p = c.op.int("p")?.unwrap_or(2) as f64;
    let (elements, _) = windows.elements(&x, 0.0)?;
    one(windows.shaped(&x, &norm(&elements, p, 3)?)?)
}

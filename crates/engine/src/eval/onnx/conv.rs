//! Convolutions along one and two axes.

use occam_graph::ops::Conv;

use super::{Call, Run, one};
use crate::error::refuse;
use crate::{Operand, Result, Tensor};

pub(super) const TABLE: &[(&str, Run)] = &[("Conv", conv), ("ConvTranspose", transposed)];

/// Pads before and behind each axis: those of the attributes, or those by which an output has `⌈size / stride⌉` elements.
pub(super) fn pads(
    c: &Call<'_>,
    input: &[usize],
    kernel: &[usize],
    stride: &[usize],
    dilation: &[usize],
) -> Result<Option<Vec<(usize, usize)>>> {
    let rank = input.len();
    let lower = match c.op.text("auto_pad")?.unwrap_or("NOTSET") {
        "NOTSET" => {
            let pads = c.sizes("pads", 2 * rank, 0)?;
            if pads.len() != 2 * rank {
                return refuse("pads", format!("{} numbers for {rank} axes", pads.len()));
            }
            let (before, behind) = pads.split_at(rank);
            return Ok(Some(before.iter().copied().zip(behind.iter().copied()).collect()));
        }
        "VALID" => return Ok(Some(vec![(0, 0); rank])),
        "SAME_LOWER" => true,
        "SAME_UPPER" => false,
        _ => return Ok(None),
    };
    let mut all = Vec::with_capacity(rank);
    for (((&n, &k), &s), &d) in input.iter().zip(kernel).zip(stride).zip(dilation) {
        let reach = d.saturating_mul(k.saturating_sub(1)).saturating_add(1);
        let steps = n.div_ceil(s.max(1)).saturating_sub(1).saturating_mul(s);
        let total = steps.saturating_add(reach).saturating_sub(n);
        let (small, large) = (total / 2, total - total / 2);
        all.push(if lower { (large, small) } else { (small, large) });
    }
    Ok(Some(all))
}

/// A list of one or two as that of two axes: an axis of size 1 is put before.
fn plane<T: Copy>(list: &[T], first: T) -> Option<[T; 2]> {
    match *list {
        [a] => Some([first, a]),
        [a, b] => Some([a, b]),
        _ => None,
    }
}

/// `[N, C, L]` as `[N, C, 1, L]`.
fn four(x: &Tensor) -> Result<Tensor> {
    match *x.shape().as_slice() {
        [n, c, l] => x.reshape(&[n, c, 1, l]),
        _ => Ok(x.clone()),
    }
}

/// The result along as many axes as the operand had.
fn lowered(y: Tensor, rank: usize) -> Result<Tensor> {
    match *y.shape().as_slice() {
        [n, c, 1, l] if rank == 3 => y.reshape(&[n, c, l]),
        _ => Ok(y),
    }
}

fn geometry(c: &Call<'_>, x: &Tensor, weight: &Tensor) -> Result<Option<Conv>> {
    let (input, kernel) = (x.shape(), weight.shape());
    let (Some(input), Some(kernel)) = (input.get(2..), kernel.get(2..)) else { return Ok(None) };
    let rank = input.len();
    if kernel.len() != rank {
        return Ok(None);
    }
    let (stride, dilation) = (c.sizes("strides", rank, 1)?, c.sizes("dilations", rank, 1)?);
    let Some(pads) = pads(c, input, kernel, &stride, &dilation)? else { return Ok(None) };
    let lists = (plane(&stride, 1), plane(&dilation, 1), plane(&pads, (0, 0)));
    let (Some(stride), Some(dilation), Some(padding)) = lists else { return Ok(None) };
    Ok(Some(Conv { stride, padding, dilation, groups: c.op.size("group")?.unwrap_or(1) }))
}

fn conv(c: &Call<'_>) -> Result<Option<Vec<Operand>>> {
    let (x, weight, bias) = (c.tensor(0)?, c.tensor(1)?, c.get(2)?);
    let Some(geometry) = geometry(c, &x, &weight)? else { return Ok(None) };
    let (planes, kernels) = (four(&x)?, four(&weight)?);
    let y = match bias {
        Some(bias) => planes.conv2d_bias(&kernels, &bias, &geometry)?,
        None => planes.conv2d(&kernels, &geometry)?,
    };
    one(lowered(y, x.rank())?)
}

fn transposed(c: &Call<'_>) -> Result<Option<Vec<Operand>>> {
    let (x, weight, bias) = (c.tensor(0)?, c.tensor(1)?, c.get(2)?);
    let explicit = matches!(c.op.text("auto_pad")?.unwrap_or("NOTSET"), "NOTSET" | "VALID");
    if !explicit || c.op.ints("output_shape")?.is_some() {
        return Ok(None);
    }
    let Some(geometry) = geometry(c, &x, &weight)? else { return Ok(None) };
    let extra = c.sizes("output_padding", x.rank().saturating_sub(2), 0)?;
    let Some(extra) = plane(&extra, 0) else { return Ok(None) };
    let mut y = four(&x)?.conv_transpose2d(&four(&weight)?, &geometry, extra)?;
    if let Some(bias) = bias {
        y = y.add(&bias.reshape(&[1, bias.len(), 1, 1])?)?;
    }
    one(lowered(y, x.rank())?)
}

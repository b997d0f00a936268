//! Shapes, orders of axes, joining and cutting.

use occam_graph::onnx::slice_range;

use super::{Call, Run, axis_of, one, raised};
use crate::error::refuse;
use crate::{Operand, Result, Tensor};

pub(super) const TABLE: &[(&str, Run)] = &[
    ("Concat", concat),
    ("DepthToSpace", depth_to_space),
    ("Expand", expand),
    ("Flatten", flatten),
    ("Reshape", reshape),
    ("Slice", slice),
    ("SpaceToDepth", space_to_depth),
    ("Split", split),
    ("Squeeze", squeeze),
    ("Tile", tile),
    ("Transpose", transpose),
    ("Unsqueeze", unsqueeze),
];

fn reshape(c: &Call<'_>) -> Result<Option<Vec<Operand>>> {
    let x = c.tensor(0)?;
    let Some(wanted) = c.ints_of("shape", 1)? else { return Ok(None) };
    let own = x.shape();
    let keeps_zero = c.op.flag("allowzero")?;
    let mut shape = Vec::with_capacity(wanted.len());
    let mut open = None;
    for (i, &n) in wanted.iter().enumerate() {
        shape.push(match (n, usize::try_from(n)) {
            (0, _) if !keeps_zero => match own.get(i) {
                Some(&d) => d,
                None => return refuse("Reshape", format!("no axis {i} to copy from {x:?}")),
            },
            (_, Ok(n)) => n,
            (-1, _) if open.is_none() => {
                open = Some(i);
                1
            }
            _ => return refuse("Reshape", format!("{x:?} cannot be viewed as {wanted:?}")),
        });
    }
    if let Some(i) = open {
        let rest: usize = shape.iter().product();
        if let (Some(size), Some(s)) = (x.len().checked_div(rest), shape.get_mut(i)) {
            *s = size;
        }
    }
    one(x.reshape(&shape)?)
}

fn flatten(c: &Call<'_>) -> Result<Option<Vec<Operand>>> {
    let x = c.tensor(0)?;
    let shape = x.shape();
    let axis = c.op.int("axis")?.unwrap_or(1);
    let axis = if axis == shape.len() as i64 { shape.len() } else { axis_of(axis, shape.len())? };
    let product = |part: Option<&[usize]>| part.unwrap_or_default().iter().product::<usize>();
    one(x.reshape(&[product(shape.get(..axis)), product(shape.get(axis..))])?)
}

fn squeeze(c: &Call<'_>) -> Result<Option<Vec<Operand>>> {
    let x = c.tensor(0)?;
    let shape = x.shape();
    let dropped: Vec<usize> = match c.ints_of("axes", 1)? {
        Some(axes) => axes.into_iter().map(|a| axis_of(a, shape.len())).collect::<Result<_>>()?,
        None => (0..shape.len()).filter(|&i| shape.get(i) == Some(&1)).collect(),
    };
    let kept: Vec<usize> =
        shape.iter().enumerate().filter(|(i, _)| !dropped.contains(i)).map(|(_, &d)| d).collect();
    one(x.reshape(&kept)?)
}

fn unsqueeze(c: &Call<'_>) -> Result<Option<Vec<Operand>>> {
    let x = c.tensor(0)?;
    let Some(axes) = c.ints_of("axes", 1)? else { return Ok(None) };
    let rank = x.rank() + axes.len();
    let new = axes.into_iter().map(|a| axis_of(a, rank)).collect::<Result<Vec<_>>>()?;
    let mut own = x.shape().into_iter();
    let shape: Vec<usize> =
        (0..rank).map(|i| if new.contains(&i) { 1 } else { own.next().unwrap_or(1) }).collect();
    one(x.reshape(&shape)?)
}

fn transpose(c: &Call<'_>) -> Result<Option<Vec<Operand>>> {
    let x = c.tensor(0)?;
    let perm = match c.op.ints("perm")? {
        None => (0..x.rank()).rev().collect(),
        Some(perm) => perm.iter().map(|&p| axis_of(p, x.rank())).collect::<Result<Vec<_>>>()?,
    };
    one(x.permute(&perm)?)
}

fn expand(c: &Call<'_>) -> Result<Option<Vec<Operand>>> {
    let Some(wanted) = c.ints(1)? else { return Ok(None) };
    let x = c.tensor(0)?;
    let x = raised(&x, wanted.len())?;
    let mut shape = x.shape();
    let first = shape.len() - wanted.len().min(shape.len());
    for (s, &n) in shape.iter_mut().skip(first).zip(&wanted) {
        match usize::try_from(n) {
            Ok(n) if *s == 1 => *s = n,
            Ok(n) if n == *s || n == 1 => {}
            _ => return refuse("Expand", format!("{x:?} cannot be repeated to {wanted:?}")),
        }
    }
    one(x.expand(&shape)?)
}

fn concat(c: &Call<'_>) -> Result<Option<Vec<Operand>>> {
    let tensors = (0..c.len()).map(|i| c.tensor(i)).collect::<Result<Vec<_>>>()?;
    let rank = tensors.first().map_or(0, Tensor::rank);
    let axis = axis_of(c.op.int("axis")?.unwrap_or(1), rank)?;
    let filled: Vec<Tensor> = tensors.iter().filter(|t| !t.is_empty()).cloned().collect();
    one(Tensor::concat(if filled.is_empty() { &tensors } else { &filled }, axis)?)
}

fn split(c: &Call<'_>) -> Result<Option<Vec<Operand>>> {
    let x = c.tensor(0)?;
    let axis = axis_of(c.op.int("axis")?.unwrap_or(0), x.rank())?;
    let size = x.dim(axis)?;
    let lengths: Vec<usize> = match c.ints_of("split", 1)? {
        Some(v) => v.into_iter().map(|n| usize::try_from(n).unwrap_or(usize::MAX)).collect(),
        None => {
            let parts = c.op.size("num_outputs")?.unwrap_or(c.op.outputs.len()).max(1);
            let each = size.div_ceil(parts);
            (0..parts).map(|i| each.min(size.saturating_sub(i * each))).collect()
        }
    };
    if lengths.iter().try_fold(0usize, |n, &d| n.checked_add(d)) != Some(size) || lengths.contains(&0) {
        return Ok(None);
    }
    let mut start = 0;
    let mut parts = Vec::with_capacity(lengths.len());
    for length in lengths {
        parts.push(Operand::Tensor(x.narrow(axis, start, length)?));
        start += length;
    }
    Ok(Some(parts))
}

fn slice(c: &Call<'_>) -> Result<Option<Vec<Operand>>> {
    let mut x = c.tensor(0)?;
    let (Some(starts), Some(ends)) = (c.ints_of("starts", 1)?, c.ints_of("ends", 2)?) else {
        return Ok(None);
    };
    let axes = c.ints_of("axes", 3)?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = c.ints(4)?.unwrap_or_else(|| vec![1; starts.len()]);
    if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] || steps.contains(&0) {
        return refuse("Slice", "starts, ends, axes and steps do not fit");
    }
    for (((start, end), axis), step) in starts.into_iter().zip(ends).zip(axes).zip(steps) {
        let axis = axis_of(axis, x.rank())?;
        let (first, count) = slice_range(x.dim(axis)?, start, end, step)?;
        let places = (0..count).map(|i| (i as i64).saturating_mul(step).saturating_add(first as i64));
        let picked: Vec<usize> = places.filter_map(|at| usize::try_from(at).ok()).collect();
        match (picked.first(), step) {
            (None, _) => return Ok(None),
            (Some(&first), 1) => x = x.narrow(axis, first, picked.len())?,
            _ => x = x.select(axis, &picked)?,
        }
    }
    one(x)
}

fn tile(c: &Call<'_>) -> Result<Option<Vec<Operand>>> {
    let mut x = c.tensor(0)?;
    let Some(repeats) = c.ints(1)? else { return Ok(None) };
    if repeats.len() != x.rank() || repeats.iter().any(|&n| n < 1) {
        return Ok(None);
    }
    for (axis, &n) in repeats.iter().enumerate() {
        if n > 1 {
            let copies = vec![x.clone(); usize::try_from(n).unwrap_or(1)];
            x = Tensor::concat(&copies, axis)?;
        }
    }
    one(x)
}

fn depth_to_space(c: &Call<'_>) -> Result<Option<Vec<Operand>>> {
    let x = c.tensor(0)?;
    let (Some(b), &[n, ch, h, w]) = (c.op.size("blocksize")?, x.shape().as_slice()) else { return Ok(None) };
    let inner = ch.checked_div(b * b).unwrap_or(0);
    let (shape, perm) = match c.op.text("mode")?.unwrap_or("DCR") {
        "DCR" => ([n, b, b, inner, h, w], [0, 3, 4, 1, 5, 2]),
        "CRD" => ([n, inner, b, b, h, w], [0, 1, 4, 2, 5, 3]),
        _ => return Ok(None),
    };
    one(x.reshape(&shape)?.permute(&perm)?.reshape(&[n, inner, h * b, w * b])?)
}

fn space_to_depth(c: &Call<'_>) -> Result<Option<Vec<Operand>>> {
    let x = c.tensor(0)?;
    let (Some(b), &[n, ch, h, w]) = (c.op.size("blocksize")?, x.shape().as_slice()) else { return Ok(None) };
    let (rows, columns) = (h.checked_div(b).unwrap_or(0), w.checked_div(b).unwrap_or(0));
    let cut = x.reshape(&[n, ch, rows, b, columns, b])?.permute(&[0, 3, 5, 1, 2, 4])?;
    one(cut.reshape(&[n, ch * b * b, rows, columns])?)
}

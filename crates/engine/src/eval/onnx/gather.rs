//! Picking elements by constant places.

use occam_graph::Array;

use super::{Call, Run, axis_of, one};
use crate::error::refuse;
use crate::{Operand, Result, Tensor};

pub(super) const TABLE: &[(&str, Run)] =
    &[("Gather", gather), ("GatherElements", elements), ("GatherND", nd), ("TopK", top_k)];

/// Places counted from the end where they are negative.
fn places(indices: &[i64], size: usize) -> Result<Vec<usize>> {
    indices
        .iter()
        .map(|&i| {
            let at = if i < 0 { i.saturating_add(size as i64) } else { i };
            match usize::try_from(at) {
                Ok(at) if at < size => Ok(at),
                _ => refuse("Gather", format!("index {i} is beyond {size} elements")),
            }
        })
        .collect()
}

fn gather(c: &Call<'_>) -> Result<Option<Vec<Operand>>> {
    let x = c.tensor(0)?;
    let axis = axis_of(c.op.int("axis")?.unwrap_or(0), x.rank())?;
    let (Some(indices), Some(operand)) = (c.ints(1)?, c.operand(1)) else { return Ok(None) };
    if indices.is_empty() {
        return Ok(None);
    }
    let picked = x.select(axis, &places(&indices, x.dim(axis)?)?)?;
    let mut shape = x.shape();
    shape.splice(axis..=axis, operand.shape());
    one(picked.reshape(&shape)?)
}

fn elements(c: &Call<'_>) -> Result<Option<Vec<Operand>>> {
    let x = c.tensor(0)?;
    let axis = axis_of(c.op.int("axis")?.unwrap_or(0), x.rank())?;
    let (Some(indices), Some(operand)) = (c.ints(1)?, c.operand(1)) else { return Ok(None) };
    let at = places(&indices, x.dim(axis)?)?.into_iter().map(|i| i as i64).collect();
    // Of the other axes, only as many elements are looked at as there are indices.
    let mut x = x;
    for (other, (&count, size)) in
        operand.shape().iter().zip(x.shape()).enumerate().filter(|(i, _)| *i != axis)
    {
        if count > size || count == 0 {
            return Ok(None);
        }
        if count < size {
            x = x.select(other, &(0..count).collect::<Vec<_>>())?;
        }
    }
    one(x.gather(axis, &Tensor::from_i64(&operand.shape(), at, c.device)?)?)
}

/// As rows of a matrix with one column for each element of what an index names.
fn nd(c: &Call<'_>) -> Result<Option<Vec<Operand>>> {
    let x = c.tensor(0)?;
    let batch = c.op.size("batch_dims")?.unwrap_or(0);
    let (Some(indices), Some(operand)) = (c.ints(1)?, c.operand(1)) else { return Ok(None) };
    let (shape, index_shape) = (x.shape(), operand.shape());
    let Some((&depth, outer)) = index_shape.split_last() else { return Ok(None) };
    let (Some(named), Some(rest)) = (shape.get(batch..batch + depth), shape.get(batch + depth..)) else {
        return Ok(None);
    };
    if shape.get(..batch) != outer.get(..batch) || depth == 0 || indices.is_empty() {
        return Ok(None);
    }
    let batches: usize = shape.iter().take(batch).product();
    let rows: usize = named.iter().product();
    let columns: usize = rest.iter().product();
    let each = (indices.len() / depth).checked_div(batches).unwrap_or(0).max(1);
    let mut picked = Vec::with_capacity(indices.len() / depth);
    for (k, index) in indices.chunks(depth).enumerate() {
        let mut row = 0;
        for (&i, &size) in index.iter().zip(named) {
            row = row * size + places(&[i], size)?.first().copied().unwrap_or(0);
        }
        picked.push(k / each * rows + row);
    }
    let mut wanted = outer.to_vec();
    wanted.extend(rest);
    one(x.reshape(&[batches * rows, columns])?.select(0, &picked)?.reshape(&wanted)?)
}

/// The interpreter says where, the elements are picked.
fn top_k(c: &Call<'_>) -> Result<Option<Vec<Operand>>> {
    let x = c.tensor(0)?;
    let mut op = c.op.clone();
    op.outputs = vec![false, true];
    let mut arrays = vec![x.to_array()?];
    for i in 1..c.len() {
        arrays.extend(c.array(i)?);
    }
    let Some(places): Option<Array> = occam_interp::evaluate(&op, &arrays)?.into_iter().next() else {
        return Ok(None);
    };
    let axis = axis_of(c.op.int("axis")?.unwrap_or(-1), x.rank())?;
    let values = x.gather(axis, &Tensor::from_array(&places, c.device)?)?;
    Ok(Some(vec![Operand::Tensor(values), Operand::Array(places)]))
}

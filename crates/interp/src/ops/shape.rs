//! Shapes as values, and values in other shapes.

use occam_graph::onnx::{axes_of, axis_of, flatten_axis, shape_range};
use occam_graph::{Array, Error as GraphError};

use super::{Eval, Operands};
use crate::error::refuse;
use crate::moves::{View, size, sizes, steps};
use crate::view::{broadcast, broadcast_strides, count};
use crate::{Error, Result};

pub(super) const TABLE: &[Eval] = &[
    Eval::new("Shape", shape),
    Eval::new("Size", |c| Ok(vec![Array::from_i64([], vec![number(c.array(0)?.len())?])?])),
    Eval::new("Reshape", reshape),
    Eval::new("Flatten", flatten),
    Eval::new("Squeeze", squeeze),
    Eval::new("Unsqueeze", unsqueeze),
    Eval::new("Expand", expand),
    Eval::new("Tile", tile),
];

fn number(n: usize) -> Result<i64> {
    i64::try_from(n).map_err(|_| Error::Op(format!("size {n} is too large")))
}

fn shape(c: &Operands<'_>) -> Result<Vec<Array>> {
    let own = c.array(0)?.shape();
    let range = shape_range(own.len(), c.op.int("start")?, c.op.int("end")?);
    let all = own.get(range).unwrap_or_default().iter().map(|&n| number(n)).collect::<Result<Vec<_>>>()?;
    Ok(vec![Array::from_i64([all.len()], all)?])
}

/// The same elements under a shape that a file gives.
fn viewed(x: &Array, shape: Vec<usize>) -> Result<Vec<Array>> {
    if count(&shape)? != x.len() {
        return Err(GraphError::Array(format!("{x:?} cannot be viewed as {shape:?}")).into());
    }
    Ok(vec![x.reshape(shape)?])
}

fn reshape(c: &Operands<'_>) -> Result<Vec<Array>> {
    let x = c.array(0)?;
    let target = c.ints(1)?.unwrap_or_default();
    let allow_zero = c.op.flag("allowzero")?;
    let mut open = None;
    let mut shape = Vec::with_capacity(target.len());
    for (i, &n) in target.iter().enumerate() {
        shape.push(match n {
            0 if !allow_zero => match x.shape().get(i) {
                Some(&d) => d,
                None => return refuse(format!("size 0 at {i} is that of an axis which {x:?} lacks")),
            },
            -1 if open.replace(i).is_some() => return refuse("more than one size is -1"),
            -1 => 1,
            n => size(n)?,
        });
    }
    if let Some(d) = open.and_then(|i| shape.get_mut(i)) {
        *d = 1;
        match count(&shape)? {
            0 => return refuse(format!("a size of {target:?} is 0, so -1 tells nothing")),
            others => {
                if let Some(d) = open.and_then(|i| shape.get_mut(i)) {
                    *d = x.len() / others;
                }
            }
        }
    }
    viewed(x, shape)
}

fn flatten(c: &Operands<'_>) -> Result<Vec<Array>> {
    let x = c.array(0)?;
    let axis = flatten_axis(c.op.int("axis")?, x.shape().len())?;
    let (outer, inner) = x.shape().split_at(axis);
    viewed(x, vec![outer.iter().product(), inner.iter().product()])
}

fn squeeze(c: &Operands<'_>) -> Result<Vec<Array>> {
    let x = c.array(0)?;
    let own = x.shape();
    let shape = match c.ints_of("axes", 1)? {
        None => own.iter().copied().filter(|&n| n != 1).collect(),
        Some(axes) => {
            let axes = axes_of(&axes, own.len())?;
            own.iter().enumerate().filter(|(i, _)| !axes.contains(i)).map(|(_, &n)| n).collect()
        }
    };
    viewed(x, shape)
}

fn unsqueeze(c: &Operands<'_>) -> Result<Vec<Array>> {
    let x = c.array(0)?;
    let axes = c.ints_of("axes", 1)?.ok_or_else(|| Error::Op("its axes are missing".into()))?;
    let rank = x.shape().len() + axes.len();
    let axes = axes_of(&axes, rank)?;
    let mut rest = x.shape().iter().copied();
    viewed(x, (0..rank).filter_map(|i| if axes.contains(&i) { Some(1) } else { rest.next() }).collect())
}

fn expand(c: &Operands<'_>) -> Result<Vec<Array>> {
    let x = c.array(0)?;
    let target = sizes(&c.ints(1)?.unwrap_or_default())?;
    let shape = broadcast(x.shape(), &target)?;
    let strides = broadcast_strides(x.shape(), &shape);
    let strides = strides.into_iter().map(|s| isize::try_from(s).unwrap_or(isize::MAX)).collect();
    Ok(vec![View { shape, start: 0, strides }.of(x)?])
}

fn tile(c: &Operands<'_>) -> Result<Vec<Array>> {
    let x = c.array(0)?;
    let repeats = sizes(&c.ints(1)?.unwrap_or_default())?;
    if repeats.len() != x.shape().len() {
        return refuse(format!("{} repeats given for {x:?}", repeats.len()));
    }
    // Every axis is two: the repeats, which step nowhere, and its own.
    let shape: Vec<usize> = repeats.iter().zip(x.shape()).flat_map(|(&r, &n)| [r, n]).collect();
    let strides = steps(x.shape()).into_iter().flat_map(|s| [0, s]).collect();
    count(&shape)?;
    let all = View { shape, start: 0, strides }.of(x)?;
    viewed(&all, repeats.iter().zip(x.shape()).map(|(r, n)| r * n).collect())
}

/// The attribute `axis` of a value of `rank`.
pub(super) fn axis(c: &Operands<'_>, default: i64, rank: usize) -> Result<usize> {
    Ok(axis_of(c.op.int("axis")?.unwrap_or(default), rank)?)
}

#[cfg(test)]
mod tests {
    use occam_graph::onnx::{Attribute, Onnx};

    use super::*;
    use crate::evaluate;

    fn ints(v: &[i64]) -> Array {
        Array::from_i64([v.len()], v.to_vec()).unwrap()
    }

    #[test]
    fn zero_copies_a_size_or_is_one() {
        let x = Array::full([2, 3, 4], 1.0);
        let shape = |op: Onnx, s: &[i64]| evaluate(&op, &[x.clone(), ints(s)]).map(|v| v[0].shape().to_vec());
        assert_eq!(shape(Onnx::new("Reshape", 13, 2), &[0, -1]).unwrap(), [2, 12]);
        assert!(shape(Onnx::new("Reshape", 13, 2), &[5, -1]).is_err());
        assert!(shape(Onnx::new("Reshape", 13, 2), &[i64::MAX, i64::MAX]).is_err());
        let zero = Onnx::new("Reshape", 14, 2).with("allowzero", Attribute::Int(1));
        assert!(shape(zero.clone(), &[0, -1]).is_err());
        let none = Array::full([0, 3], 1.0);
        assert_eq!(evaluate(&zero, &[none, ints(&[3, 0])]).unwrap()[0].shape(), [3, 0]);
    }

    #[test]
    fn tiles_and_expands() {
        let x = Array::from_i64([1, 2], vec![1, 2]).unwrap();
        let y = evaluate(&Onnx::new("Tile", 13, 2), &[x.clone(), ints(&[2, 2])]).unwrap();
        assert_eq!(y[0].as_i64().unwrap(), [1, 2, 1, 2, 1, 2, 1, 2]);
        let y = evaluate(&Onnx::new("Expand", 13, 2), &[x.clone(), ints(&[2, 1, 1])]).unwrap();
        assert_eq!(y[0].shape(), [2, 1, 2]);
        assert!(evaluate(&Onnx::new("Expand", 13, 2), &[x.clone(), ints(&[3])]).is_err());
        assert!(evaluate(&Onnx::new("Tile", 13, 2), &[x, ints(&[1 << 40, 1 << 40])]).is_err());
    }
}

//! Row-major index arithmetic.

use occam_graph::DType;

use crate::Result;
use crate::error::refuse;

/// Number of elements of `shape`.
///
/// # Errors
/// There are more than memory could hold.
pub(crate) fn count(shape: &[usize]) -> Result<usize> {
    crate::room(DType::F32, shape)
}

/// Elements between neighbours along each axis.
pub(crate) fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for i in (1..shape.len()).rev() {
        if let (Some(&next), Some(&size)) = (strides.get(i), shape.get(i))
            && let Some(stride) = strides.get_mut(i - 1)
        {
            *stride = next * size;
        }
    }
    strides
}

/// The shape that both broadcast to, as in NumPy.
///
/// # Errors
/// They do not.
pub(crate) fn broadcast(a: &[usize], b: &[usize]) -> Result<Vec<usize>> {
    let rank = a.len().max(b.len());
    let at =
        |s: &[usize], i: usize| (i + s.len()).checked_sub(rank).and_then(|i| s.get(i)).copied().unwrap_or(1);
    (0..rank)
        .map(|i| match (at(a, i), at(b, i)) {
            (x, y) if x == y => Ok(x),
            (1, y) => Ok(y),
            (x, 1) => Ok(x),
            _ => refuse(format!("{a:?} and {b:?} do not broadcast")),
        })
        .collect()
}

/// Elements between neighbours of an operand of `shape` along the axes of the `to` it broadcasts to: 0 where it repeats.
pub(crate) fn broadcast_strides(shape: &[usize], to: &[usize]) -> Vec<usize> {
    let own = strides(shape);
    (0..to.len())
        .map(|i| match (i + shape.len()).checked_sub(to.len()) {
            Some(k) if shape.get(k) != Some(&1) => own.get(k).copied().unwrap_or(0),
            _ => 0,
        })
        .collect()
}

/// Calls `visit` with the offsets of several operands for every index of `shape`, row-major.
pub(crate) fn walk<const N: usize>(
    shape: &[usize],
    strides: [&[usize]; N],
    mut visit: impl FnMut([usize; N]),
) {
    if shape.contains(&0) {
        return;
    }
    let mut index = vec![0usize; shape.len()];
    let mut offsets = [0usize; N];
    loop {
        visit(offsets);
        let mut axis = shape.len();
        loop {
            if axis == 0 {
                return;
            }
            axis -= 1;
            let (Some(i), Some(&size)) = (index.get_mut(axis), shape.get(axis)) else { return };
            *i += 1;
            let step = |s: &[usize]| s.get(axis).copied().unwrap_or(0);
            if *i < size {
                for (o, s) in offsets.iter_mut().zip(&strides) {
                    *o += step(s);
                }
                break;
            }
            *i = 0;
            for (o, s) in offsets.iter_mut().zip(&strides) {
                *o -= step(s) * (size - 1);
            }
        }
    }
}

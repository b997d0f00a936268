//! Choosing between values, element by element.

use occam_graph::Array;

use super::unary::{numbers, one};
use super::{Eval, Operands};
use crate::Result;
use crate::arith::{Number, each_number};
use crate::error::refuse;
use crate::map::{map, repeated};
use crate::numbers::{Element, array, each_type, elements};
use crate::view::{broadcast, broadcast_strides, count, walk};

pub(super) const TABLE: &[Eval] = &[
    Eval::new("Where", |c| {
        let (condition, x, y) = (c.array(0)?, c.array(1)?, c.array(2)?);
        one(each_type!(x, v => choose(condition, v, x.shape(), y)))
    }),
    Eval::new("Clip", |c| {
        let x = c.array(0)?;
        one(each_number!(x, v => clip(c, v, x), else => numbers(x)))
    }),
];

fn choose<T: Element>(condition: &Array, x: &[T], x_shape: &[usize], y: &Array) -> Result<Array> {
    let shape = broadcast(&broadcast(condition.shape(), x_shape)?, y.shape())?;
    let (flags, y_shape, y) = (elements::<bool>(condition)?, y.shape(), elements::<T>(y)?);
    if [condition.shape(), x_shape, y_shape].iter().all(|s| **s == *shape) {
        let each = flags.iter().zip(x.iter().zip(y));
        return array(&shape, each.map(|(&f, (&x, &y))| if f { x } else { y }).collect());
    }
    let flags = repeated(flags, condition.shape(), &shape)?;
    let mut out: Vec<T> = Vec::with_capacity(count(&shape)?);
    let strides = [&*broadcast_strides(x_shape, &shape), &*broadcast_strides(y_shape, &shape)];
    let mut next = flags.iter();
    walk(&shape, strides, |[i, j]| {
        let from = if next.next() == Some(&true) { x.get(i) } else { y.get(j) };
        out.extend(from);
    });
    array(&shape, out)
}

/// Where the lower limit is above the upper, the upper wins, as in NumPy; NaN stays.
fn clip<T: Number>(c: &Operands<'_>, v: &[T], x: &Array) -> Result<Array> {
    let limit = |name: &str, index: usize| -> Result<Option<T>> {
        if c.op.version < 11 {
            return Ok(c.op.float(name)?.map(|x| T::from_f64(x.into())));
        }
        let Some(limit) = c.get(index) else { return Ok(None) };
        match elements::<T>(limit)? {
            [one] => Ok(Some(*one)),
            v => refuse(format!("a limit must be one number, found {}", v.len())),
        }
    };
    let (low, high) = (limit("min", 1)?, limit("max", 2)?);
    array(
        x.shape(),
        map(v, |x| {
            let x = low.filter(|&low| x < low).unwrap_or(x);
            high.filter(|&high| x > high).unwrap_or(x)
        }),
    )
}

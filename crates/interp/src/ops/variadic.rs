//! Functions of any number of values that broadcast.

use occam_graph::Array;

use super::unary::{numbers, one};
use super::{Eval, Operands};
use crate::Result;
use crate::arith::{Number, each_number};
use crate::map::{map, zip};
use crate::numbers::{array, elements};

pub(super) const TABLE: &[Eval] = &[
    Eval::new("Min", |c| folded!(c, Number::lesser)),
    Eval::new("Max", |c| folded!(c, Number::greater)),
    Eval::new("Sum", |c| folded!(c, Number::add)),
    Eval::new("Mean", |c| {
        let count = c.inputs.len() as f64;
        let sum = folded!(c, Number::add)?;
        let Some(x) = sum.first() else { return Ok(sum) };
        one(each_number!(x, v => array(x.shape(), mean(v, count)), else => numbers(x)))
    }),
];

/// Operands joined one by one with a function that is generic over their type.
macro_rules! folded {
    ($c:expr, $f:expr) => {{
        let first = $c.array(0)?;
        one(each_number!(first, v => fold($c, v, first.shape(), $f), else => numbers(first)))
    }};
}
use folded;

fn fold<T: Number>(
    c: &Operands<'_>,
    first: &[T],
    shape: &[usize],
    f: impl Fn(T, T) -> T + Sync,
) -> Result<Array> {
    let (mut shape, mut all) = (shape.to_vec(), first.to_vec());
    for i in 1..c.inputs.len() {
        let x = c.array(i)?;
        (shape, all) = zip((&all, &shape), (elements(x)?, x.shape()), &f)?;
    }
    array(&shape, all)
}

fn mean<T: Number>(sum: &[T], count: f64) -> Vec<T> {
    map(sum, |x| T::from_f64(x.to_f64() / count))
}

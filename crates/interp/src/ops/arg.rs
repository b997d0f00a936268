//! Where along an axis the extreme elements are.

use occam_graph::Array;
use occam_graph::onnx::axis_of;

use super::reduce::left;
use super::unary::{numbers, one};
use super::{Eval, Operands};
use crate::Result;
use crate::arith::{Number, each_number};
use crate::error::refuse;
use crate::map::Lanes;
use crate::numbers::array;

pub(super) const TABLE: &[Eval] =
    &[Eval::new("ArgMax", |c| search(c, true)), Eval::new("ArgMin", |c| search(c, false))];

fn search(c: &Operands<'_>, largest: bool) -> Result<Vec<Array>> {
    let x = c.array(0)?;
    let rank = x.shape().len();
    let axis = axis_of(c.op.int("axis")?.unwrap_or(0), rank)?;
    let flags: Vec<bool> = (0..rank).map(|i| i == axis).collect();
    let shape = left(x.shape(), &flags, c.op.int("keepdims")?.unwrap_or(1) != 0);
    let lanes = Lanes::new(x.shape(), &flags)?;
    if lanes.offsets.is_empty() && !lanes.starts.is_empty() {
        return refuse(format!("axis {axis} of {x:?} has no elements"));
    }
    let last = c.op.flag("select_last_index")?;
    one(each_number!(x, v => {
        array(&shape, lanes.fold(v, |start| place(lanes.run(v, start), largest, last)))
    }, else => numbers(x)))
}

/// Of equal elements the first or the last; NaN is more extreme than any number.
fn place<T: Number>(run: impl Iterator<Item = T>, largest: bool, last: bool) -> i64 {
    let mut best: Option<(i64, T)> = None;
    for (i, x) in (0..).zip(run) {
        let better = match best {
            None => true,
            Some((_, b)) if b.is_nan() => last && x.is_nan(),
            Some((_, b)) => x.is_nan() || (if largest { x > b } else { x < b }) || (last && x == b),
        };
        if better {
            best = Some((i, x));
        }
    }
    best.map_or(0, |(i, _)| i)
}

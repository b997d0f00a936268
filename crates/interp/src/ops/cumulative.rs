//! Running sums.

use occam_graph::Array;
use occam_graph::onnx::axis_of;

use super::unary::{numbers, one};
use super::{Eval, Operands};
use crate::Result;
use crate::arith::{Number, each_number};
use crate::error::refuse;
use crate::map::Lanes;
use crate::numbers::array;

pub(super) const TABLE: &[Eval] = &[Eval::new("CumSum", sums)];

fn sums(c: &Operands<'_>) -> Result<Vec<Array>> {
    let x = c.array(0)?;
    let Some(axis) = c.int(1)? else { return refuse("input 1 is missing") };
    let lanes = Lanes::axis(x.shape(), axis_of(axis, x.shape().len())?)?;
    let (exclusive, reverse) = (c.op.flag("exclusive")?, c.op.flag("reverse")?);
    one(each_number!(x, v => {
        let sums = lanes.map(v, |start, out| {
            if reverse {
                let first = out.len();
                running(lanes.run(v, start).rev(), exclusive, out);
                if let Some(own) = out.get_mut(first..) {
                    own.reverse();
                }
            } else {
                running(lanes.run(v, start), exclusive, out);
            }
        });
        array(x.shape(), sums)
    }, else => numbers(x)))
}

/// The sums up to every element, without that itself where `exclusive`; floats are added in `f64`.
fn running<T: Number>(run: impl Iterator<Item = T>, exclusive: bool, out: &mut Vec<T>) {
    let (mut float, mut integer) = (0.0, 0i64);
    for x in run {
        let before = (float, integer);
        if T::INTEGER {
            integer = integer.wrapping_add(x.to_i64());
        } else {
            float += x.to_f64();
        }
        let (f, i) = if exclusive { before } else { (float, integer) };
        out.push(if T::INTEGER { T::from_i64(i) } else { T::from_f64(f) });
    }
}

//! Values of which some elements are replaced.

use occam_graph::Array;

use super::gather::{element_positions, slice_starts};
use super::shape::axis;
use super::{Eval, Operands};
use crate::error::refuse;
use crate::numbers::{Element, array, each_type, elements};
use crate::{Error, Result};

pub(super) const TABLE: &[Eval] = &[
    Eval::new("Scatter", scatter_elements),
    Eval::new("ScatterElements", scatter_elements),
    Eval::new("ScatterND", scatter_nd),
];

/// What becomes of an element and its update.
#[derive(Clone, Copy)]
enum Reduction {
    Replace,
    Add,
    Mul,
    Max,
    Min,
}

impl Reduction {
    fn of(c: &Operands<'_>) -> Result<Self> {
        Ok(match c.op.text("reduction")?.unwrap_or("none") {
            "none" => Reduction::Replace,
            "add" => Reduction::Add,
            "mul" => Reduction::Mul,
            "max" => Reduction::Max,
            "min" => Reduction::Min,
            other => return refuse(format!("reduction `{other}` is not supported")),
        })
    }

    fn join<T: Element>(self, old: T, new: T) -> T {
        let float = T::DTYPE.is_float();
        match self {
            Reduction::Replace => new,
            Reduction::Add if float => T::from_f64(old.to_f64() + new.to_f64()),
            Reduction::Mul if float => T::from_f64(old.to_f64() * new.to_f64()),
            Reduction::Add => T::from_i64(old.to_i64().wrapping_add(new.to_i64())),
            Reduction::Mul => T::from_i64(old.to_i64().wrapping_mul(new.to_i64())),
            Reduction::Max => {
                if new > old {
                    new
                } else {
                    old
                }
            }
            Reduction::Min => {
                if new < old {
                    new
                } else {
                    old
                }
            }
        }
    }
}

/// `x` with `updates` at `positions`, in their order.
fn updated(x: &Array, updates: &Array, positions: &[usize], how: Reduction) -> Result<Array> {
    fn run<T: Element>(v: &[T], updates: &Array, positions: &[usize], how: Reduction) -> Result<Vec<T>> {
        let updates = elements::<T>(updates)?;
        let mut out = v.to_vec();
        for (&i, &new) in positions.iter().zip(updates) {
            let Some(old) = out.get_mut(i) else {
                return Err(Error::Op(format!("position {i} is beyond its elements")));
            };
            *old = how.join(*old, new);
        }
        Ok(out)
    }
    if positions.len() != updates.len() {
        return refuse(format!("{} positions for {updates:?}", positions.len()));
    }
    each_type!(x, v => array(x.shape(), run(v, updates, positions, how)?))
}

fn scatter_elements(c: &Operands<'_>) -> Result<Vec<Array>> {
    let (x, indices, updates) = (c.array(0)?, c.array(1)?, c.array(2)?);
    if indices.shape() != updates.shape() {
        return refuse(format!("positions {indices:?} for updates {updates:?}"));
    }
    let axis = axis(c, 0, x.shape().len())?;
    let all = element_positions(x.shape(), indices.shape(), axis, &c.ints(1)?.unwrap_or_default())?;
    Ok(vec![updated(x, updates, &all, Reduction::of(c)?)?])
}

fn scatter_nd(c: &Operands<'_>) -> Result<Vec<Array>> {
    let (x, indices, updates) = (c.array(0)?, c.array(1)?, c.array(2)?);
    let (starts, run) = slice_starts(x.shape(), indices.shape(), &c.ints(1)?.unwrap_or_default(), 0)?;
    if starts.len().checked_mul(run) != Some(updates.len()) {
        return refuse(format!("{} slices of {run} elements for {updates:?}", starts.len()));
    }
    let all: Vec<usize> = starts.into_iter().flat_map(|s| s..s + run).collect();
    Ok(vec![updated(x, updates, &all, Reduction::of(c)?)?])
}

#[cfg(test)]
mod tests {
    use occam_graph::onnx::{Attribute, Onnx};

    use super::*;
    use crate::evaluate;

    #[test]
    fn updates_are_joined_in_order() {
        let ints = |v: &[i64]| Array::from_i64([v.len()], v.to_vec()).unwrap();
        let all = [ints(&[1, 2, 3]), ints(&[0, 0, -1]), ints(&[5, 6, 7])];
        let run = |op: Onnx| evaluate(&op, &all).map(|v| v[0].as_i64().unwrap().to_vec());
        let with = |how: &str| {
            Onnx::new("ScatterElements", 18, 3).with("reduction", Attribute::String(how.as_bytes().to_vec()))
        };
        assert_eq!(run(Onnx::new("ScatterElements", 13, 3)).unwrap(), [6, 2, 7]);
        assert_eq!(run(with("add")).unwrap(), [12, 2, 10]);
        assert_eq!(run(with("max")).unwrap(), [6, 2, 7]);
        assert!(run(with("mean")).is_err());
        let beyond = [ints(&[1]), ints(&[1]), ints(&[5])];
        assert!(evaluate(&Onnx::new("ScatterElements", 13, 3), &beyond).is_err());
    }
}

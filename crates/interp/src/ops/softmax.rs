//! Softmax and its relatives.

use occam_graph::onnx::axis_of;

use super::unary::{floats, one};
use super::{Eval, Operands};
use crate::Result;
use crate::arith::{Number, each_float};
use crate::map::Lanes;
use crate::numbers::array;

pub(super) const TABLE: &[Eval] = &[
    Eval::new("Softmax", |c| along!(c, softmax)),
    Eval::new("LogSoftmax", |c| along!(c, log_softmax)),
    Eval::new("Hardmax", |c| along!(c, hardmax)),
];

/// A function of the runs along the axes that the operator is about.
macro_rules! along {
    ($c:expr, $f:ident) => {{
        let (x, lanes) = ($c.array(0)?, lanes($c)?);
        one(each_float!(x, v => {
            array(x.shape(), lanes.map(v, |start, out| $f(lanes.run(v, start), out)))
        }, else => floats(x)))
    }};
}
use along;

/// One axis since version 13, all from `axis` on before.
fn lanes(c: &Operands<'_>) -> Result<Lanes> {
    let shape = c.array(0)?.shape();
    let (rank, axis) = (shape.len(), c.op.int("axis")?);
    let flags: Vec<bool> = if c.op.version >= 13 {
        let axis = if rank == 0 { 0 } else { axis_of(axis.unwrap_or(-1), rank)? };
        (0..rank).map(|i| i == axis).collect()
    } else {
        let axis = axis.unwrap_or(1);
        let axis = if usize::try_from(axis) == Ok(rank) || rank == 0 { rank } else { axis_of(axis, rank)? };
        (0..rank).map(|i| i >= axis).collect()
    };
    Lanes::new(shape, &flags)
}

fn largest<T: Number>(run: impl Iterator<Item = T>) -> f64 {
    run.fold(T::LOWEST, Number::greater).to_f64()
}

fn softmax<T: Number>(run: impl Iterator<Item = T> + Clone, out: &mut Vec<T>) {
    let most = largest(run.clone());
    let powers: Vec<f64> = run.map(|x| (x.to_f64() - most).exp()).collect();
    let sum: f64 = powers.iter().sum();
    out.extend(powers.iter().map(|p| T::from_f64(p / sum)));
}

fn log_softmax<T: Number>(run: impl Iterator<Item = T> + Clone, out: &mut Vec<T>) {
    let most = largest(run.clone());
    let sum: f64 = run.clone().map(|x| (x.to_f64() - most).exp()).sum();
    let log = sum.ln();
    out.extend(run.map(|x| T::from_f64(x.to_f64() - most - log)));
}

/// 1 at the first of the largest elements, 0 elsewhere.
fn hardmax<T: Number>(run: impl Iterator<Item = T> + Clone, out: &mut Vec<T>) {
    let most = largest(run.clone());
    let mut found = false;
    out.extend(run.map(|x| {
        let here = !found && x.to_f64() == most;
        found |= here;
        T::from_f64(f64::from(u8::from(here)))
    }));
}

//! Functions of one value, element by element.

use occam_graph::{Array, DType};

use super::{Eval, Operands};
use crate::Result;
use crate::arith::{Number, each_float, each_integer, each_number};
use crate::error::refuse;
use crate::map::map;
use crate::numbers::{Element, array, elements};

pub(super) const TABLE: &[Eval] = &[
    Eval::new("Abs", |c| {
        let x = c.array(0)?;
        one(each_number!(x, v => array(x.shape(), map(v, Number::magnitude)), else => numbers(x)))
    }),
    Eval::new("Neg", |c| {
        let x = c.array(0)?;
        one(each_number!(x, v => array(x.shape(), map(v, Number::negated)), else => numbers(x)))
    }),
    Eval::new("Sign", |c| {
        let x = c.array(0)?;
        one(each_number!(x, v => array(x.shape(), map(v, sign)), else => numbers(x)))
    }),
    Eval::new("Ceil", |c| float(c, f64::ceil)),
    Eval::new("Floor", |c| float(c, f64::floor)),
    Eval::new("Round", |c| float(c, f64::round_ties_even)),
    Eval::new("Reciprocal", |c| float(c, f64::recip)),
    Eval::new("Sqrt", |c| float(c, f64::sqrt)),
    Eval::new("Exp", |c| float(c, f64::exp)),
    Eval::new("Log", |c| float(c, f64::ln)),
    Eval::new("Erf", |c| number(c, libm::erf)),
    Eval::new("Sin", |c| float(c, f64::sin)),
    Eval::new("Cos", |c| float(c, f64::cos)),
    Eval::new("Tan", |c| float(c, f64::tan)),
    Eval::new("Asin", |c| float(c, f64::asin)),
    Eval::new("Acos", |c| float(c, f64::acos)),
    Eval::new("Atan", |c| float(c, f64::atan)),
    Eval::new("Sinh", |c| float(c, f64::sinh)),
    Eval::new("Cosh", |c| float(c, f64::cosh)),
    Eval::new("Tanh", |c| float(c, f64::tanh)),
    Eval::new("Asinh", |c| float(c, f64::asinh)),
    Eval::new("Acosh", |c| float(c, f64::acosh)),
    Eval::new("Atanh", |c| float(c, f64::atanh)),
    Eval::new("IsNaN", |c| test(c, f64::is_nan)),
    Eval::new("IsInf", |c| {
        let up = c.op.int("detect_positive")?.unwrap_or(1) != 0;
        let down = c.op.int("detect_negative")?.unwrap_or(1) != 0;
        test(c, |x| (up && x == f64::INFINITY) || (down && x == f64::NEG_INFINITY))
    }),
    Eval::new("Not", |c| {
        let x = c.array(0)?;
        one(array(x.shape(), map(elements::<bool>(x)?, |b| !b)))
    }),
    Eval::new("BitwiseNot", |c| {
        let x = c.array(0)?;
        one(
            each_integer!(x, v => array(x.shape(), map(v, |n| !n)), else => refuse(format!("takes integers, found {x:?}"))),
        )
    }),
    Eval::new("Identity", |c| Ok(vec![c.array(0)?.clone()])),
];

/// A single result.
pub(super) fn one(result: Result<Array>) -> Result<Vec<Array>> {
    Ok(vec![result?])
}

/// The refusal of truth values.
pub(super) fn numbers<T>(x: &Array) -> Result<T> {
    refuse(format!("takes numbers, found {x:?}"))
}

/// The refusal of what is no float.
pub(super) fn floats<T>(x: &Array) -> Result<T> {
    refuse(format!("takes floats, found {x:?}"))
}

fn sign<T: Number>(x: T) -> T {
    let zero = T::default();
    if x > zero {
        T::from_i64(1)
    } else if x < zero {
        T::from_i64(-1)
    } else {
        x
    }
}

/// `f` of every float, computed in `f64`.
pub(super) fn float(c: &Operands<'_>, f: impl Fn(f64) -> f64 + Sync) -> Result<Vec<Array>> {
    let x = c.array(0)?;
    if x.dtype().is_float() { each(x, &f) } else { floats(x) }
}

/// `f` of every number, computed in `f64`; integers are cut towards zero.
pub(super) fn number(c: &Operands<'_>, f: impl Fn(f64) -> f64 + Sync) -> Result<Vec<Array>> {
    let x = c.array(0)?;
    if x.dtype() == DType::Bool { numbers(x) } else { each(x, &f) }
}

/// Called through a pointer: there are many functions, and each would have a copy for every element type.
fn each(x: &Array, f: &(dyn Fn(f64) -> f64 + Sync)) -> Result<Vec<Array>> {
    one(each_number!(x, v => array(x.shape(), through(v, f)), else => numbers(x)))
}

fn through<T: Number>(v: &[T], f: &(dyn Fn(f64) -> f64 + Sync)) -> Vec<T> {
    map(v, |x| T::from_f64(f(x.to_f64())))
}

/// Whether `f` of every float.
fn test(c: &Operands<'_>, f: impl Fn(f64) -> bool + Sync) -> Result<Vec<Array>> {
    let x = c.array(0)?;
    one(each_float!(x, v => array(x.shape(), map(v, |x| f(Element::to_f64(x)))), else => floats(x)))
}

//! Reductions over axes.

use occam_graph::Array;
use occam_graph::onnx::axis_of;

use super::unary::{numbers, one};
use super::{Eval, Operands};
use crate::Result;
use crate::arith::{Number, each_number};
use crate::error::refuse;
use crate::map::Lanes;
use crate::numbers::{array, elements};

pub(super) const TABLE: &[Eval] = &[
    Eval::new("ReduceSum", |c| reduced!(c, sum)),
    Eval::new("ReduceProd", |c| reduced!(c, product)),
    Eval::new("ReduceMax", |c| extreme(c, true)),
    Eval::new("ReduceMin", |c| extreme(c, false)),
    Eval::new("ReduceMean", |c| reduced!(c, mean)),
    Eval::new("ReduceSumSquare", |c| reduced!(c, square)),
    Eval::new("ReduceL1", |c| reduced!(c, l1)),
    Eval::new("ReduceL2", |c| reduced!(c, l2)),
    Eval::new("ReduceLogSum", |c| reduced!(c, log_sum)),
    Eval::new("ReduceLogSumExp", |c| reduced!(c, log_sum_exp)),
];

/// A function of the runs that are reduced, generic over the elements' type.
macro_rules! reduced {
    ($c:expr, $f:expr) => {{
        let x = $c.array(0)?;
        let plan = Plan::new($c, x)?;
        one(each_number!(x, v => {
            array(&plan.shape, plan.lanes.fold(v, |start| $f(plan.lanes.run(v, start))))
        }, else => numbers(x)))
    }};
}
use reduced;

struct Plan {
    lanes: Lanes,
    /// Shape of the result.
    shape: Vec<usize>,
}

impl Plan {
    fn new(c: &Operands<'_>, x: &Array) -> Result<Self> {
        let rank = x.shape().len();
        let axes = c.ints_of("axes", 1)?.unwrap_or_default();
        let flags = if axes.is_empty() {
            vec![!c.op.flag("noop_with_empty_axes")?; rank]
        } else {
            let mut flags = vec![false; rank];
            for axis in axes {
                let axis = axis_of(axis, rank)?;
                if let Some(flag) = flags.get_mut(axis) {
                    *flag = true;
                }
            }
            flags
        };
        let keep = c.op.int("keepdims")?.unwrap_or(1) != 0;
        Ok(Self { lanes: Lanes::new(x.shape(), &flags)?, shape: left(x.shape(), &flags, keep) })
    }
}

/// What is left of `shape` when the flagged axes are reduced: they have size 1 where they are kept.
pub(super) fn left(shape: &[usize], flags: &[bool], keep: bool) -> Vec<usize> {
    let each = shape.iter().zip(flags);
    if keep {
        each.map(|(&d, &gone)| if gone { 1 } else { d }).collect()
    } else {
        each.filter(|&(_, &gone)| !gone).map(|(&d, _)| d).collect()
    }
}

/// Sums floats in `f64`, integers modulo 2^64, which is the same for all of them.
fn total<T: Number>(run: impl Iterator<Item = T>, float: fn(f64) -> f64, integer: fn(i64) -> i64) -> T {
    if T::INTEGER {
        T::from_i64(run.fold(0, |sum, x| sum.wrapping_add(integer(x.to_i64()))))
    } else {
        T::from_f64(run.fold(0.0, |sum, x| sum + float(x.to_f64())))
    }
}

fn sum<T: Number>(run: impl Iterator<Item = T>) -> T {
    total(run, |x| x, |n| n)
}

fn product<T: Number>(run: impl Iterator<Item = T>) -> T {
    if T::INTEGER {
        T::from_i64(run.fold(1, |p, x| p.wrapping_mul(x.to_i64())))
    } else {
        T::from_f64(run.fold(1.0, |p, x| p * x.to_f64()))
    }
}

/// Integers are cut towards zero; the mean of none is NaN, or 0 for integers.
fn mean<T: Number>(run: impl Iterator<Item = T> + Clone) -> T {
    if T::INTEGER {
        let wide =
            |x: T| if x < T::default() { i128::from(x.to_i64()) } else { i128::from(x.to_i64() as u64) };
        let (sum, count) = run.fold((0i128, 0i128), |(s, n), x| (s + wide(x), n + 1));
        T::from_i64(sum.checked_div(count).unwrap_or(0) as i64)
    } else {
        let (sum, count) = run.fold((0.0, 0.0), |(s, n), x| (s + x.to_f64(), n + 1.0));
        T::from_f64(sum / count)
    }
}

fn square<T: Number>(run: impl Iterator<Item = T>) -> T {
    total(run, |x| x * x, |n| n.wrapping_mul(n))
}

fn l1<T: Number>(run: impl Iterator<Item = T>) -> T {
    total(run.map(Number::magnitude), |x| x, |n| n)
}

fn l2<T: Number>(run: impl Iterator<Item = T>) -> T {
    T::from_f64(run.fold(0.0, |sum, x| sum + x.to_f64() * x.to_f64()).sqrt())
}

fn log_sum<T: Number>(run: impl Iterator<Item = T>) -> T {
    T::from_f64(run.fold(0.0, |sum, x| sum + x.to_f64()).ln())
}

/// `ln(sum(exp(x)))`, with the largest element taken out of the sum.
fn log_sum_exp<T: Number>(run: impl Iterator<Item = T> + Clone) -> T {
    let most = run.clone().fold(f64::NEG_INFINITY, |m, x| Number::greater(m, x.to_f64()));
    if !most.is_finite() {
        return T::from_f64(most);
    }
    T::from_f64(most + run.fold(0.0, |sum, x| sum + (x.to_f64() - most).exp()).ln())
}

/// Truth counts as 0 and 1 since version 20. The largest of no elements is the lowest number.
fn extreme(c: &Operands<'_>, largest: bool) -> Result<Vec<Array>> {
    let x = c.array(0)?;
    let plan = Plan::new(c, x)?;
    let logical = |x: &Array| {
        if c.op.version < 20 {
            return refuse(format!("takes numbers, found {x:?}"));
        }
        let v = elements::<bool>(x)?;
        let found = plan.lanes.fold(v, |start| plan.lanes.run(v, start).any(|b| b == largest) == largest);
        array(&plan.shape, found)
    };
    one(each_number!(x, v => {
        let found = plan.lanes.fold(v, |start| {
            let run = plan.lanes.run(v, start);
            if largest { run.fold(Number::LOWEST, Number::greater) } else { run.fold(Number::HIGHEST, Number::lesser) }
        });
        array(&plan.shape, found)
    }, else => logical(x)))
}

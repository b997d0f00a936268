//! Convolution of integers.

use occam_graph::{Array, DType};

use super::{Plan, add_bias, bias, columns};
use crate::Result;
use crate::error::refuse;
use crate::numbers::to_f64;
use crate::ops::Operands;
use crate::ops::quantize::requantize;
use crate::product::narrow;

/// The elements without their zero points: one for all, or one for each index of axis 0.
fn centered(x: &Array, zero: Option<&Array>) -> Result<Vec<f64>> {
    let mut v = to_f64(x);
    let Some(zero) = zero else { return Ok(v) };
    let zeros = to_f64(zero);
    let first = x.shape().first().copied().unwrap_or(1);
    let run = match zeros.len() {
        1 => v.len(),
        n if n == first => v.len() / first.max(1),
        _ => return refuse(format!("zero point {zero:?} does not fit {x:?}")),
    };
    for (part, z) in v.chunks_mut(run.max(1)).zip(zeros) {
        part.iter_mut().for_each(|x| *x -= z);
    }
    Ok(v)
}

/// One zero point for the whole input.
fn one(zero: Option<&Array>) -> Result<Option<&Array>> {
    match zero {
        Some(z) if z.len() != 1 => {
            refuse(format!("a zero point for each channel of the input, {z:?}, is not supported"))
        }
        z => Ok(z),
    }
}

/// `(x − x0) ⋆ (w − w0)` as `i32`; the sums are exact in `f64`.
pub(super) fn run(c: &Operands<'_>) -> Result<Vec<Array>> {
    let (x, w) = (c.array(0)?, c.array(1)?);
    let plan = Plan::of(c, x.shape(), w.shape())?;
    let y = columns::conv(&plan, &centered(x, one(c.get(2))?)?, &centered(w, c.get(3))?)?;
    let y: Vec<i64> = y.into_iter().map(|v| v as i64).collect();
    Ok(vec![narrow(DType::I32, &plan.shape, y)?])
}

/// `round(((x − x0) ⋆ (w − w0) + b) · sx · sw / sy) + y0`
pub(super) fn quantized(c: &Operands<'_>) -> Result<Vec<Array>> {
    let (x, w) = (c.array(0)?, c.array(3)?);
    let plan = Plan::of(c, x.shape(), w.shape())?;
    let mut y = columns::conv(&plan, &centered(x, one(c.get(2))?)?, &centered(w, c.get(5))?)?;
    if let Some(b) = bias(c, 8, plan.o)? {
        add_bias(&mut y, &to_f64(b), plan.pixels());
    }
    let scales = [(one(Some(c.array(1)?))?.map_or_else(|| c.array(1), Ok)?, 1), (c.array(4)?, 1)];
    Ok(vec![requantize(y, &plan.shape, scales, c.array(6)?, c.array(7)?)?])
}

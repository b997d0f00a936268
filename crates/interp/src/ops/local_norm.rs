//! Normalizations by the size of the elements.

use occam_graph::Array;
use occam_graph::onnx::axis_of;

use super::unary::{floats, one};
use super::{Eval, Operands};
use crate::Result;
use crate::arith::each_float;
use crate::error::refuse;
use crate::map::Lanes;
use crate::numbers::array;

pub(super) const TABLE: &[Eval] = &[Eval::new("LpNormalization", lp), Eval::new("LRN", lrn)];

/// Divided by the norm along an axis; 0 where that is 0.
fn lp(c: &Operands<'_>) -> Result<Vec<Array>> {
    let x = c.array(0)?;
    let lanes = Lanes::axis(x.shape(), axis_of(c.op.int("axis")?.unwrap_or(-1), x.shape().len())?)?;
    let one_norm = match c.op.int("p")?.unwrap_or(2) {
        1 => true,
        2 => false,
        p => return refuse(format!("`p` must be 1 or 2, found {p}")),
    };
    one(each_float!(x, v => {
        let normed = lanes.rewrite(v, |_, run| {
            let norm: f64 = if one_norm {
                run.iter().map(|x| x.abs()).sum()
            } else {
                run.iter().map(|x| x * x).sum::<f64>().sqrt()
            };
            run.iter_mut().for_each(|x| *x = if norm == 0.0 { 0.0 } else { *x / norm });
        });
        array(x.shape(), normed)
    }, else => floats(x)))
}

/// `x / (bias + alpha / size · sum(x²))^beta`, the sum over `size` channels around each.
fn lrn(c: &Operands<'_>) -> Result<Vec<Array>> {
    let x = c.array(0)?;
    let Some(size) = c.op.size("size")?.filter(|&n| n > 0) else {
        return refuse("attribute `size` must be 1 or more");
    };
    let attribute =
        |name: &str, default: f32| Ok::<_, crate::Error>(f64::from(c.op.float(name)?.unwrap_or(default)));
    let (alpha, beta, bias) = (attribute("alpha", 1e-4)?, attribute("beta", 0.75)?, attribute("bias", 1.0)?);
    if x.shape().len() < 2 {
        return refuse(format!("takes a value with channels in axis 1, found {x:?}"));
    }
    let lanes = Lanes::axis(x.shape(), 1)?;
    let (before, after) = ((size - 1) / 2, size / 2);
    one(each_float!(x, v => {
        let normed = lanes.rewrite(v, |_, run| {
            let squares: Vec<f64> = run.iter().map(|x| x * x).collect();
            for (i, x) in run.iter_mut().enumerate() {
                let end = i.saturating_add(after).saturating_add(1).min(squares.len());
                let sum: f64 = squares.get(i.saturating_sub(before)..end).unwrap_or_default().iter().sum();
                *x /= (bias + alpha / size as f64 * sum).powf(beta);
            }
        });
        array(x.shape(), normed)
    }, else => floats(x)))
}

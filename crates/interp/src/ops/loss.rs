//! Classification losses.

use occam_graph::Array;

use super::unary::{floats, one};
use super::{Eval, Operands};
use crate::Result;
use crate::arith::each_float;
use crate::error::refuse;
use crate::map::Lanes;
use crate::numbers::{Element, from_f64, to_f64, to_i64};

pub(super) const TABLE: &[Eval] = &[
    Eval::new("NegativeLogLikelihoodLoss", |c| {
        let x = c.array(0)?;
        one(loss(c, x, &to_f64(x)))
    }),
    Eval::new("SoftmaxCrossEntropyLoss", |c| {
        let x = c.array(0)?;
        if x.shape().len() < 2 {
            return refuse(format!("takes scores [N, C, ..], found {x:?}"));
        }
        let lanes = Lanes::axis(x.shape(), 1)?;
        let logs: Vec<f64> = each_float!(x, v => lanes.map(v, |start, out: &mut Vec<f64>| {
            let run = lanes.run(v, start).map(Element::to_f64);
            let most = run.clone().fold(f64::NEG_INFINITY, f64::max);
            let log = run.clone().map(|x| (x - most).exp()).sum::<f64>().ln();
            out.extend(run.map(|x| x - most - log));
        }), else => floats(x)?);
        Ok(vec![loss(c, x, &logs)?, from_f64(x.dtype(), x.shape(), &logs)?])
    }),
];

/// The negative of what the targets select of `logs`, which have the shape of `x`, times their class's weight. The mean is
/// over weights; targets of the ignored class count nowhere.
fn loss(c: &Operands<'_>, x: &Array, logs: &[f64]) -> Result<Array> {
    let target = c.array(1)?;
    let [samples, classes, rest @ ..] = x.shape() else {
        return refuse(format!("takes scores [N, C, ..], found {x:?}"));
    };
    if target.shape().first() != Some(samples) || target.shape().get(1..) != Some(rest) {
        return refuse(format!(
            "scores {x:?} need targets of the same shape without classes, found {target:?}"
        ));
    }
    let weights = match c.get(2) {
        Some(w) if w.shape() == [*classes] => to_f64(w),
        Some(w) => return refuse(format!("weights must be one by class, found {w:?}")),
        None => vec![1.0; *classes],
    };
    let ignored = c.op.int("ignore_index")?;
    let plane: usize = rest.iter().product();
    let mut losses = Vec::with_capacity(target.len());
    let mut total = 0.0;
    for (i, class) in to_i64(target)?.into_iter().enumerate() {
        if Some(class) == ignored {
            losses.push(0.0);
            continue;
        }
        let place = usize::try_from(class).ok().filter(|k| k < classes);
        let found = place.and_then(|k| {
            let plane = plane.max(1);
            Some((*logs.get((i / plane * classes + k) * plane + i % plane)?, *weights.get(k)?))
        });
        let Some((log, weight)) = found else {
            return refuse(format!("target {class} is none of {classes} classes"));
        };
        total += weight;
        losses.push(-log * weight);
    }
    match c.op.text("reduction")?.unwrap_or("mean") {
        "none" => from_f64(x.dtype(), target.shape(), &losses),
        "sum" => from_f64(x.dtype(), &[], &[losses.iter().sum()]),
        "mean" => from_f64(x.dtype(), &[], &[losses.iter().sum::<f64>() / total]),
        other => refuse(format!("`reduction` must be `none`, `mean` or `sum`, found `{other}`")),
    }
}

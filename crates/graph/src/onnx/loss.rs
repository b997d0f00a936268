//! Classification losses.

use super::unary::float;
use super::{Def, Site};
use crate::{Error, Fact, Inferred, Result};

pub(super) const TABLE: &[Def] = &[
    Def::new("NegativeLogLikelihoodLoss", loss),
    Def::new("SoftmaxCrossEntropyLoss", |s| {
        let mut out = loss(s)?;
        out.push(s.fact(0)?.clone().into());
        Ok(out)
    }),
];

/// Scores are `[N, C, ..]`, targets `[N, ..]`, weights `[C]`. The loss has the targets' shape, or none where it is reduced.
fn loss(site: &Site<'_>) -> Result<Vec<Inferred>> {
    let (x, target) = (site.fact(0)?, site.fact(1)?);
    float(site)?;
    let Some(classes) = x.shape.get(1) else {
        return Err(Error::Op(format!("takes scores [N, C, ..], found {x}")));
    };
    let others = x.shape.iter().enumerate().filter(|&(i, _)| i != 1).map(|(_, d)| d);
    let fits = target.rank() + 1 == x.rank() && others.zip(&target.shape).all(|(a, b)| a.may_equal(b));
    if !fits || !target.dtype.is_integer() {
        return Err(Error::Op(format!(
            "scores {x} need integer targets of the same shape without classes, found {target}"
        )));
    }
    if let Some(weight) = site.get(2) {
        let fits = matches!(weight.fact.shape.as_slice(), [n] if n.may_equal(classes));
        if !fits || weight.fact.dtype != x.dtype {
            return Err(Error::Op(format!(
                "weights must be one {} by class, found {}",
                x.dtype, weight.fact
            )));
        }
    }
    let shape = match site.op.text("reduction")? {
        Some("none") => target.shape.clone(),
        None | Some("mean" | "sum") => Vec::new(),
        Some(other) => {
            return Err(Error::Op(format!("`reduction` must be `none`, `mean` or `sum`, found `{other}`")));
        }
    };
    Ok(vec![Fact { dtype: x.dtype, shape }.into()])
}

//! Activations: functions of one value, element by element, with attributes.

use super::unary::{float, numeric};
use super::{Def, Site, broadcast, elementwise};
use crate::{Error, Fact, Inferred, Result};

pub(super) const TABLE: &[Def] = &[
    Def::new("Relu", numeric).axes(elementwise),
    Def::new("LeakyRelu", float).axes(elementwise),
    Def::new("PRelu", prelu).axes(broadcast::axes),
    Def::new("Elu", float).axes(elementwise),
    Def::new("Selu", float).axes(elementwise),
    Def::new("Celu", float).axes(elementwise),
    Def::new("ThresholdedRelu", float).axes(elementwise),
    Def::new("Sigmoid", float).axes(elementwise),
    Def::new("HardSigmoid", float).axes(elementwise),
    Def::new("HardSwish", float).axes(elementwise),
    Def::new("Swish", float).axes(elementwise),
    Def::new("Mish", float).axes(elementwise),
    Def::new("Gelu", gelu).axes(elementwise),
    Def::new("Softplus", float).axes(elementwise),
    Def::new("Softsign", float).axes(elementwise),
    Def::new("Shrink", numeric).axes(elementwise),
];

/// The slope broadcasts to the value, not the other way.
fn prelu(site: &Site<'_>) -> Result<Vec<Inferred>> {
    let (x, slope) = (site.fact(0)?, site.fact(1)?);
    if slope.dtype != x.dtype {
        return Err(Error::Op(format!("takes a slope of type {}, found {slope}", x.dtype)));
    }
    onto(x, slope, "the slope")?;
    numeric(site)
}

/// Whether `small`, called `what`, can be repeated to the shape of `x`.
pub(super) fn onto(x: &Fact, small: &Fact, what: &str) -> Result<()> {
    let fits = small.rank() <= x.rank()
        && small
            .shape
            .iter()
            .rev()
            .zip(x.shape.iter().rev())
            .all(|(s, d)| s.known() == Some(1) || s.may_equal(d));
    if fits { Ok(()) } else { Err(Error::Op(format!("{what} {small} does not broadcast to {x}"))) }
}

fn gelu(site: &Site<'_>) -> Result<Vec<Inferred>> {
    match site.op.text("approximate")? {
        None | Some("none" | "tanh") => float(site),
        Some(other) => Err(Error::Op(format!("`approximate` must be `none` or `tanh`, found `{other}`"))),
    }
}

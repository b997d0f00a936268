//! Functions of one value, element by element.

use occam_graph::Array;

use super::{Eval, Operands};
use crate::Result;
use crate::numbers::{array, elements, from_f64, to_f64};

pub(super) const TABLE: &[Eval] = &[
    Eval::new("Abs", |c| map(c, f64::abs)),
    Eval::new("Neg", |c| map(c, |x| -x)),
    Eval::new("Exp", |c| map(c, f64::exp)),
    Eval::new("Not", |c| {
        let x = c.array(0)?;
        Ok(vec![array(x.shape(), elements::<bool>(x)?.iter().map(|b| !b).collect())?])
    }),
];

/// `f` of every element, computed in `f64`.
fn map(c: &Operands<'_>, f: impl Fn(f64) -> f64) -> Result<Vec<Array>> {
    let x = c.array(0)?;
    let y: Vec<f64> = to_f64(x).into_iter().map(f).collect();
    Ok(vec![from_f64(x.dtype(), x.shape(), &y)?])
}

//! Determinants.

use super::unary::float;
use super::{Def, Site};
use crate::axes::{input, output};
use crate::{AxisMap, Error, Fact, Inferred, Result};

pub(super) const TABLE: &[Def] = &[Def::new("Det", det).axes(|s, _| {
    let batch = s.get(0).map_or(0, |k| k.fact.rank().saturating_sub(2));
    (0..batch).fold(AxisMap::default(), |m, i| m.same(input(0, i), output(0, i)))
})];

/// Of square matrices in the last two axes.
fn det(site: &Site<'_>) -> Result<Vec<Inferred>> {
    let x = site.fact(0)?;
    float(site)?;
    match x.shape.as_slice() {
        [batch @ .., m, n] if m.may_equal(n) => {
            Ok(vec![Fact { dtype: x.dtype, shape: batch.to_vec() }.into()])
        }
        _ => Err(Error::Op(format!("takes square matrices, found {x}"))),
    }
}

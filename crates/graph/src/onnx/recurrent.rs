//! Recurrent layers.

use super::{Def, Site};
use crate::{Bindings, Dim, Error, Fact, Inferred, Result};

pub(super) const TABLE: &[Def] = &[
    Def::new("RNN", |s| recurrent(s, 1, 2)).macs(macs),
    Def::new("GRU", |s| recurrent(s, 3, 2)).macs(macs),
    Def::new("LSTM", |s| recurrent(s, 4, 3)).macs(macs),
];

/// `x [T, N, I]`, `w [directions, gates · H, I]`, `r [directions, gates · H, H]` give `[T, directions, N, H]` and the last
/// states `[directions, N, H]`; batch first where `layout` is 1.
fn recurrent(site: &Site<'_>, gates: usize, outputs: usize) -> Result<Vec<Inferred>> {
    let (x, w, r) = (site.fact(0)?, site.fact(1)?, site.fact(2)?);
    let misfit = || Error::Op(format!("weights {w} and {r} do not fit {x}"));
    let ([a, b, inputs], [d, rows, of], [_, _, hidden]) =
        (x.shape.as_slice(), w.shape.as_slice(), r.shape.as_slice())
    else {
        return Err(misfit());
    };
    if !inputs.may_equal(of) || !rows.may_equal(&hidden.times(&Dim::Known(gates))?) {
        return Err(misfit());
    }
    let states = if site.op.flag("layout")? {
        [vec![a.clone(), b.clone(), d.clone(), hidden.clone()], vec![a.clone(), d.clone(), hidden.clone()]]
    } else {
        [vec![a.clone(), d.clone(), b.clone(), hidden.clone()], vec![d.clone(), b.clone(), hidden.clone()]]
    };
    let [all, last] = states;
    let lasts = (1..outputs).map(|_| Inferred::new(x.dtype, last.clone()));
    Ok(std::iter::once(Inferred::new(x.dtype, all)).chain(lasts).collect())
}

/// Every step multiplies its input and its state with the weights.
fn macs(site: &Site<'_>, _: &[&Fact], bindings: &Bindings) -> Result<u64> {
    let (x, w, r) = (site.fact(0)?, site.fact(1)?, site.fact(2)?);
    let steps = Fact { dtype: x.dtype, shape: x.shape.iter().take(2).cloned().collect() }.numel(bindings)?;
    Ok(steps.saturating_mul(w.numel(bindings)?.saturating_add(r.numel(bindings)?)))
}

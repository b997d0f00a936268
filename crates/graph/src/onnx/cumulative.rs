//! Running sums.

use super::unary::numeric;
use super::{Def, elementwise};
use crate::Error;
use crate::axes::input;

pub(super) const TABLE: &[Def] = &[Def::new("CumSum", |s| {
    let axis = s.known(1)?;
    if !axis.fact.dtype.is_integer() {
        return Err(Error::Op(format!("takes an integer axis, found {}", axis.fact)));
    }
    if let Some([axis]) = axis.ints().as_deref() {
        s.axis(*axis, s.fact(0)?.rank())?;
    }
    numeric(s)
})
// What an activation makes of a channel that is 0 is in all sums after it.
.axes(|s, outputs| {
    let rank = outputs.first().map_or(0, |y| y.rank());
    let named = s.get(1).and_then(|k| k.ints()).and_then(|axes| s.axis(*axes.first()?, rank).ok());
    let along = named.map_or(0..rank, |axis| axis..axis + 1);
    along.fold(elementwise(s, outputs), |m, axis| m.statistic(input(0, axis)))
})];

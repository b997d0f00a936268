//! Running sums.

use super::unary::numeric;
use super::{Def, elementwise};
use crate::Error;

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
.axes(elementwise)];

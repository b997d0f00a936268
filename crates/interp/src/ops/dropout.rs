//! Dropout, as it is when a model is used.

use occam_graph::{Array, DType};

use super::{Eval, Operands};
use crate::Result;
use crate::error::refuse;
use crate::numbers::{elements, from_f64, to_f64};

pub(super) const TABLE: &[Eval] = &[Eval::new("Dropout", dropout)];

fn dropout(c: &Operands<'_>) -> Result<Vec<Array>> {
    let x = c.array(0)?;
    let training = match c.get(2) {
        Some(mode) => elements::<bool>(mode)?.first() == Some(&true),
        None => false,
    };
    let ratio = c.get(1).and_then(|r| to_f64(r).first().copied()).unwrap_or(0.5);
    if training && ratio != 0.0 {
        return refuse("dropping values (`training_mode`) is not supported");
    }
    if !c.op.outputs.get(1).copied().unwrap_or(false) {
        return Ok(vec![x.clone()]);
    }
    let dtype = if c.op.version < 10 { x.dtype() } else { DType::Bool };
    Ok(vec![x.clone(), from_f64(dtype, x.shape(), &vec![1.0; x.len()])?])
}

//! Changing the element type.

use occam_graph::{Array, DType};

use super::{Eval, Operands};
use crate::Result;
use crate::error::refuse;
use crate::numbers::{Element, array, from_f64, to_f64, to_i64};

pub(super) const TABLE: &[Eval] = &[
    Eval::new("Cast", |c| match c.op.dtype("to")? {
        Some(to) => cast(c, to),
        None => refuse("attribute `to` is missing"),
    }),
    Eval::new("CastLike", |c| cast(c, c.dtype(1)?)),
];

/// Floats become integers towards zero, those beyond the type its ends; integers wrap.
fn cast(c: &Operands<'_>, to: DType) -> Result<Vec<Array>> {
    let x = c.array(0)?;
    if x.dtype() == to {
        return Ok(vec![x.clone()]);
    }
    if x.dtype().is_float() || to.is_float() || to == DType::Bool {
        return Ok(vec![from_f64(to, x.shape(), &to_f64(x))?]);
    }
    let v = to_i64(x)?;
    Ok(vec![match to {
        DType::I8 => wrapped::<i8>(x, &v),
        DType::U8 => wrapped::<u8>(x, &v),
        DType::I16 => wrapped::<i16>(x, &v),
        DType::U16 => wrapped::<u16>(x, &v),
        DType::I32 => wrapped::<i32>(x, &v),
        DType::U32 => wrapped::<u32>(x, &v),
        DType::U64 => wrapped::<u64>(x, &v),
        _ => wrapped::<i64>(x, &v),
    }?])
}

fn wrapped<R: Element>(x: &Array, v: &[i64]) -> Result<Array> {
    array(x.shape(), v.iter().map(|&n| R::from_i64(n)).collect())
}

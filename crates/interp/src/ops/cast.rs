//! Changing the element type.

use half::{bf16, f16};
use occam_graph::{Array, DType};

use super::{Eval, Operands};
use crate::Result;
use crate::error::refuse;
use crate::map::map;
use crate::numbers::{Element, array, each_type};

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
    Ok(vec![match to {
        DType::F32 => to_type::<f32>(x),
        DType::F64 => to_type::<f64>(x),
        DType::F16 => to_type::<f16>(x),
        DType::BF16 => to_type::<bf16>(x),
        DType::I8 => to_type::<i8>(x),
        DType::U8 => to_type::<u8>(x),
        DType::I16 => to_type::<i16>(x),
        DType::U16 => to_type::<u16>(x),
        DType::I32 => to_type::<i32>(x),
        DType::U32 => to_type::<u32>(x),
        DType::I64 => to_type::<i64>(x),
        DType::U64 => to_type::<u64>(x),
        DType::Bool => to_type::<bool>(x),
    }?])
}

fn to_type<R: Element>(x: &Array) -> Result<Array> {
    // `u64` beyond `i64` is a float's business.
    let integers = !x.dtype().is_float() && !R::DTYPE.is_float();
    each_type!(x, v => array(x.shape(), map(v, |n| {
        if integers { R::from_i64(Element::to_i64(n)) } else { R::from_f64(Element::to_f64(n)) }
    })))
}

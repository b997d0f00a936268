//! Changing the element type.

use occam_graph::{Array, DType, Narrow};

use super::{Eval, Operands};
use crate::Result;
use crate::error::refuse;
use crate::numbers::{Element, array, coded, from_f64, to_f64, to_i64};

pub(super) const TABLE: &[Eval] = &[
    Eval::new("Cast", |c| match c.op.dtype("to")? {
        Some(to) => cast(c, to),
        None => refuse("attribute `to` is missing"),
    }),
    Eval::new("CastLike", |c| cast(c, c.dtype(1)?)),
];

/// Floats become integers towards zero, those beyond the type its ends; integers wrap. Floats of 8 bits are the nearest
/// ones, see [`Narrow::encode`] for what is beyond them.
fn cast(c: &Operands<'_>, to: DType) -> Result<Vec<Array>> {
    let x = c.array(0)?;
    let from = x.dtype();
    if from == to {
        return Ok(vec![x.clone()]);
    }
    let whole = from.is_integer() || from == DType::Bool || from.narrow().is_some_and(|of| !of.is_float());
    if let DType::Narrow(of) = to {
        return Ok(vec![narrowed(c, x, of, whole)?]);
    }
    if !whole || to.is_float() || to == DType::Bool {
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

fn narrowed(c: &Operands<'_>, x: &Array, to: Narrow, whole: bool) -> Result<Array> {
    let saturate = c.op.int("saturate")?.unwrap_or(1) != 0;
    let codes = if whole && !to.is_float() {
        to_i64(x)?.into_iter().map(|n| n as u8 & to.last_code()).collect()
    } else {
        to_f64(x).into_iter().map(|n| to.encode(n, saturate)).collect()
    };
    coded(to, x.shape(), codes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate;
    use occam_graph::Data;
    use occam_graph::onnx::{Attribute, Onnx};

    fn to(number: i64) -> Onnx {
        Onnx::new("Cast", 21, 1).with("to", Attribute::Int(number))
    }

    fn codes(of: Narrow, v: &[u8]) -> Array {
        Array::new([v.len()], Data::Narrow(of, v.to_vec())).unwrap()
    }

    #[test]
    fn floats_of_eight_bits_saturate_where_asked() {
        let x = Array::from_f32([4], vec![0.479, 1e6, f32::INFINITY, -1e-9]).unwrap();
        let y = evaluate(&to(17), std::slice::from_ref(&x)).unwrap();
        assert_eq!(y[0], codes(Narrow::F8E4M3FN, &[0x2f, 0x7e, 0x7e, 0x80]));
        let open = to(19).with("saturate", Attribute::Int(0));
        let y = evaluate(&open, &[x]).unwrap();
        assert_eq!(y[0], codes(Narrow::F8E5M2, &[0x38, 0x7c, 0x7c, 0x80]));
        let back = evaluate(&to(1), &y).unwrap();
        assert_eq!(back[0].as_f32().unwrap(), [0.5, f32::INFINITY, f32::INFINITY, 0.0]);
        let whole = evaluate(&to(6), &[codes(Narrow::F8E4M3FN, &[0x45, 0xc5])]).unwrap();
        assert_eq!(whole[0], Array::new([2], Data::I32(vec![3, -3])).unwrap());
    }

    #[test]
    fn integers_of_four_bits_wrap_and_floats_saturate() {
        let x = Array::from_i64([3], vec![-1, 9, 16]).unwrap();
        assert_eq!(evaluate(&to(22), &[x]).unwrap()[0], codes(Narrow::I4, &[15, 9, 0]));
        let x = Array::from_f32([3], vec![-9.0, -1.7, 30.0]).unwrap();
        assert_eq!(evaluate(&to(22), &[x]).unwrap()[0], codes(Narrow::I4, &[8, 15, 7]));
        let wide = evaluate(&to(7), &[codes(Narrow::I4, &[8, 15, 7])]).unwrap();
        assert_eq!(wide[0].as_i64().unwrap(), [-8, -1, 7]);
        let truth = evaluate(&to(9), &[codes(Narrow::U4, &[0, 15])]).unwrap();
        assert_eq!(truth[0], Array::new([2], Data::Bool(vec![false, true])).unwrap());
    }
}

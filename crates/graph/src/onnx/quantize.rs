//! Integers for floats and back.

use super::{Def, MICROSOFT, NarrowUse, Onnx, Site, axis_of};
use crate::axes::{input, output};
use crate::{AxisMap, DType, Dim, Error, Fact, Inferred, Result};

pub(super) const TABLE: &[Def] = &[
    Def::new("QuantizeLinear", quantize).axes(axes).narrow(NarrowUse::Known),
    Def::new("DequantizeLinear", dequantize).axes(axes).narrow(NarrowUse::Known),
    Def::new("QuantizeLinear", quantize).of(MICROSOFT).axes(axes).narrow(NarrowUse::Known),
    Def::new("DequantizeLinear", dequantize).of(MICROSOFT).axes(axes).narrow(NarrowUse::Known),
    Def::new("DynamicQuantizeLinear", |s| {
        let x = s.fact(0)?;
        if x.dtype != DType::F32 {
            return Err(Error::Op(format!("takes f32, found {x}")));
        }
        let one = |dtype| Inferred::new(dtype, std::iter::empty::<Dim>());
        Ok(vec![Inferred::new(DType::U8, x.shape.iter().cloned()), one(DType::F32), one(DType::U8)])
    })
    .axes(super::elementwise),
];

/// What attribute `output_dtype` names; 0 names nothing.
fn output_type(op: &Onnx) -> Result<Option<DType>> {
    if op.int("output_dtype")? == Some(0) { Ok(None) } else { op.dtype("output_dtype") }
}

/// The element type that `QuantizeLinear` gives: what `output_dtype` names, that of the zero point, or `u8`.
///
/// # Errors
/// The two differ, or arrays do not have the type.
pub fn quantized_type(op: &Onnx, zero: Option<DType>) -> Result<DType> {
    match (output_type(op)?, zero) {
        (Some(a), Some(b)) if a != b => {
            Err(Error::Op(format!("attribute `output_dtype` is {a}, but the zero point is of type {b}")))
        }
        (given, zero) => Ok(zero.or(given).unwrap_or(DType::U8)),
    }
}

/// The element type that `DequantizeLinear` gives: what `output_dtype` names, or that of the scale.
///
/// # Errors
/// Arrays do not have the type.
pub fn dequantized_type(op: &Onnx, scale: DType) -> Result<DType> {
    Ok(output_type(op)?.unwrap_or(scale))
}

fn quantize(site: &Site<'_>) -> Result<Vec<Inferred>> {
    linear(site, quantized_type(site.op, site.get(2).map(|z| z.fact.dtype))?)
}

fn dequantize(site: &Site<'_>) -> Result<Vec<Inferred>> {
    linear(site, dequantized_type(site.op, site.fact(1)?.dtype)?)
}

/// The axis that scales run along, for a value of `rank`.
///
/// # Errors
/// There is no such axis.
pub fn quantized_axis(op: &Onnx, rank: usize) -> Result<usize> {
    axis_of(op.int("axis")?.unwrap_or(1), rank)
}

/// The shape of operand 0 in `dtype`; scale and zero point are one number, one for each element of an axis, or one for
/// each block.
fn linear(site: &Site<'_>, dtype: DType) -> Result<Vec<Inferred>> {
    let (x, scale) = (site.fact(0)?, site.fact(1)?);
    let misfit = |what: &str, f: &Fact| Err(Error::Op(format!("{what} {f} does not fit {x}")));
    if !scale.dtype.is_float() {
        return misfit("scale", scale);
    }
    let blocks = site.op.size("block_size")?.unwrap_or(0) > 0;
    let fits = match scale.shape.as_slice() {
        _ if blocks => scale.rank() == x.rank(),
        [] => true,
        // A vector of one element counts as one number.
        [d] if *d == Dim::Known(1) => true,
        [d] => x.shape.get(quantized_axis(site.op, x.rank())?).is_some_and(|of| d.may_equal(of)),
        _ => false,
    };
    if !fits {
        return misfit("scale", scale);
    }
    if let Some(zero) = site.get(2).map(|z| z.fact) {
        let one = |f: &Fact| f.shape.iter().all(|d| *d == Dim::Known(1));
        let same =
            zero.rank() == scale.rank() && zero.shape.iter().zip(&scale.shape).all(|(a, b)| a.may_equal(b));
        if !(same || one(zero) && one(scale)) {
            return misfit("zero point", zero);
        }
    }
    Ok(vec![Inferred::new(dtype, x.shape.iter().cloned())])
}

fn axes(site: &Site<'_>, outputs: &[&Fact]) -> AxisMap {
    let map = super::elementwise(site, outputs);
    let (Ok(x), Ok(scale)) = (site.fact(0), site.fact(1)) else { return map };
    match (scale.shape.as_slice(), quantized_axis(site.op, x.rank())) {
        ([d], Ok(axis)) if *d != Dim::Known(1) => (1..=2)
            .filter_map(|i| site.op.position(i))
            .fold(map, |m, at| m.same(input(at, 0), output(0, axis))),
        _ => map,
    }
}

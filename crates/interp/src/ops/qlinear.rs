//! Operators on quantized values that stand for one on floats.

mod arithmetic;

use occam_graph::onnx::qlinear::{Form, Term, form};
use occam_graph::onnx::{MICROSOFT, Onnx};
use occam_graph::{Array, DType};

use super::matmul::{Plan, centered};
use super::quantize::{along, requantize};
use super::{Eval, Operands, evaluate};
use crate::error::refuse;
use crate::map::repeated;
use crate::moves::transposed;
use crate::numbers::{from_f64, to_f64};
use crate::view::{strides, walk};
use crate::{Error, Result};

pub(super) const TABLE: &[Eval] = &[
    Eval::new("QLinearAdd", |c| exact(c, arithmetic::add)).of(MICROSOFT),
    Eval::new("QLinearMul", |c| exact(c, arithmetic::mul)).of(MICROSOFT),
    Eval::new("QLinearSigmoid", on_floats).of(MICROSOFT),
    Eval::new("QLinearLeakyRelu", on_floats).of(MICROSOFT),
    Eval::new("QLinearSoftmax", |c| exact(c, arithmetic::softmax)).of(MICROSOFT),
    Eval::new("QLinearGlobalAveragePool", |c| exact(c, arithmetic::global_average)).of(MICROSOFT),
    Eval::new("QLinearAveragePool", average).of(MICROSOFT),
    Eval::new("QLinearConcat", on_floats).of(MICROSOFT),
    Eval::new("QLinearWhere", on_floats).of(MICROSOFT),
    Eval::new("QGemm", gemm).of(MICROSOFT),
];

/// `op` of an operand with its scale and zero point.
fn linear(op: &str, [x, scale]: [&Array; 2], zero: Option<&Array>) -> Result<Array> {
    let operands: Vec<Array> = [x, scale].into_iter().chain(zero).cloned().collect();
    let results = evaluate(&Onnx::new(op, 13, operands.len()), &operands)?;
    results.into_iter().next().ok_or_else(|| Error::Op("nothing was computed".into()))
}

/// What the kernels for integers of 8 bits compute, and for others what floats give.
fn exact(c: &Operands<'_>, f: fn(&Operands<'_>) -> Result<Option<Array>>) -> Result<Vec<Array>> {
    // Attributes that are not supported are refused here.
    form(c.op)?;
    match f(c)? {
        Some(y) => Ok(vec![y]),
        None => on_floats(c),
    }
}

/// `f(dequantize(a), dequantize(b), ..)` in `f32`, the input with the scale of the result, and the type of the result where
/// it has no zero point.
fn floats(c: &Operands<'_>) -> Result<(Vec<Array>, usize, DType)> {
    let Some(Form { op, terms, scale }) = form(c.op)? else {
        return refuse("stands for no operator on floats");
    };
    let mut floats = Vec::with_capacity(terms.len());
    let mut dtype = DType::U8;
    for &term in &terms {
        let x = c.array(term.slot())?;
        floats.push(match term {
            Term::Plain(_) => x.clone(),
            Term::Scaled(slot) => {
                dtype = x.dtype();
                linear("DequantizeLinear", [x, c.array(slot + 1)?], c.get(slot + 2))?
            }
        });
    }
    Ok((evaluate(&op, &floats)?, scale, dtype))
}

/// `quantize(f(dequantize(a), dequantize(b), ..))`, in `f32`.
fn on_floats(c: &Operands<'_>) -> Result<Vec<Array>> {
    let (y, scale, dtype) = floats(c)?;
    // Without a zero point the result has the type of the operands.
    let none = from_f64(dtype, c.array(scale)?.shape(), &vec![0.0; c.array(scale)?.len()])?;
    let zero = c.get(scale + 1).unwrap_or(&none);
    y.iter().map(|y| linear("QuantizeLinear", [y, c.array(scale)?], Some(zero))).collect()
}

/// Means of dequantized windows, with the zero point added before rounding.
fn average(c: &Operands<'_>) -> Result<Vec<Array>> {
    let (y, scale, dtype) = floats(c)?;
    let dtype = c.get(scale + 1).map_or(dtype, Array::dtype);
    let [y] = y.as_slice() else { return on_floats(c) };
    match arithmetic::quantized_after(y, c, scale, dtype)? {
        Some(y) => Ok(vec![y]),
        None => on_floats(c),
    }
}

/// `round((a' · b' + c) · alpha · sa · sb / sy) + y0`, where `a' = a − a0`; without `sy` the floats before that division.
///
/// `c` is an integer of scale `alpha · sa · sb`. The scale of `b` may be one for each column.
fn gemm(c: &Operands<'_>) -> Result<Vec<Array>> {
    let turned = |x: &Array, flag: &str| match (c.op.flag(flag)?, x.shape().len()) {
        (_, rank) if rank != 2 => refuse(format!("a matrix wanted, found {x:?}")),
        (true, _) => transposed(x, &[1, 0]),
        (false, _) => Ok(x.clone()),
    };
    let (a, b) = (turned(c.array(0)?, "transA")?, turned(c.array(3)?, "transB")?);
    let plan = Plan::of(a.shape(), b.shape())?;
    let mut sums = plan.run(&centered(&a, c.get(2), true)?, &centered(&b, c.get(5), false)?)?;
    if let Some(bias) = c.get(6) {
        let whole = to_f64(bias);
        let whole = repeated(&whole, bias.shape(), &plan.shape)?;
        sums.iter_mut().zip(whole.iter()).for_each(|(y, b)| *y += b);
    }
    let (a_scale, b_scale) = (c.array(1)?.to_f32()?, c.array(4)?.to_f32()?);
    let &[a_scale] = a_scale.as_f32()? else {
        return refuse(format!("one scale of the first matrix wanted, found {a_scale:?}"));
    };
    let factor = a_scale * c.op.float("alpha")?.unwrap_or(1.0);
    let Some(scale) = c.get(7) else {
        let steps = along(&plan.shape, b_scale.shape(), 1)?;
        let (own, scales) = (strides(&plan.shape), b_scale.as_f32()?);
        let mut y = vec![0f32; sums.len()];
        walk(&plan.shape, [&own, &steps], |[i, j]| {
            if let (Some(y), Some(&sum), Some(s)) = (y.get_mut(i), sums.get(i), scales.get(j)) {
                *y = sum as f32 * (factor * s);
            }
        });
        return Ok(vec![Array::from_f32(plan.shape, y)?]);
    };
    let none = from_f64(a.dtype(), &[], &[0.0])?;
    let factor = Array::from_f32([], vec![factor])?;
    let factors = [(&factor, 0), (&b_scale, 1)];
    Ok(vec![requantize(sums, &plan.shape, factors, scale, c.get(8).unwrap_or(&none))?])
}

#[cfg(test)]
mod tests {
    use occam_graph::Data;
    use occam_graph::onnx::Attribute;

    use super::*;

    const ADD: [u8; 8] = [0, 0, 121, 139, 51, 94, 215, 218];
    const MUL: [u8; 8] = [255, 255, 22, 90, 84, 0, 255, 255];
    const SIGMOID: [u8; 8] = [0, 2, 51, 128, 138, 249, 255, 255];
    const LEAKY: [u8; 8] = [84, 88, 96, 100, 104, 190, 252, 255];
    const SOFTMAX: [u8; 8] = [0, 0, 0, 0, 255, 255, 255, 255];
    const GLOBAL: [u8; 2] = [21, 201];
    const AVERAGE: [u8; 4] = [0, 21, 147, 201];
    const CONCAT: [u8; 3] = [0, 255, 77];
    const WHERE: [u8; 8] = [10, 49, 72, 139, 49, 135, 139, 169];
    const GEMM: [u8; 4] = [149, 66, 112, 69];
    const GEMM_FLOATS: [f32; 4] = [5.057_55, -0.804_599_94, 2.448, -0.573_299_94];

    fn microsoft(name: &str, inputs: usize) -> Onnx {
        Onnx { domain: MICROSOFT.into(), ..Onnx::new(name, 1, inputs) }
    }

    fn u8s(shape: &[usize], v: &[u8]) -> Array {
        Array::new(shape, Data::U8(v.to_vec())).unwrap()
    }

    fn f(x: f32) -> Array {
        Array::from_f32([], vec![x]).unwrap()
    }

    /// What ONNX Runtime 1.32 gives.
    #[test]
    fn functions_of_steps_are_those_of_onnx_runtime() {
        let (x, y) = (u8s(&[1, 2, 2, 2], &[0, 30, 100, 128, 131, 200, 250, 255]), u8s(&[2, 1], &[10, 250]));
        let z = |n| u8s(&[], &[n]);
        let one = [x.clone(), f(0.05), z(128), f(0.04), z(100)];
        let two = [x.clone(), f(0.05), z(128), y.clone(), f(0.03), z(120), f(0.08), z(90)];
        let pool = microsoft("QLinearAveragePool", 5).with("kernel_shape", Attribute::Ints(vec![2, 2]));
        let pool =
            pool.with("strides", Attribute::Ints(vec![1, 1])).with("pads", Attribute::Ints(vec![1, 0, 0, 0]));
        let softmax =
            microsoft("QLinearSoftmax", 5).with("opset", Attribute::Int(13)).with("axis", Attribute::Int(1));
        let softmax_operands = [x.clone(), f(0.05), z(128), f(1.0 / 256.0), z(0)];
        for (op, operands, wanted) in [
            (microsoft("QLinearAdd", 8), &two[..], ADD.as_slice()),
            (microsoft("QLinearMul", 8), &two[..], MUL.as_slice()),
            (
                microsoft("QLinearSigmoid", 5),
                &[x.clone(), f(0.05), z(128), f(1.0 / 256.0), z(0)][..],
                SIGMOID.as_slice(),
            ),
            (
                microsoft("QLinearLeakyRelu", 5).with("alpha", Attribute::Float(0.1)),
                &one[..],
                LEAKY.as_slice(),
            ),
            (softmax, &softmax_operands[..], SOFTMAX.as_slice()),
            (microsoft("QLinearGlobalAveragePool", 5), &one[..], GLOBAL.as_slice()),
            (pool, &one[..], AVERAGE.as_slice()),
        ] {
            let found = evaluate(&op, operands).unwrap();
            assert!(
                *found[0].data() == Data::U8(wanted.to_vec()),
                "{op:?}: {:?}, not {wanted:?}",
                bytes(&found[0])
            );
        }
        let join = microsoft("QLinearConcat", 8).with("axis", Attribute::Int(0));
        let operands =
            [f(0.04), z(100), u8s(&[2], &[0, 255]), f(0.05), z(128), u8s(&[1], &[77]), f(0.04), z(100)];
        assert_eq!(bytes(&evaluate(&join, &operands).unwrap()[0]), CONCAT);
        let flags = Array::new([2, 1, 2], Data::Bool(vec![true, false, false, true])).unwrap();
        let choose = microsoft("QLinearWhere", 9);
        let operands = [flags, x, f(0.05), z(128), y, f(0.03), z(120), f(0.08), z(90)];
        assert_eq!(bytes(&evaluate(&choose, &operands).unwrap()[0]), WHERE);
    }

    fn bytes(x: &Array) -> Vec<u8> {
        x.to_le_bytes()
    }

    /// What ONNX Runtime 1.32 gives.
    #[test]
    fn products_have_scales_by_column() {
        let a = u8s(&[2, 3], &[1, 100, 255, 7, 0, 128]);
        let b = Array::new([2, 3], Data::I8(vec![-128, 5, 127, 33, -7, 1])).unwrap();
        let bias = Array::new([2], Data::I32(vec![1000, -2000])).unwrap();
        let scales = Array::from_f32([2], vec![0.01, 0.02]).unwrap();
        let zeros = Array::new([2], Data::I8(vec![0, 0])).unwrap();
        let gemm =
            microsoft("QGemm", 9).with("transB", Attribute::Int(1)).with("alpha", Attribute::Float(0.5));
        let mut operands =
            vec![a, f(0.03), u8s(&[], &[10]), b, scales, zeros, bias, f(0.07), u8s(&[], &[77])];
        assert_eq!(bytes(&evaluate(&gemm, &operands).unwrap()[0]), GEMM);
        operands.truncate(7);
        let floats = Onnx { inputs: vec![true; 7], ..gemm };
        let found = evaluate(&floats, &operands).unwrap();
        for (a, b) in found[0].as_f32().unwrap().iter().zip(GEMM_FLOATS) {
            assert!((a - b).abs() < 1e-5, "{a} {b}");
        }
    }
}

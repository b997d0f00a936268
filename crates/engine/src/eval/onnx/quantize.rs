//! Integers for floats and back, learned through.

use occam_graph::onnx::quantize::quantized_axis;
use occam_graph::{Array, DType, Data};

use super::{Call, Run, one};
use crate::error::refuse;
use crate::kernels::QuantRange;
use crate::{Operand, Result, Tensor};

pub(super) const TABLE: &[(&str, Run)] = &[("QuantizeLinear", quantize), ("DequantizeLinear", dequantize)];

/// `clamp(round(x / s) + z)` as whole floats on the tape, where a gradient has to pass: straight through what was not
/// clamped (Bengio et al., 2013, arXiv:1308.3432), so `1 / s`; 0 elsewhere.
fn quantize(c: &Call<'_>) -> Result<Option<Vec<Operand>>> {
    let constant = |i: usize| !c.operand(i).is_some_and(Operand::is_tracked);
    if constant(0) || !constant(1) {
        return Ok(None);
    }
    let dtype = match c.operand(2) {
        Some(zero) => zero.dtype()?,
        None => c.op.dtype("output_dtype")?.unwrap_or(DType::U8),
    };
    let Some((low, high)) = range(dtype) else { return Ok(None) };
    let x = c.tensor(0)?;
    let Some(Grid { scale, zero, axis }) = grid(c, &x)? else { return Ok(None) };
    let rounded = x.fake_quantize(&scale, &zero, QuantRange { low, high, axis, learned: None })?;
    let (scale, zero) = (along(&scale, x.rank(), axis)?, along(&zero, x.rank(), axis)?);
    one(rounded.div(&scale)?.add(&zero)?)
}

/// `(q − z) · s`, where `q` is on the tape, or the scale is.
fn dequantize(c: &Call<'_>) -> Result<Option<Vec<Operand>>> {
    let Some(Operand::Tensor(q)) = c.operand(0) else { return Ok(None) };
    let Some(Grid { scale, zero, axis }) = grid(c, q)? else { return Ok(None) };
    one(q.sub(&along(&zero, q.rank(), axis)?)?.mul(&along(&scale, q.rank(), axis)?)?)
}

/// Scales and zero points: one, or one for each element of an axis.
struct Grid {
    scale: Tensor,
    zero: Tensor,
    axis: Option<usize>,
}

/// The grid of `x`; none where there is one for each block.
fn grid(c: &Call<'_>, x: &Tensor) -> Result<Option<Grid>> {
    let scale = c.tensor(1)?;
    if scale.rank() > 1 || c.op.size("block_size")?.unwrap_or(0) > 0 {
        return Ok(None);
    }
    let count = scale.len();
    let zero = match c.array(2)? {
        None => Tensor::full(&[count], 0.0, c.device),
        Some(zero) => Tensor::from_f32(&[zero.len()], floats(&zero)?, c.device)?,
    };
    let axis = if count == 1 { None } else { Some(quantized_axis(c.op, x.rank())?) };
    Ok(Some(Grid { scale: scale.reshape(&[count])?, zero, axis }))
}

/// A vector along `axis` of `rank`, or one number.
fn along(vector: &Tensor, rank: usize, axis: Option<usize>) -> Result<Tensor> {
    let mut shape = vec![1; rank];
    if let Some(d) = axis.and_then(|axis| shape.get_mut(axis)) {
        *d = vector.len();
    }
    vector.reshape(&shape)
}

/// The integers of a type.
fn range(dtype: DType) -> Option<(i32, i32)> {
    Some(match dtype {
        DType::I8 => (i8::MIN.into(), i8::MAX.into()),
        DType::U8 => (0, u8::MAX.into()),
        DType::I16 => (i16::MIN.into(), i16::MAX.into()),
        DType::U16 => (0, u16::MAX.into()),
        _ => return None,
    })
}

fn floats(zero: &Array) -> Result<Vec<f32>> {
    Ok(match zero.data() {
        Data::I8(v) => v.iter().map(|&n| n.into()).collect(),
        Data::U8(v) => v.iter().map(|&n| n.into()).collect(),
        Data::I16(v) => v.iter().map(|&n| n.into()).collect(),
        Data::U16(v) => v.iter().map(|&n| n.into()).collect(),
        Data::I32(v) => v.iter().map(|&n| n as f32).collect(),
        other => {
            return refuse("operands", format!("a zero point of type {} is not supported", other.dtype()));
        }
    })
}

#[cfg(test)]
mod tests {
    use occam_graph::onnx::{Attribute, Onnx};

    use super::*;
    use crate::Device;
    use crate::eval::onnx::eval;

    /// What a pair gives for `x`, and the gradient of the sum of its squares.
    fn pair(op: fn(&str) -> Onnx, x: &Tensor, scale: &[f32], zero: Data) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
        let device = Device::cpu();
        let shape: &[usize] = if scale.len() == 1 { &[] } else { &[scale.len()] };
        let scale = Operand::Tensor(Tensor::from_f32(shape, scale.to_vec(), &device).unwrap());
        let zero = Operand::Array(Array::new(shape, zero).unwrap());
        let run = |x: &Tensor| {
            let x = Operand::Tensor(x.clone());
            let q = eval(&op("QuantizeLinear"), &[x, scale.clone(), zero.clone()], &device).unwrap();
            let y = eval(&op("DequantizeLinear"), &[q[0].clone(), scale.clone(), zero.clone()], &device);
            y.unwrap()[0].to_tensor(&device).unwrap()
        };
        let exact = run(x).to_f32().unwrap();
        let leaf = x.require_grad();
        let y = run(&leaf);
        let values = y.to_f32().unwrap();
        let gradient = y.mul(&y).unwrap().sum().unwrap().backward().unwrap().take(&leaf).unwrap();
        (exact, values, gradient.to_f32().unwrap())
    }

    /// Halves are rounded to even; 127 and −128 are the ends, and what is beyond them learns nothing.
    #[test]
    fn gradients_pass_where_nothing_was_clamped() {
        let x = vec![0.0, 0.26, -0.74, 0.25, 63.5, 63.7, 64.0, -64.0, -64.2, -70.0];
        let wanted = [0.0, 0.5, -0.5, 0.0, 63.5, 63.5, 63.5, -64.0, -64.0, -64.0];
        let inside = [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 0.0];
        let x = Tensor::from_f32(&[10], x, &Device::cpu()).unwrap();
        let (exact, values, gradient) = pair(|name| Onnx::new(name, 17, 3), &x, &[0.5], Data::I8(vec![0]));
        assert_eq!(exact, wanted);
        assert_eq!(values, wanted);
        let expected: Vec<f32> = wanted.iter().zip(inside).map(|(y, i)| 2.0 * y * i).collect();
        assert_eq!(gradient, expected);
    }

    /// Two channels of one image each with a scale and a zero point of its own.
    #[test]
    fn channels_have_grids_of_their_own() {
        let x = vec![-3.0, 0.1, 1.1, 300.0, -3.0, 0.1, 1.1, 300.0];
        let x = Tensor::from_f32(&[1, 2, 4], x, &Device::cpu()).unwrap();
        let op = |name: &str| Onnx::new(name, 17, 3).with("axis", Attribute::Int(1));
        let (exact, values, gradient) = pair(op, &x, &[1.0, 0.25], Data::U8(vec![2, 128]));
        let wanted = [-2.0, 0.0, 1.0, 253.0, -3.0, 0.0, 1.0, 31.75];
        let inside = [0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 0.0];
        assert_eq!(exact, wanted);
        assert_eq!(values, wanted);
        let expected: Vec<f32> = wanted.iter().zip(inside).map(|(y, i)| 2.0 * y * i).collect();
        assert_eq!(gradient, expected);
    }

    #[test]
    fn what_has_no_gradient_is_refused() {
        let device = Device::cpu();
        let x = Operand::Tensor(Tensor::full(&[4], 1.0, &device).require_grad());
        let scale = Operand::Tensor(Tensor::full(&[2], 0.5, &device));
        let zero = Operand::Array(Array::new([2], Data::U8(vec![0, 0])).unwrap());
        let op = Onnx::new("QuantizeLinear", 21, 3)
            .with("axis", Attribute::Int(0))
            .with("block_size", Attribute::Int(2));
        let error = eval(&op, &[x, scale, zero], &device).unwrap_err().to_string();
        assert!(error.contains("QuantizeLinear has no gradient with these options"), "{error}");
    }
}

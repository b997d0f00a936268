//! Operators on floats that ONNX Runtime rounds in another order than the interpreter, which is more exact.

use occam_graph::Array;
use occam_graph::onnx::Onnx;
use rayon::prelude::*;

use crate::Result;

/// The results of an operator of which the order is known; none for others, which the interpreter evaluates.
///
/// # Errors
/// An attribute is of another type.
pub(super) fn evaluate(op: &Onnx, operands: &[Array]) -> Result<Option<Vec<Array>>> {
    match op.op_type.as_str() {
        "BatchNormalization" if op.domain.is_empty() && op.outputs.iter().filter(|o| **o).count() == 1 => {
            batch_norm(op, operands)
        }
        "LayerNormalization" if op.domain.is_empty() && op.outputs.iter().filter(|o| **o).count() == 1 => {
            layer_norm(op, operands)
        }
        _ => Ok(None),
    }
}

/// `x · a + (b − m · a)` with `a = γ · (1 / √(σ² + ε))`, all of it rounded to `f32` one by one.
fn batch_norm(op: &Onnx, operands: &[Array]) -> Result<Option<Vec<Array>>> {
    let [x, scale, bias, mean, var] = operands else { return Ok(None) };
    let of = |a: &Array| a.as_f32().map(<[f32]>::to_vec).ok();
    let (Some(scale), Some(bias), Some(mean), Some(var)) = (of(scale), of(bias), of(mean), of(var)) else {
        return Ok(None);
    };
    let (Ok(data), &[_, channels, ref rest @ ..]) = (x.as_f32(), x.shape()) else { return Ok(None) };
    if op.flag("training_mode")? || scale.len() != channels || channels == 0 {
        return Ok(None);
    }
    let epsilon = op.float("epsilon")?.unwrap_or(1e-5);
    let a: Vec<f32> = scale.iter().zip(&var).map(|(s, v)| s * (1.0 / (v + epsilon).sqrt())).collect();
    let b: Vec<f32> = bias.iter().zip(mean.iter().zip(&a)).map(|(b, (m, a))| b - m * a).collect();
    let plane: usize = rest.iter().product::<usize>().max(1);
    let mut y = vec![0f32; data.len()];
    y.par_chunks_mut(plane).zip(data.par_chunks(plane)).enumerate().for_each(|(i, (y, x))| {
        let channel = i % channels;
        if let (Some(a), Some(b)) = (a.get(channel), b.get(channel)) {
            y.iter_mut().zip(x).for_each(|(y, x)| *y = x * a + b);
        }
    });
    Ok(Some(vec![Array::from_f32(x.shape(), y)?]))
}

/// `fma((x − μ) · (1 / √(σ² + ε)), γ, β)`: `μ` is summed in `f64`, `σ²` in eight `f32`, each square fused with its addition.
/// Where the length is no multiple of eight, the rest is added one by one, which may be another order than the runtime's.
fn layer_norm(op: &Onnx, operands: &[Array]) -> Result<Option<Vec<Array>>> {
    let (x, scale, bias) = match operands {
        [x, scale] => (x, scale, None),
        [x, scale, bias] => (x, scale, Some(bias)),
        _ => return Ok(None),
    };
    let axis = occam_graph::onnx::axis_of(op.int("axis")?.unwrap_or(-1), x.shape().len())?;
    let length: usize = x.shape().iter().skip(axis).product();
    let (Ok(data), Ok(scale)) = (x.as_f32(), scale.as_f32()) else { return Ok(None) };
    let bias = match bias.map(Array::as_f32) {
        Some(Err(_)) => return Ok(None),
        bias => bias.transpose()?,
    };
    if length == 0 || scale.len() != length || bias.is_some_and(|b| b.len() != length) {
        return Ok(None);
    }
    let epsilon = op.float("epsilon")?.unwrap_or(1e-5);
    let mut y = vec![0f32; data.len()];
    y.par_chunks_mut(length).zip(data.par_chunks(length)).for_each(|(y, x)| {
        let mean = (x.iter().map(|&x| f64::from(x)).sum::<f64>() / length as f64) as f32;
        y.iter_mut().zip(x).for_each(|(y, x)| *y = x - mean);
        let inverse = 1.0 / (squares(y) / length as f32 + epsilon).sqrt();
        for (i, (y, scale)) in y.iter_mut().zip(scale).enumerate() {
            let step = *y * inverse;
            *y = match bias.and_then(|b| b.get(i)) {
                Some(&bias) => step.mul_add(*scale, bias),
                None => step * scale,
            };
        }
    });
    Ok(Some(vec![Array::from_f32(x.shape(), y)?]))
}

/// The sum of squares in eight sums, which are added by halves.
fn squares(v: &[f32]) -> f32 {
    let (chunks, rest) = v.as_chunks::<8>();
    let mut sums = [0f32; 8];
    for chunk in chunks {
        sums.iter_mut().zip(chunk).for_each(|(s, &x)| *s = x.mul_add(x, *s));
    }
    let [a, b, c, d, e, f, g, h] = sums;
    let all = ((a + e) + (c + g)) + ((b + f) + (d + h));
    rest.iter().fold(all, |sum, x| sum + x * x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_what_the_interpreter_gives_but_for_rounding() {
        let f = |shape: &[usize], f: &dyn Fn(usize) -> f32| {
            let count: usize = shape.iter().product();
            Array::from_f32(shape, (0..count).map(f).collect()).unwrap()
        };
        let x = f(&[2, 3, 4, 5], &|i| (i as f32 * 0.37).sin());
        let params: Vec<Array> = (1..5).map(|k| f(&[3], &|i| 0.3 * k as f32 + i as f32 * 0.21)).collect();
        let operands = [vec![x], params].concat();
        let op = Onnx::new("BatchNormalization", 15, 5);
        let found = evaluate(&op, &operands).unwrap().unwrap();
        let wanted = occam_interp::evaluate(&op, &operands).unwrap();
        for (a, b) in found[0].as_f32().unwrap().iter().zip(wanted[0].as_f32().unwrap()) {
            assert!((a - b).abs() < 1e-6, "{a} {b}");
        }
        let operands =
            [operands[0].clone(), f(&[5], &|i| 1.0 + i as f32 * 0.2), f(&[5], &|i| i as f32 * 0.1)];
        let op = Onnx::new("LayerNormalization", 17, 3);
        let found = evaluate(&op, &operands).unwrap().unwrap();
        let wanted = occam_interp::evaluate(&op, &operands).unwrap();
        for (a, b) in found[0].as_f32().unwrap().iter().zip(wanted[0].as_f32().unwrap()) {
            assert!((a - b).abs() < 1e-5, "{a} {b}");
        }
        assert!(evaluate(&Onnx::new("Relu", 14, 1), &operands[..1]).unwrap().is_none());
    }

    /// `((i · step) mod 101 − 50) / 16`, which every language computes alike.
    fn pattern(shape: &[usize], step: usize) -> Array {
        let count: usize = shape.iter().product();
        let one = |i: usize| (i * step % 101) as f32 / 16.0 - 3.125;
        Array::from_f32(shape, (0..count).map(one).collect()).unwrap()
    }

    fn bits(op: &Onnx, operands: &[Array]) -> Vec<u32> {
        let y = evaluate(op, operands).unwrap().unwrap();
        y[0].as_f32().unwrap().iter().map(|y| y.to_bits()).collect()
    }

    /// What ONNX Runtime 1.32 gives on a processor with AVX2.
    #[test]
    fn is_what_onnx_runtime_gives_to_the_last_bit() {
        let layer = Onnx::new("LayerNormalization", 17, 3);
        let operands = [pattern(&[2, 16], 37), pattern(&[16], 13), pattern(&[16], 29)];
        let wanted = [
            0x3fcf_3b67,
            0xbf42_1976,
            0xbf87_6d84,
            0x4047_97d7,
            0xc00b_274c,
            0x3f6c_34f6,
            0xbc21_8680,
            0xbff3_f778,
            0xc0ca_979a,
            0x3fca_fb82,
            0x3faa_21ef,
            0xbfb5_7a06,
            0xbeb5_c45e,
            0x4032_3f98,
            0xc0a2_45df,
            0xbf1c_896a,
            0xc0d0_7e5d,
            0x3f9c_ed36,
            0x3e81_f38a,
            0x3faa_8398,
            0xc012_0db0,
            0x3dc9_eb83,
            0xbfbf_c23d,
            0xc084_1530,
            0xc06f_1646,
            0x4059_c1f8,
            0x401e_4441,
            0xc02d_fdf0,
            0xbf1f_a20e,
            0x3fe6_5dfa,
            0xbd1f_7f74,
            0xc03f_2b63,
        ];
        assert_eq!(bits(&layer, &operands), wanted);
        let var = pattern(&[3], 17).as_f32().unwrap().iter().map(|v| v.abs() + 0.25).collect();
        let var = Array::from_f32([3], var).unwrap();
        let batch = Onnx::new("BatchNormalization", 15, 5);
        let operands = [pattern(&[1, 3, 8], 37), pattern(&[3], 13), pattern(&[3], 29), pattern(&[3], 7), var];
        let wanted = [
            0xc048_0000,
            0xc0e1_e05a,
            0xc12f_e05a,
            0xc086_0549,
            0xc101_f2d2,
            0xc140_e2fe,
            0xc0a8_0a92,
            0xc112_f576,
            0xc119_4cc0,
            0xc05f_e73c,
            0xc0e0_7b85,
            0xbf6e_ad10,
            0xc08e_5d8a,
            0xc0fe_e571,
            0xbff0_fe38,
            0xc0ac_c775,
            0xc0b3_e0f8,
            0xbe82_6418,
            0xc056_dc66,
            0xc0ce_b624,
            0xbf8b_edb9,
            0xc086_4360,
            0x3f95_dd5a,
            0xbff7_426a,
        ];
        assert_eq!(bits(&batch, &operands), wanted);
    }
}

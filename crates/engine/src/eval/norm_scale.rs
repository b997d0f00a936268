//! The factor of a batch normalization, on what is before it.

use occam_graph::ops::NormScale;

use super::operands;
use crate::{Result, Tensor};

/// Factors nearer to 0 count as 0.
const LEAST: f32 = 1e-12;

pub(super) fn eval(op: &NormScale, inputs: &[Tensor]) -> Result<Tensor> {
    let [x, weight, var] = operands(inputs)?;
    let factor = factor(weight, var, op.eps)?;
    if op.axis == 1 && x.rank() > 2 {
        let ones = Tensor::full(&factor.shape(), 1.0, &x.device());
        let factor = if op.inverse { ones.div(&factor)? } else { factor };
        return x.channel_affine(&factor, &ones.scale(0.0)?);
    }
    let shape: Vec<usize> = (0..x.rank()).map(|d| if d == op.axis { factor.len() } else { 1 }).collect();
    let factor = factor.reshape(&shape)?;
    if op.inverse { x.div(&factor) } else { x.mul(&factor) }
}

fn factor(weight: &Tensor, var: &Tensor, eps: f64) -> Result<Tensor> {
    let factor = weight.div(&var.shift(eps)?.sqrt()?)?;
    let is_zero: Vec<f32> =
        factor.detach().to_f32()?.into_iter().map(|s| f32::from(u8::from(s.abs() < LEAST))).collect();
    if is_zero.iter().all(|&z| z == 0.0) {
        return Ok(factor);
    }
    let shape = factor.shape();
    let mask = Tensor::from_f32(&shape, is_zero, &factor.device())?;
    Tensor::choose(&mask, &Tensor::full(&shape, 1.0, &factor.device()), &factor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Device;

    /// `s = γ / √(σ² + ε) = (2 / 0.5, 0 / 1)`, on rows and on channels, and the derivative of `Σ x s` by γ.
    #[test]
    fn multiplies_by_the_factor_and_divides_by_it() {
        let device = Device::cpu();
        let of = |shape: &[usize], v: &[f32]| Tensor::from_f32(shape, v.to_vec(), &device).unwrap();
        let gamma = of(&[2], &[2.0, 0.0]).require_grad();
        let var = of(&[2], &[0.15, 0.9]);
        let op = |axis, inverse| NormScale { axis, eps: 0.1, inverse };
        let rows = of(&[2, 1, 1, 2], &[1.0, 2.0, 3.0, 4.0]);
        let y = eval(&op(0, false), &[rows, gamma.clone(), var.clone()]).unwrap();
        for (found, wanted) in y.to_f32().unwrap().iter().zip([4.0, 8.0, 3.0, 4.0f32]) {
            assert!((found - wanted).abs() < 1e-5, "{found} {wanted}");
        }
        let mut gradients = y.sum().unwrap().backward().unwrap();
        let by_gamma = gradients.take(&gamma).unwrap().to_f32().unwrap();
        assert!((by_gamma[0] - 6.0).abs() < 1e-4 && by_gamma[1] == 0.0, "{by_gamma:?}");
        let channels = of(&[1, 2, 1, 2], &[4.0, 8.0, 3.0, 4.0]);
        let y = eval(&op(1, true), &[channels, gamma, var]).unwrap();
        for (found, wanted) in y.to_f32().unwrap().iter().zip([1.0, 2.0, 3.0, 4.0f32]) {
            assert!((found - wanted).abs() < 1e-5, "{found} {wanted}");
        }
    }
}

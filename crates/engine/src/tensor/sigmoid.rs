//! The logarithm of the sigmoid.

use burn::backend::Dispatch;
use burn::backend::ops::ActivationOps;

use super::Tensor;
use crate::Result;

impl Tensor {
    /// `log(1 / (1 + e⁻ˣ))`, exact also where the sigmoid is 0 or 1 but for rounding. Its exponential is the sigmoid, and
    /// that of `−x` one minus the sigmoid.
    ///
    /// # Errors
    /// The elements are no floats.
    pub fn log_sigmoid(&self) -> Result<Tensor> {
        self.need_float("log_sigmoid")?;
        Ok(Tensor::wrap(Dispatch::log_sigmoid(self.inner.clone())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Device;

    #[test]
    fn keeps_its_precision_far_out_and_its_slope_at_zero() {
        let x = Tensor::from_f32(&[5], vec![-200.0, -1.0, 0.0, 1.0, 20.0], &Device::cpu()).unwrap();
        let x = x.require_grad();
        let y = x.log_sigmoid().unwrap();
        let wanted = [-200.0, -1.313_261_7, -std::f32::consts::LN_2, -0.313_261_7, -2.061_153_6e-9];
        let close =
            |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-6 * b.abs() + 1e-8);
        assert!(close(&y.to_f32().unwrap(), &wanted), "{:?}", y.to_f32().unwrap());
        let grad = y.sum().unwrap().backward().unwrap().take(&x).unwrap().to_f32().unwrap();
        assert!(close(&grad, &[1.0, 0.731_058_6, 0.5, 0.268_941_4, 0.0]), "{grad:?}");
    }
}

//! Activations beyond the rectifiers.

use std::f64::consts::FRAC_2_PI;

use burn::backend::Dispatch;
use burn::backend::ops::{ActivationOps, FloatTensorOps};

use super::Tensor;
use crate::Result;

impl Tensor {
    /// `1 / (1 + e⁻ˣ)`
    ///
    /// # Errors
    /// The elements are no floats.
    pub fn sigmoid(&self) -> Result<Tensor> {
        self.need_float("sigmoid")?;
        Ok(Tensor::wrap(Dispatch::sigmoid(self.inner.clone())))
    }

    /// `(eˣ − e⁻ˣ) / (eˣ + e⁻ˣ)`
    ///
    /// # Errors
    /// The elements are no floats.
    pub fn tanh(&self) -> Result<Tensor> {
        self.need_float("tanh")?;
        Ok(Tensor::wrap(Dispatch::float_tanh(self.inner.clone())))
    }

    /// `x` above 0, else `slope · x`; the gradient at 0 is the slope.
    ///
    /// # Errors
    /// The elements are no floats.
    pub fn leaky_relu(&self, slope: f64) -> Result<Tensor> {
        self.scale(slope)?.add(&self.relu()?.scale(1.0 - slope)?)
    }

    /// `x` above 0, else `alpha · (eˣ − 1)`; the gradient at 0 is `alpha`.
    ///
    /// # Errors
    /// The elements are no floats.
    pub fn elu(&self, alpha: f64) -> Result<Tensor> {
        let above = self.relu()?;
        let below = self.sub(&above)?;
        above.add(&below.exp()?.shift(-1.0)?.scale(alpha)?)
    }

    /// `min(max((x + bias) / divisor, low), high)`; the gradient at both bounds is 0.
    ///
    /// # Errors
    /// The elements are no floats.
    pub fn hard_sigmoid(&self, bias: f64, divisor: f64, [low, high]: [f64; 2]) -> Result<Tensor> {
        // In terms of min(max(y, 0), 6), which is one pass.
        let unit = (high - low) / 6.0;
        let inner = self.shift(bias - low * divisor)?.scale(1.0 / (divisor * unit))?;
        let y = inner.relu6()?.scale(unit)?;
        if low == 0.0 { Ok(y) } else { y.shift(low) }
    }

    /// `x · min(max(x + 3, 0), 6) / 6`
    ///
    /// # Errors
    /// The elements are no floats.
    pub fn hard_swish(&self) -> Result<Tensor> {
        self.mul(&self.shift(3.0)?.relu6()?.scale(1.0 / 6.0)?)
    }

    /// `x / (1 + e⁻ˣ)`
    ///
    /// # Errors
    /// The elements are no floats.
    pub fn silu(&self) -> Result<Tensor> {
        self.mul(&self.sigmoid()?)
    }

    /// `x · (1 + erf(x / √2)) / 2`
    ///
    /// # Errors
    /// The elements are no floats.
    pub fn gelu(&self) -> Result<Tensor> {
        self.need_float("gelu")?;
        Ok(Tensor::wrap(Dispatch::gelu(self.inner.clone())))
    }

    /// `x · (1 + tanh(√(2/π) · (x + 0.044715 · x³))) / 2`
    ///
    /// # Errors
    /// The elements are no floats.
    pub fn gelu_tanh(&self) -> Result<Tensor> {
        let cube = self.mul(self)?.mul(self)?;
        let inner = self.add(&cube.scale(0.044_715)?)?.scale(FRAC_2_PI.sqrt())?;
        self.mul(&inner.tanh()?.shift(1.0)?)?.scale(0.5)
    }
}

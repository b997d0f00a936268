//! Functions of one element beyond those of arithmetic, and powers.

use burn::backend::Dispatch;
use burn::backend::ops::FloatTensorOps;

use super::Tensor;
use super::arithmetic::check;
use crate::Result;

/// Declares an operation on one tensor.
macro_rules! functions {
    ($($(#[$doc:meta])* $name:ident => $call:ident;)*) => {
        impl Tensor {$(
            $(#[$doc])*
            ///
            /// # Errors
            /// The elements are no floats.
            pub fn $name(&self) -> Result<Tensor> {
                self.need_float(stringify!($name))?;
                Ok(Tensor::wrap(Dispatch::$call(self.inner.clone())))
            }
        )*}
    };
}

functions! {
    /// `−x`
    neg => float_neg;
    /// `1 / x`
    recip => float_recip;
    /// Error function.
    erf => float_erf;
    /// Sine.
    sin => float_sin;
    /// Cosine.
    cos => float_cos;
    /// Tangent.
    tan => float_tan;
    /// Hyperbolic sine.
    sinh => float_sinh;
    /// Hyperbolic cosine.
    cosh => float_cosh;
    /// Inverse of the sine.
    asin => float_asin;
    /// Inverse of the cosine.
    acos => float_acos;
    /// Inverse of the tangent.
    atan => float_atan;
    /// Inverse of the hyperbolic sine.
    asinh => float_asinh;
    /// Inverse of the hyperbolic cosine.
    acosh => float_acosh;
    /// Inverse of the hyperbolic tangent.
    atanh => float_atanh;
}

impl Tensor {
    /// `x` to the power of `exponent`.
    ///
    /// # Errors
    /// The elements are no floats.
    pub fn powf(&self, exponent: f64) -> Result<Tensor> {
        self.need_float("powf")?;
        if exponent == 2.0 {
            return self.mul(self);
        }
        Ok(Tensor::wrap(Dispatch::float_powf_scalar(self.inner.clone(), exponent.into())))
    }

    /// Element by element `self` to the power of `other`. Axes of size 1 are broadcast; ranks must agree.
    ///
    /// # Errors
    /// The two do not broadcast, or are no floats of one type.
    pub fn pow(&self, other: &Tensor) -> Result<Tensor> {
        check("pow", self, other)?;
        Ok(Tensor::wrap(Dispatch::float_powf(self.inner.clone(), other.inner.clone())))
    }

    /// Running sums along `axis`.
    ///
    /// # Errors
    /// There is no such axis, or the elements are no floats.
    pub fn cumsum(&self, axis: usize) -> Result<Tensor> {
        self.need_float("cumsum")?;
        self.need_axis("cumsum", axis)?;
        Ok(Tensor::wrap(Dispatch::float_cumsum(self.inner.clone(), axis)))
    }
}

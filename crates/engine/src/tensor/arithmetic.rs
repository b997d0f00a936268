//! Element by element.

use burn::backend::Dispatch;
use burn::backend::ops::FloatTensorOps;

use super::Tensor;
use crate::Result;
use crate::error::refuse;
use crate::kernels::{Activation, TrainKernels};

/// Refuses operands that are no floats of one type, or do not broadcast.
pub(super) fn check(op: &'static str, a: &Tensor, b: &Tensor) -> Result<()> {
    a.need_float(op)?;
    b.need_float(op)?;
    let fits = a.rank() == b.rank()
        && a.inner_type() == b.inner_type()
        && a.shape().iter().zip(b.shape()).all(|(&a, b)| a == b || a == 1 || b == 1);
    if fits { Ok(()) } else { refuse(op, format!("{a:?} and {b:?} do not fit")) }
}

/// Declares an operation on two tensors.
macro_rules! binary {
    ($($(#[$doc:meta])* $name:ident => $call:ident;)*) => {
        impl Tensor {$(
            $(#[$doc])*
            /// Axes of size 1 are broadcast; ranks must agree.
            ///
            /// # Errors
            /// The two do not broadcast, or are no floats of one type.
            pub fn $name(&self, other: &Tensor) -> Result<Tensor> {
                check(stringify!($name), self, other)?;
                Ok(Tensor::wrap(Dispatch::$call(self.inner.clone(), other.inner.clone())))
            }
        )*}
    };
}

binary! {
    /// `self + other`
    add => float_add;
    /// `self − other`
    sub => float_sub;
    /// `self · other`
    mul => float_mul;
    /// `self / other`
    div => float_div;
}

/// Declares an operation on one tensor.
macro_rules! unary {
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

unary! {
    /// `eˣ`
    exp => float_exp;
    /// Natural logarithm.
    log => float_log;
    /// Square root.
    sqrt => float_sqrt;
    /// Absolute value.
    abs => float_abs;
}

impl Tensor {
    pub(crate) fn inner_type(&self) -> burn::backend::DType {
        burn::backend::TensorMetadata::dtype(&self.inner)
    }

    /// `self · factor`
    ///
    /// # Errors
    /// The elements are no floats.
    pub fn scale(&self, factor: f64) -> Result<Tensor> {
        self.need_float("scale")?;
        Ok(Tensor::wrap(Dispatch::float_mul_scalar(self.inner.clone(), factor.into())))
    }

    /// `self + offset`
    ///
    /// # Errors
    /// The elements are no floats.
    pub fn shift(&self, offset: f64) -> Result<Tensor> {
        self.need_float("shift")?;
        Ok(Tensor::wrap(Dispatch::float_add_scalar(self.inner.clone(), offset.into())))
    }

    /// `max(x, 0)`; the gradient at 0 is 0.
    ///
    /// # Errors
    /// The elements are no floats.
    pub fn relu(&self) -> Result<Tensor> {
        self.clone().activate(Activation::Relu)
    }

    /// `min(max(x, 0), 6)`; the gradient at 0 and at 6 is 0.
    ///
    /// # Errors
    /// The elements are no floats.
    pub fn relu6(&self) -> Result<Tensor> {
        self.clone().activate(Activation::Relu6)
    }

    /// The activation, in the tensor's place where nobody else has it.
    pub(crate) fn activate(self, activation: Activation) -> Result<Tensor> {
        self.need_float("activation")?;
        Ok(Tensor::wrap(Dispatch::occam_activate(self.inner, activation)))
    }

    /// `act(self + other)`, in the place of one of them where nobody else has it.
    pub(crate) fn add_activate(self, other: Tensor, activation: Activation) -> Result<Tensor> {
        check("add", &self, &other)?;
        if self.shape() != other.shape() {
            return self.add(&other)?.activate(activation);
        }
        Ok(Tensor::wrap(Dispatch::occam_add(self.inner, other.inner, activation)))
    }

    /// Every element kept in `[low, high]`.
    ///
    /// # Errors
    /// The elements are no floats.
    pub fn clamp(&self, low: f64, high: f64) -> Result<Tensor> {
        self.need_float("clamp")?;
        Ok(Tensor::wrap(Dispatch::float_clamp(self.inner.clone(), low.into(), high.into())))
    }

    /// Element by element the larger of the two.
    ///
    /// # Errors
    /// The two do not broadcast, or are no floats of one type.
    pub fn maximum(&self, other: &Tensor) -> Result<Tensor> {
        // max(a, b) = b + relu(a − b)
        self.sub(other)?.relu()?.add(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Device;

    #[test]
    fn relu6_learns_strictly_inside() {
        let x = [-2.0, 0.0, 1e-7, 3.0, 5.5, 6.0, 9.0];
        let x = Tensor::from_f32(&[7], x.to_vec(), &Device::cpu()).unwrap().require_grad();
        let y = x.relu6().unwrap();
        assert_eq!(y.to_f32().unwrap(), [0.0, 0.0, 1e-7, 3.0, 5.5, 6.0, 6.0]);
        let mut grads = y.sum().unwrap().backward().unwrap();
        assert_eq!(grads.take(&x).unwrap().to_f32().unwrap(), [0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0]);
        let bad = Tensor::from_f32(&[1], vec![f32::NAN], &Device::cpu()).unwrap();
        assert!(bad.relu6().unwrap().item().unwrap().is_nan());
    }
}

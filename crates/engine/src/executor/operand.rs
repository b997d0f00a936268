//! Operands of operators that compute with more than floats.

use std::fmt;

use occam_graph::{Array, DType};

use crate::{Device, Result, Tensor};

/// A value of a run: a tensor, or elements in host memory.
///
/// Tensors are for what is computed much with: `f32` and `f64`. Integers, which are mostly shapes and places, and all
/// other element types are arrays.
#[derive(Clone)]
pub enum Operand {
    /// Floats on a device; integers where the caller gave a tensor of them.
    Tensor(Tensor),
    /// Elements of any type in host memory.
    Array(Array),
}

/// Whether elements of this type are computed on a device.
pub(crate) fn held(dtype: DType) -> bool {
    matches!(dtype, DType::F32 | DType::F64)
}

impl Operand {
    /// A tensor on `device` where the elements are `f32` or `f64`, else the array itself.
    ///
    /// # Errors
    /// The device failed.
    pub fn of(array: Array, device: &Device) -> Result<Self> {
        Ok(if held(array.dtype()) {
            Self::Tensor(Tensor::from_array(&array, device)?)
        } else {
            Self::Array(array)
        })
    }

    /// Sizes, outermost first.
    pub fn shape(&self) -> Vec<usize> {
        match self {
            Self::Tensor(t) => t.shape(),
            Self::Array(a) => a.shape().to_vec(),
        }
    }

    /// Element type.
    ///
    /// # Errors
    /// It is one that the project does not know.
    pub fn dtype(&self) -> Result<DType> {
        match self {
            Self::Tensor(t) => t.dtype(),
            Self::Array(a) => Ok(a.dtype()),
        }
    }

    /// The elements in host memory.
    ///
    /// # Errors
    /// The device failed.
    pub fn to_array(&self) -> Result<Array> {
        match self {
            Self::Tensor(t) => t.to_array(),
            Self::Array(a) => Ok(a.clone()),
        }
    }

    /// The elements on `device`.
    ///
    /// # Errors
    /// They are neither `f32`, `f64`, `i32` nor `i64`.
    pub fn to_tensor(&self, device: &Device) -> Result<Tensor> {
        match self {
            Self::Tensor(t) => Ok(t.clone()),
            Self::Array(a) => Tensor::from_array(a, device),
        }
    }

    /// Whether a backward pass leads through it.
    pub fn is_tracked(&self) -> bool {
        matches!(self, Self::Tensor(t) if t.is_tracked())
    }
}

impl fmt::Debug for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tensor(t) => t.fmt(f),
            Self::Array(a) => a.fmt(f),
        }
    }
}

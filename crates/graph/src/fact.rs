//! What is known of a value before it is computed.

use std::fmt;

use crate::{Bindings, DType, Dim, Error, Result};

/// Element type and shape of a value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Fact {
    /// Element type.
    pub dtype: DType,
    /// Sizes, outermost first.
    pub shape: Vec<Dim>,
}

impl Fact {
    /// A fact of `dtype` and `shape`.
    pub fn new(dtype: DType, shape: impl IntoIterator<Item = impl Into<Dim>>) -> Self {
        Self { dtype, shape: shape.into_iter().map(Into::into).collect() }
    }

    /// An `f32` value of `shape`.
    pub fn f32(shape: impl IntoIterator<Item = impl Into<Dim>>) -> Self {
        Self::new(DType::F32, shape)
    }

    /// Number of axes.
    pub fn rank(&self) -> usize {
        self.shape.len()
    }

    /// The shape, where every size is known.
    pub fn known_shape(&self) -> Option<Vec<usize>> {
        self.shape.iter().map(Dim::known).collect()
    }

    /// The shape under `bindings`.
    ///
    /// # Errors
    /// A symbol is not bound.
    pub fn eval_shape(&self, bindings: &Bindings) -> Result<Vec<usize>> {
        self.shape.iter().map(|d| d.eval(bindings)).collect()
    }

    /// Number of elements under `bindings`.
    ///
    /// # Errors
    /// A symbol is not bound, or there are more elements than can be counted.
    pub fn numel(&self, bindings: &Bindings) -> Result<u64> {
        self.eval_shape(bindings)?
            .iter()
            .try_fold(1u64, |n, &d| n.checked_mul(d as u64))
            .ok_or_else(|| Error::Dim(format!("{self} has too many elements")))
    }

    /// Whether values of the two facts can be the same value: types are equal and no known sizes differ.
    pub fn compatible(&self, other: &Fact) -> bool {
        self.dtype == other.dtype
            && self.rank() == other.rank()
            && self.shape.iter().zip(&other.shape).all(|(a, b)| a.may_equal(b))
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[", self.dtype)?;
        for (i, d) in self.shape.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{d}")?;
        }
        f.write_str("]")
    }
}

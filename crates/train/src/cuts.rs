//! What parameters lose where a model becomes narrower while it is trained.

use indexmap::IndexMap;
use occam_engine::Tensor;

use crate::{Error, Result};

/// By full parameter name the axes that lose elements, with the indices of those that stay.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cuts {
    of: IndexMap<String, Vec<(usize, Vec<usize>)>>,
}

impl Cuts {
    /// Adds what stays of a parameter on one axis.
    pub fn add(&mut self, name: &str, axis: usize, stay: Vec<usize>) {
        self.of.entry(name.to_owned()).or_default().push((axis, stay));
    }

    /// Adds what is lost after these.
    pub fn extend(&mut self, later: Self) {
        for (name, axes) in later.of {
            self.of.entry(name).or_default().extend(axes);
        }
    }

    /// Whether nothing is lost.
    pub fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    /// What is left of `tensor`, which has the shape that the parameter `name` had.
    ///
    /// # Errors
    /// It has another shape.
    pub fn apply(&self, name: &str, tensor: &Tensor) -> Result<Tensor> {
        let mut left = tensor.clone();
        for (axis, stay) in self.of.get(name).into_iter().flatten() {
            let size = left.shape().get(*axis).copied().unwrap_or(0);
            if stay.iter().any(|&i| i >= size) {
                let shape = tensor.shape();
                return Err(Error::Other(format!("a tensor of shape {shape:?} cannot follow `{name}`")));
            }
            left = left.select(*axis, stay)?;
        }
        Ok(left.detach())
    }
}

//! What parameters lose where a model becomes narrower or sparser while it is trained.

use indexmap::IndexMap;
use occam_engine::Tensor;

use crate::{Error, Result};

/// By full parameter name the axes that lose elements, with the indices of those that stay; and the elements that are 0 from
/// now on.
#[derive(Debug, Clone, Default)]
pub struct Cuts {
    of: IndexMap<String, Vec<(usize, Vec<usize>)>>,
    masks: IndexMap<String, Tensor>,
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
        self.masks.extend(later.masks);
    }

    /// Makes the elements of a parameter 0 where `mask`, of its shape once axes are cut, is 0.
    pub fn mask(&mut self, name: &str, mask: Tensor) {
        self.masks.insert(name.to_owned(), mask);
    }

    /// Whether nothing is lost.
    pub fn is_empty(&self) -> bool {
        self.of.is_empty() && self.masks.is_empty()
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
                return Err(cannot_follow(name, tensor));
            }
            left = left.select(*axis, stay)?;
        }
        if let Some(mask) = self.masks.get(name) {
            if mask.shape() != left.shape() {
                return Err(cannot_follow(name, tensor));
            }
            let zeros = Tensor::full(&vec![1; left.rank()], 0.0, &left.device());
            left = Tensor::choose(mask, &left, &zeros)?;
        }
        Ok(left.detach())
    }
}

fn cannot_follow(name: &str, tensor: &Tensor) -> Error {
    Error::Other(format!("a tensor of shape {:?} cannot follow `{name}`", tensor.shape()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use occam_engine::Device;

    #[test]
    fn what_is_cut_and_masked_is_gone() {
        let device = Device::cpu();
        let tensor = Tensor::from_f32(&[2, 3], vec![1.0, 2.0, 3.0, -4.0, -5.0, -6.0], &device).unwrap();
        let mut cuts = Cuts::default();
        cuts.add("w", 1, vec![0, 2]);
        cuts.mask("w", Tensor::from_f32(&[2, 2], vec![1.0, 0.0, 0.0, 1.0], &device).unwrap());
        assert_eq!(cuts.apply("w", &tensor).unwrap().to_f32().unwrap(), [1.0, 0.0, 0.0, -6.0]);
        assert_eq!(cuts.apply("other", &tensor).unwrap().to_f32().unwrap().len(), 6);
        let small = Tensor::full(&[2, 2], 1.0, &device);
        assert!(cuts.apply("w", &small).is_err());
    }
}

//! Gradients of several runs of one step.

use indexmap::IndexMap;
use occam_engine::Tensor;
use occam_train::{GradientMap, Result};

/// The average of the gradients of several losses, one after another, so that the tape of only one is held.
pub(super) struct Average {
    runs: usize,
    sum: GradientMap,
}

impl Average {
    /// Of `runs` losses.
    pub fn over(runs: usize) -> Self {
        Self { runs: runs.max(1), sum: GradientMap::new() }
    }

    /// What is differentiated of one of the losses.
    pub fn share(&self, loss: &Tensor) -> Result<Tensor> {
        Ok(loss.scale(1.0 / self.runs as f64)?)
    }

    /// Adds gradients of a share, by the names of parameters behind `prefix`.
    pub fn add(&mut self, prefix: &str, gradients: IndexMap<String, Tensor>) -> Result<()> {
        for (name, gradient) in gradients {
            match self.sum.get_mut(&format!("{prefix}{name}")) {
                Some(sum) => *sum = sum.add(&gradient)?,
                None => _ = self.sum.insert(format!("{prefix}{name}"), gradient),
            }
        }
        Ok(())
    }

    /// The average, by full names.
    pub fn into_gradients(self) -> GradientMap {
        self.sum
    }
}

//! How losses of single samples become one.

use occam_engine::Tensor;
use serde::Deserialize;

use crate::Result;
use crate::error::refuse;

/// How the losses of single samples, or of their classes, become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reduction {
    /// They do not.
    None,
    /// Their mean.
    #[default]
    Mean,
    /// Their sum.
    Sum,
}

impl Reduction {
    /// `loss_weight` times the reduced `loss`. A mean divides by `avg_factor`, or else by the number of elements.
    ///
    /// # Errors
    /// A sum has an `avg_factor`.
    pub fn apply(self, loss: &Tensor, avg_factor: Option<f64>, loss_weight: f64) -> Result<Tensor> {
        let reduced = match (self, avg_factor) {
            (Self::None, _) => loss.clone(),
            (Self::Sum, None) => loss.sum()?,
            (Self::Sum, Some(_)) => return refuse("`avg_factor` has no meaning for a sum"),
            (Self::Mean, factor) => loss.sum()?.scale(1.0 / factor.unwrap_or(loss.len().max(1) as f64))?,
        };
        Ok(reduced.scale(loss_weight)?)
    }
}

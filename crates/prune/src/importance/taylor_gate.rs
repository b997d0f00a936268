//! First-order change of the loss by factors on channels (Molchanov et al., 2019, arXiv:1906.10771).

use super::{Record, Scores, Subject};
use crate::Result;

pub(super) const ABOUT: &str =
    "needs --data: square of the gradient of a factor on the channel wherever layers read it, by batch";

/// `(Σ_images ∂L/∂g)²` of a factor `g = 1` on the channel wherever a layer reads it, with `L` the mean loss of a batch.
pub(super) fn score(subject: &Subject<'_>, record: &Record) -> Result<Scores> {
    record.of_gates(subject, "taylor-gate", |images| images.iter().sum::<f64>().powi(2))
}

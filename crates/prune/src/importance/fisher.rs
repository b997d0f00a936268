//! Fisher information of factors on channels (Theis et al., 2018, arXiv:1801.05787; Liu et al., Group Fisher Pruning, 2021,
//! arXiv:2108.00708).

use super::{Record, Scores, Subject};
use crate::Result;

pub(super) const ABOUT: &str = "needs --data: mean square over images of the gradient of a factor on the channel wherever layers read it";

/// `E[(∂L/∂g)²]` over images, of a factor `g = 1` on the channel wherever a layer reads it, with `L` the loss of one image.
///
/// What `GroupFisherAlgorithm` sums is the same but for constant factors, before it is divided by what a channel costs.
pub(super) fn score(subject: &Subject<'_>, record: &Record) -> Result<Scores> {
    // Of the mean loss of a batch, an image's part has 1/n of the gradient of its own loss.
    let n = record.images.max(1) as f64;
    record.of_gates(subject, "fisher", |images| images.iter().map(|x| (x * n).powi(2)).sum::<f64>() / n)
}

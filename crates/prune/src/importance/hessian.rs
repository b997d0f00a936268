//! Second-order change of the loss (LeCun et al., Optimal Brain Damage, 1989), with Fisher's diagonal for the Hessian's.

use super::axes::{Norm, scored};
use super::{Record, Scores, Subject};
use crate::Result;

pub(super) const ABOUT: &str = "needs --data: mean over all layers that compute, scale or read a channel of the sum of w² · E[(∂L/∂w)²] over images";

/// `mean over layers of Σ w² · E[(∂L/∂w)²]` of the channel's weights, those that read it included, with the expectation over
/// single images: the diagonal of the empirical Fisher information stands for the Hessian's, half of which is how much the
/// loss grows where a weight of a trained model becomes 0. Torch-Pruning's `GroupHessianImportance`, which keeps the last image
/// alone by mistake.
pub(super) fn score(subject: &Subject<'_>, record: &Record) -> Result<Scores> {
    let products = record.products(subject)?;
    let subject = Subject { weights: &products, ..*subject };
    scored(&subject, ("hessian", "weights"), Norm::Square, |_, _| true, false)
}

//! First-order change of the loss, weight by weight (Molchanov et al., 2019, arXiv:1906.10771).

use super::axes::{Norm, scored};
use super::{Record, Scores, Subject};
use crate::Result;

pub(super) const ABOUT: &str =
    "needs --data: mean over all layers that compute, scale or read a channel of the sum of |w · ∂L/∂w|";

/// `mean over layers of Σ |w · ∂L/∂w|` of the channel's weights, those that read it included: how much the loss would change,
/// to first order, were each of them 0. Torch-Pruning's `GroupTaylorImportance`, which leaves out normalizations by mistake.
pub(super) fn score(subject: &Subject<'_>, record: &Record) -> Result<Scores> {
    let products = record.products(subject)?;
    let subject = Subject { weights: &products, ..*subject };
    scored(&subject, ("taylor", "weights"), Norm::Abs, |_, _| true, false)
}

//! First-order change of the loss, for all weights of a channel together (Molchanov et al., 2019, arXiv:1906.10771).

use super::axes::{Norm, summed};
use super::{Record, Scores, Subject};
use crate::Result;

pub(super) const ABOUT: &str =
    "needs --data: square of the sum of w · ∂L/∂w over all weights that compute, scale or read a channel";

/// `(Σ w · ∂L/∂w)²` over all weights of the channel, those that read it included: the square of how much the loss would
/// change, to first order, were they all 0. Terms of different sign cancel, as they do in the loss.
pub(super) fn score(subject: &Subject<'_>, record: &Record) -> Result<Scores> {
    let products = record.products(subject)?;
    let subject = Subject { weights: &products, ..*subject };
    let all = summed(&subject, ("taylor-group", "weights"), Norm::Sum, |_, _| true, false)?;
    Ok(all.into_iter().map(|(sums, _)| sums.into_iter().map(|s| s * s).collect()).collect())
}

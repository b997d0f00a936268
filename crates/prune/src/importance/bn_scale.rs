//! Scales of batch normalization (Liu et al., network slimming, 2017, arXiv:1708.06519).

use super::axes::{Norm, Part, scored};
use super::{Scores, Subject};
use crate::Result;

pub(super) const ABOUT: &str = "mean of |γ| over the normalizations of a channel";

/// `mean over normalizations of |γ|`.
pub(super) fn score(subject: &Subject<'_>) -> Result<Scores> {
    let needs = ("bn-scale", "scales of normalizations (they were folded into the weights: use group-l2)");
    scored(subject, needs, Norm::Abs, |part, _| part == Part::Scale, true)
}

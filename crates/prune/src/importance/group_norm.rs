//! Norms over everything that a channel touches (Fang et al., DepGraph, 2023, arXiv:2301.12900).

use super::axes::{Norm, scored};
use super::{Scores, Subject};
use crate::Result;

pub(super) const ABOUT_L1: &str =
    "mean over all layers that compute, scale or read a channel of the sum of |w|";
pub(super) const ABOUT_L2: &str =
    "mean over all layers that compute, scale or read a channel of the sum of w²";

/// `mean over layers of Σ |w|` of the channel's weights, those that read it included.
pub(super) fn l1(subject: &Subject<'_>) -> Result<Scores> {
    scored(subject, ("group-l1", "weights"), Norm::Abs, |_, _| true, false)
}

/// `mean over layers of Σ w²` of the channel's weights, those that read it included.
pub(super) fn l2(subject: &Subject<'_>) -> Result<Scores> {
    scored(subject, ("group-l2", "weights"), Norm::Square, |_, _| true, false)
}

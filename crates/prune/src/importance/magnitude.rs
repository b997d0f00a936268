//! Norms of the filters that compute a channel (Li et al., Pruning Filters for Efficient ConvNets, 2017, arXiv:1608.08710).

use super::axes::{Norm, Part, scored};
use super::{Scores, Subject};
use crate::Result;

pub(super) const ABOUT_L1: &str = "mean of |w| over the filters that compute a channel";
pub(super) const ABOUT_L2: &str = "mean of w² over the filters that compute a channel";

fn computes(part: Part, axis: usize) -> bool {
    matches!(part, Part::Weight { output } if output == axis)
}

/// `mean over layers of mean |w|` over the filters that compute the channel: MMRazor's `L1MutableChannelUnit`.
pub(super) fn l1(subject: &Subject<'_>) -> Result<Scores> {
    scored(subject, ("l1", "filters that compute a channel"), Norm::Abs, computes, true)
}

/// `mean over layers of mean w²` over the filters that compute the channel.
pub(super) fn l2(subject: &Subject<'_>) -> Result<Scores> {
    scored(subject, ("l2", "filters that compute a channel"), Norm::Square, computes, true)
}

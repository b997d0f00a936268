//! How large the values of a channel are.

use super::{Record, Scores, Subject};
use crate::Result;

pub(super) const ABOUT: &str = "needs --data: mean of |x| over what layers read of a channel";

/// `mean |x|` over images and positions of what layers read of the channel; where several values are read, the mean of
/// theirs. No labels are needed, and no gradients.
pub(super) fn score(subject: &Subject<'_>, record: &Record) -> Result<Scores> {
    record.of_values(subject, "activation")
}

//! The channels with the largest filters stay (Li et al., Pruning Filters for Efficient ConvNets, 2017, arXiv:1608.08710).

use occam_config::{Error, Registry, Value};

use super::{ChannelUnit, UnitArgs};
use crate::importance::Subject;
use crate::{Importance, Result, Scores};

/// `L1MutableChannelUnit`: a narrower unit keeps the channels with the largest mean of `|w|` over the filters that compute
/// them; where several layers compute the unit, the mean of theirs. Arguments: [`UnitArgs`].
///
/// The filters of transposed convolutions are those along their output axis; the original takes the input axis.
pub struct L1MutableChannelUnit {
    args: UnitArgs,
}

pub(super) fn build(value: &Value, _: &Registry) -> Result<Box<dyn ChannelUnit>, Error> {
    Ok(Box::new(L1MutableChannelUnit { args: UnitArgs::from_config(value)? }))
}

impl ChannelUnit for L1MutableChannelUnit {
    fn name(&self) -> &'static str {
        "L1MutableChannelUnit"
    }

    fn args(&self) -> &UnitArgs {
        &self.args
    }

    fn scores(&self, subject: &Subject<'_>) -> Result<Option<Scores>> {
        Importance::find("l1").map(|l1| l1.score(subject)).transpose()
    }
}

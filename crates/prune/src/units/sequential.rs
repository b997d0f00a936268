//! The first channels stay.

use occam_config::{Error, Registry, Value};

use super::{ChannelUnit, UnitArgs};
use crate::importance::Subject;
use crate::{Result, Scores};

/// `SequentialMutableChannelUnit`: a narrower unit keeps its first channels. Arguments: [`UnitArgs`].
pub struct SequentialMutableChannelUnit {
    args: UnitArgs,
}

pub(super) fn build(value: &Value, _: &Registry) -> Result<Box<dyn ChannelUnit>, Error> {
    Ok(Box::new(SequentialMutableChannelUnit { args: UnitArgs::from_config(value)? }))
}

impl ChannelUnit for SequentialMutableChannelUnit {
    fn name(&self) -> &'static str {
        "SequentialMutableChannelUnit"
    }

    fn args(&self) -> &UnitArgs {
        &self.args
    }

    fn scores(&self, _: &Subject<'_>) -> Result<Option<Scores>> {
        Ok(None)
    }
}

//! Widths are learned (Guo et al., 2020, arXiv:2005.03354).

use occam_config::{Error, Registry, Value};

use super::{ChannelUnit, UnitArgs};
use crate::importance::Subject;
use crate::{Result, Scores};

/// `DMCPChannelUnit`: a narrower unit keeps its first channels; how many is what [`Dmcp`](crate::algorithms::Dmcp) learns.
/// Arguments: [`UnitArgs`], with `min_ratio=0.5` as default.
pub struct DmcpChannelUnit {
    args: UnitArgs,
}

pub(super) fn build(value: &Value, _: &Registry) -> Result<Box<dyn ChannelUnit>, Error> {
    let mut own = value.clone();
    if let Some(dict) = own.as_dict_mut()
        && !dict.contains("min_ratio")
    {
        dict.insert("min_ratio", Value::from(0.5));
    }
    Ok(Box::new(DmcpChannelUnit { args: UnitArgs::from_config(&own)? }))
}

impl ChannelUnit for DmcpChannelUnit {
    fn name(&self) -> &'static str {
        "DMCPChannelUnit"
    }

    fn args(&self) -> &UnitArgs {
        &self.args
    }

    fn scores(&self, _: &Subject<'_>) -> Result<Option<Scores>> {
        Ok(None)
    }
}

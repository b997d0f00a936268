//! Filters are fused (Lin et al., 2021, arXiv:2107.06916).

use occam_config::{Error, Registry, Value};
use serde::Deserialize;

use super::{ChannelUnit, UnitArgs};
use crate::importance::Subject;
use crate::{Result, Scores};

/// `DCFFChannelUnit`: of the layers that compute a narrower unit, filters are sums of all their filters (see
/// [`Dcff`](crate::algorithms::Dcff)); of everything else the first channels stay. Arguments: [`UnitArgs`], with `choice_mode='ratio'`
/// as default, and `candidate_choices`, which is accepted without effect: a unit has the width that the algorithm gives it.
pub struct DcffChannelUnit {
    args: UnitArgs,
}

#[derive(Deserialize)]
struct Candidates {
    #[serde(default, rename = "candidate_choices")]
    _candidate_choices: Option<Vec<f64>>,
}

pub(super) fn build(value: &Value, _: &Registry) -> Result<Box<dyn ChannelUnit>, Error> {
    let _: Candidates = value.parse()?;
    let mut own = value.clone();
    if let Some(dict) = own.as_dict_mut() {
        dict.remove("candidate_choices");
        if !dict.contains("choice_mode") {
            dict.insert("choice_mode", Value::from("ratio"));
        }
    }
    Ok(Box::new(DcffChannelUnit { args: UnitArgs::from_config(&own)? }))
}

impl ChannelUnit for DcffChannelUnit {
    fn name(&self) -> &'static str {
        "DCFFChannelUnit"
    }

    fn args(&self) -> &UnitArgs {
        &self.args
    }

    fn scores(&self, _: &Subject<'_>) -> Result<Option<Scores>> {
        Ok(None)
    }
}

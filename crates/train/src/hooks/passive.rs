//! Hooks of the original that have nothing to do here.
//!
//! Steps are timed and logged by the runner and the logger, and the order of samples follows from seed and epoch
//! alone, so `IterTimerHook`, `RuntimeInfoHook` and `DistSamplerSeedHook` are accepted and do nothing.

use occam_config::{Error, Registry, Value};
use serde::Deserialize;

use super::Hook;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Passive {}

impl Hook for Passive {}

pub(super) fn build(value: &Value, _: &Registry) -> Result<Box<dyn Hook>, Error> {
    let hook: Passive = value.parse()?;
    Ok(Box::new(hook))
}

/// `VisualizationHook` draws validation images; it is accepted switched off, its default.
pub(super) fn build_visualization(value: &Value, _: &Registry) -> Result<Box<dyn Hook>, Error> {
    if value.get("enable").and_then(Value::as_bool) == Some(true) {
        return Err(Error::new("VisualizationHook: drawing images is not supported; set `enable=False`"));
    }
    Ok(Box::new(Passive {}))
}

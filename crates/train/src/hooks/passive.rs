//! Hooks of the original that have nothing to do here.
//!
//! | hook | why |
//! |---|---|
//! | `IterTimerHook`, `RuntimeInfoHook` | the runner and `LoggerHook` time and tell every step |
//! | `DistSamplerSeedHook` | the order of samples follows from seed and epoch alone |
//! | `SyncBuffersHook` | there is one process, hence nothing to average |
//! | `EmptyCacheHook` | memory goes back when it is let go |
//! | `VisualizationHook`, `NaiveVisualizationHook` | nothing is drawn; accepted only where the config switches it off, the first's default |

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

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
#[derive(Default)]
struct EmptyCache {
    #[serde(rename = "before_epoch")]
    _before_epoch: bool,
    #[serde(rename = "after_epoch")]
    _after_epoch: bool,
    #[serde(rename = "after_iter")]
    _after_iter: bool,
}

impl Hook for EmptyCache {}

pub(super) fn build_empty_cache(value: &Value, _: &Registry) -> Result<Box<dyn Hook>, Error> {
    let hook: EmptyCache = value.parse()?;
    Ok(Box::new(hook))
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
#[derive(Default)]
struct Visualization {
    enable: bool,
    #[serde(rename = "interval")]
    _interval: Option<u64>,
    #[serde(rename = "show")]
    _show: bool,
    #[serde(rename = "out_dir")]
    _out_dir: Option<String>,
    #[serde(rename = "rescale_factor")]
    _rescale_factor: Option<f64>,
}

impl Hook for Visualization {}

pub(super) fn build_visualization(value: &Value, _: &Registry) -> Result<Box<dyn Hook>, Error> {
    let hook: Visualization = value.parse()?;
    if hook.enable {
        let error = Error::new("VisualizationHook: drawing images is not supported; set `enable=False`");
        return Err(error.at(value.get("enable").unwrap_or(value)));
    }
    Ok(Box::new(hook))
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct NaiveVisualization {
    #[serde(rename = "interval")]
    _interval: u64,
    draw_gt: bool,
    draw_pred: bool,
}

impl Default for NaiveVisualization {
    fn default() -> Self {
        Self { _interval: 1, draw_gt: true, draw_pred: true }
    }
}

impl Hook for NaiveVisualization {}

pub(super) fn build_naive_visualization(value: &Value, _: &Registry) -> Result<Box<dyn Hook>, Error> {
    let hook: NaiveVisualization = value.parse()?;
    if hook.draw_gt || hook.draw_pred {
        let message = "NaiveVisualizationHook: drawing images is not supported; remove the hook";
        return Err(Error::new(message).at(value));
    }
    Ok(Box::new(hook))
}

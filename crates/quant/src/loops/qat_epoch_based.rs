//! Quantization-aware training, epoch by epoch.

use occam_config::{Error as ConfigError, Registry, Value};
use occam_engine::schedule::Length;
use occam_train::loops::TrainLoop;
use occam_train::{Result, Runner};

use super::quantized_mut;
use crate::algorithms::Phases;

/// `EpochBasedTrainLoop` that says when a model that rounds changes its manner.
///
/// | key | default | |
/// |---|---|---|
/// | `disable_observer_begin` | -1 | the epoch, from 1, from which on grids stay as they are; -1: never. `QATEpochBasedLoop` alone |
/// | `freeze_bn_begin` | -1 | the epoch from which on batch normalizations keep their statistics and normalize by them; -1: never |
/// | `max_epochs`, `val_begin`, `val_interval`, `dynamic_intervals` | | as in `EpochBasedTrainLoop` |
///
/// In `QATEpochBasedLoop` all grids follow their observers in every step. In `LSQEpochBasedLoop` the first step of the training
/// sets the grids of `LearnableFakeQuantize`, which learn from then on; a training that goes on from a checkpoint does not set
/// them again, as the original's does.
pub struct QATEpochBasedLoop {
    name: &'static str,
    inner: Box<dyn TrainLoop>,
    phases: Phases,
}

/// Takes the epoch of a key out of `value`; none for -1.
fn epoch(value: &mut Value, key: &str) -> Result<Option<u64>, ConfigError> {
    let Some(found) = value.as_dict_mut().and_then(|d| d.remove(key)) else { return Ok(None) };
    match found.as_i64() {
        Some(n) if n > 0 => Ok(u64::try_from(n).ok()),
        Some(_) => Ok(None),
        None => Err(ConfigError::new(format!("`{key}` must be an int")).at(&found)),
    }
}

fn built(
    name: &'static str,
    value: &Value,
    registry: &Registry,
    observers: bool,
) -> Result<Box<dyn TrainLoop>, ConfigError> {
    let mut own = value.clone();
    let disable_observer_begin = if observers { epoch(&mut own, "disable_observer_begin")? } else { None };
    let freeze_bn_begin = epoch(&mut own, "freeze_bn_begin")?;
    if let Some(dict) = own.as_dict_mut() {
        dict.insert("type", Value::from("EpochBasedTrainLoop"));
    }
    let inner = registry.build::<dyn TrainLoop>(&own).map_err(|e| e.at(value))?;
    let phases = Phases { disable_observer_begin, freeze_bn_begin, learned_grids: !observers };
    Ok(Box::new(QATEpochBasedLoop { name, inner, phases }))
}

pub(super) fn build(value: &Value, registry: &Registry) -> Result<Box<dyn TrainLoop>, ConfigError> {
    built("QATEpochBasedLoop", value, registry, true)
}

pub(super) fn build_lsq(value: &Value, registry: &Registry) -> Result<Box<dyn TrainLoop>, ConfigError> {
    built("LSQEpochBasedLoop", value, registry, false)
}

impl TrainLoop for QATEpochBasedLoop {
    fn length(&self, epoch: u64) -> Length {
        self.inner.length(epoch)
    }

    fn validations(&self) -> u64 {
        self.inner.validations()
    }

    fn by_epoch(&self) -> bool {
        true
    }

    fn run(&mut self, runner: &mut Runner) -> Result<()> {
        quantized_mut(runner.algorithm_mut(), self.name)?.set_phases(self.phases);
        self.inner.run(runner)
    }
}

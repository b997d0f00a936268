//! Moves the schedules on.

use occam_config::{Error, Registry, Value};
use serde::Deserialize;

use super::Hook;
use crate::evaluate::Metrics;
use crate::runner::Runner;
use crate::{Result, Step};

/// `ParamSchedulerHook`: schedules by iteration step after every iteration, those by epoch after every epoch, and those by
/// a figure of the validation see it after every validation.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ParamSchedulerHook {}

pub(super) fn build(value: &Value, _: &Registry) -> Result<Box<dyn Hook>, Error> {
    let hook: ParamSchedulerHook = value.parse()?;
    Ok(Box::new(hook))
}

impl Hook for ParamSchedulerHook {
    fn priority(&self) -> u32 {
        70
    }

    fn after_train_iter(&mut self, runner: &mut Runner, _: &Step) -> Result<()> {
        runner.step_schedules(false);
        Ok(())
    }

    fn after_train_epoch(&mut self, runner: &mut Runner) -> Result<()> {
        runner.step_schedules(true);
        Ok(())
    }

    fn after_val(&mut self, runner: &mut Runner, metrics: &Metrics) -> Result<()> {
        runner.show_schedules(metrics)
    }
}

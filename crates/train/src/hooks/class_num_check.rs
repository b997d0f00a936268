//! Compares the classes of model and data.

use occam_config::{Error, Registry, Value};
use serde::Deserialize;

use super::Hook;
use crate::Result;
use crate::error::refuse;
use crate::runner::{Runner, Side};

/// `ClassNumCheckHook`: refuses data with another number of classes than the model predicts, before training,
/// validation and test. Data that names no classes is a warning, unless `quiet`. The number of a model is the last size
/// of its first output.
///
/// Every run has this hook, quietly, as `default_hooks.class_num_check`; None there switches it off.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ClassNumCheckHook {
    quiet: bool,
}

pub(super) fn build(value: &Value, _: &Registry) -> Result<Box<dyn Hook>, Error> {
    let hook: ClassNumCheckHook = value.parse()?;
    Ok(Box::new(hook))
}

fn check(runner: &mut Runner, side: Side, quiet: bool) -> Result<()> {
    let Some(classes) = runner.classes(side) else { return Ok(()) };
    if classes == 0 && quiet {
        return Ok(());
    }
    if classes == 0 {
        runner.message(&format!(
            "warning: the {side} data names no classes; nobody compares them with the model"
        ));
        return Ok(());
    }
    let graph = runner.algorithm().architecture().graph();
    let output = graph.outputs().first().map(|(_, id)| graph.value(*id)).transpose()?;
    let predicted = output.and_then(|v| v.fact.shape.last()?.known());
    match predicted {
        Some(n) if n != classes => refuse(format!(
            "the model predicts {n} classes, but the {side} data has {classes}: set `num_classes` of the head to {classes}"
        )),
        _ => Ok(()),
    }
}

impl Hook for ClassNumCheckHook {
    fn before_train(&mut self, runner: &mut Runner) -> Result<()> {
        check(runner, Side::Train, self.quiet)
    }

    fn before_val(&mut self, runner: &mut Runner) -> Result<()> {
        check(runner, Side::Val, self.quiet)
    }

    fn before_test(&mut self, runner: &mut Runner) -> Result<()> {
        check(runner, Side::Test, self.quiet)
    }
}

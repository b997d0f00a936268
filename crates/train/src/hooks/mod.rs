//! Hooks: what happens around the steps of a run. One a file.

mod checkpoint;
mod class_num_check;
mod early_stopping;
mod ema;
mod logger;
mod param_scheduler;
mod passive;
mod precise_bn;
mod rule;

use occam_config::{Build, Registry, Value};

use crate::checkpoint::{Checkpoint, Draft};
use crate::evaluate::Metrics;
use crate::runner::Runner;
use crate::{Result, Step};

/// Something done at moments of a run. Hooks of a higher priority (a lower number) go first.
///
/// What a hook remembers from one moment to another and must survive a stop belongs into [`Runner::info`], which is part
/// of every checkpoint; tensors are added in [`Hook::before_save`].
#[allow(unused_variables)]
pub trait Hook: Send {
    /// mmengine's number: `VERY_HIGH` 10, `HIGH` 30, `ABOVE_NORMAL` 40, `NORMAL` 50, `BELOW_NORMAL` 60, `LOW` 70,
    /// `VERY_LOW` 90.
    fn priority(&self) -> u32 {
        50
    }

    /// Spaces of a checkpoint that it reads in [`Hook::after_load`]. A run does not resume from a checkpoint with others: it
    /// would lose what they hold.
    fn spaces(&self) -> &'static [&'static str] {
        &[]
    }

    /// When a run resumes from a checkpoint, whose weights the models have already.
    ///
    /// # Errors
    /// The hook's own.
    fn after_load(&mut self, runner: &mut Runner, checkpoint: &Checkpoint) -> Result<()> {
        Ok(())
    }

    /// Before the first step, after resuming.
    ///
    /// # Errors
    /// The hook's own.
    fn before_train(&mut self, runner: &mut Runner) -> Result<()> {
        Ok(())
    }

    /// Before an epoch; [`Runner::epoch`] is its number, from 0.
    ///
    /// # Errors
    /// The hook's own.
    fn before_train_epoch(&mut self, runner: &mut Runner) -> Result<()> {
        Ok(())
    }

    /// Before a step; [`Runner::iter`] is its number, from 0.
    ///
    /// # Errors
    /// The hook's own.
    fn before_train_iter(&mut self, runner: &mut Runner) -> Result<()> {
        Ok(())
    }

    /// After a step; [`Runner::iter`] counts it already.
    ///
    /// # Errors
    /// The hook's own.
    fn after_train_iter(&mut self, runner: &mut Runner, step: &Step) -> Result<()> {
        Ok(())
    }

    /// After an epoch; [`Runner::epoch`] counts it already.
    ///
    /// # Errors
    /// The hook's own.
    fn after_train_epoch(&mut self, runner: &mut Runner) -> Result<()> {
        Ok(())
    }

    /// Before a validation.
    ///
    /// # Errors
    /// The hook's own.
    fn before_val(&mut self, runner: &mut Runner) -> Result<()> {
        Ok(())
    }

    /// When a validation ended, be it that it failed: undoes what [`Hook::before_val`] did to the models.
    ///
    /// # Errors
    /// The hook's own.
    fn undo_val(&mut self, runner: &mut Runner) -> Result<()> {
        Ok(())
    }

    /// After a validation.
    ///
    /// # Errors
    /// The hook's own.
    fn after_val(&mut self, runner: &mut Runner, metrics: &Metrics) -> Result<()> {
        Ok(())
    }

    /// Before a test.
    ///
    /// # Errors
    /// The hook's own.
    fn before_test(&mut self, runner: &mut Runner) -> Result<()> {
        Ok(())
    }

    /// Before a checkpoint is written: may change what it holds.
    ///
    /// # Errors
    /// The hook's own.
    fn before_save(&mut self, runner: &mut Runner, draft: &mut Draft) -> Result<()> {
        Ok(())
    }

    /// After the last step.
    ///
    /// # Errors
    /// The hook's own.
    fn after_train(&mut self, runner: &mut Runner) -> Result<()> {
        Ok(())
    }
}

const TABLE: &[(&str, Build<dyn Hook>)] = &[
    ("CheckpointHook", checkpoint::build),
    ("ClassNumCheckHook", class_num_check::build),
    ("DistSamplerSeedHook", passive::build),
    ("EMAHook", ema::build),
    ("EarlyStoppingHook", early_stopping::build),
    ("EmptyCacheHook", passive::build_empty_cache),
    ("IterTimerHook", passive::build),
    ("LoggerHook", logger::build),
    ("NaiveVisualizationHook", passive::build_naive_visualization),
    ("ParamSchedulerHook", param_scheduler::build),
    ("PreciseBNHook", precise_bn::build),
    ("RuntimeInfoHook", passive::build),
    ("SyncBuffersHook", passive::build),
    ("VisualizationHook", passive::build_visualization),
];

pub(crate) fn register(registry: &mut Registry) {
    registry.register_all::<dyn Hook>("hook", TABLE);
}

/// The hooks every run has unless its config says otherwise, by mmengine's keys of `default_hooks`.
const DEFAULTS: &[(&str, &str)] = &[
    ("class_num_check", "ClassNumCheckHook"),
    ("logger", "LoggerHook"),
    ("param_scheduler", "ParamSchedulerHook"),
    ("checkpoint", "CheckpointHook"),
];

/// The config of a default hook; checkpoints are written after every epoch then.
fn default(name: &str) -> Value {
    let mut dict = occam_config::Dict::new();
    dict.insert("type", Value::from(name));
    if name == "CheckpointHook" {
        dict.insert("interval", Value::from(1));
    }
    if name == "ClassNumCheckHook" {
        dict.insert("quiet", Value::from(true));
    }
    Value::from(dict)
}

/// Reads `default_hooks` and `custom_hooks`, in order of priority.
///
/// # Errors
/// A hook is unknown or wrongly configured.
pub fn from_config(
    default_hooks: Option<&Value>,
    custom_hooks: Option<&Value>,
    registry: &Registry,
) -> Result<Vec<Box<dyn Hook>>> {
    let mut hooks: Vec<(u32, Box<dyn Hook>)> = Vec::new();
    let mut add = |value: &Value| -> Result<()> {
        let mut own = value.clone();
        let priority = own.as_dict_mut().and_then(|d| d.remove("priority"));
        let hook = registry.build::<dyn Hook>(&own)?;
        let priority = priority.map_or(Ok(hook.priority()), |p| number(&p))?;
        hooks.push((priority, hook));
        Ok(())
    };
    let wrong = |value: &Value, message: &str| occam_config::Error::new(message).at(value);
    if let Some(value) = default_hooks.filter(|v| v.as_dict().is_none()) {
        return Err(wrong(value, "`default_hooks` must be a dict of hooks").into());
    }
    if let Some(value) = custom_hooks.filter(|v| v.as_list().is_none()) {
        return Err(wrong(value, "`custom_hooks` must be a list of hooks").into());
    }
    let given = default_hooks.and_then(Value::as_dict);
    for (key, name) in DEFAULTS {
        if given.is_none_or(|d| d.get(key).is_none()) {
            add(&default(name))?;
        }
    }
    for (_, value) in given.into_iter().flat_map(|d| d.iter()) {
        if !value.is_none() {
            add(value)?;
        }
    }
    for value in custom_hooks.and_then(Value::as_list).into_iter().flatten() {
        add(value)?;
    }
    hooks.sort_by_key(|(priority, _)| *priority);
    Ok(hooks.into_iter().map(|(_, hook)| hook).collect())
}

/// mmengine's names of priorities.
const PRIORITIES: &[(&str, u32)] = &[
    ("HIGHEST", 0),
    ("VERY_HIGH", 10),
    ("HIGH", 30),
    ("ABOVE_NORMAL", 40),
    ("NORMAL", 50),
    ("BELOW_NORMAL", 60),
    ("LOW", 70),
    ("VERY_LOW", 90),
    ("LOWEST", 100),
];

/// A `priority`: a name in any case, or a number from 0 to 100.
fn number(value: &Value) -> Result<u32> {
    let named = value
        .as_str()
        .and_then(|s| PRIORITIES.iter().find(|(n, _)| n.eq_ignore_ascii_case(s)))
        .map(|(_, p)| *p);
    let given = value.as_i64().and_then(|n| u32::try_from(n).ok()).filter(|n| *n <= 100);
    named.or(given).ok_or_else(|| {
        let names: Vec<&str> = PRIORITIES.iter().map(|(n, _)| *n).collect();
        occam_config::Error::new("`priority` must be a name or a number from 0 to 100")
            .at(value)
            .with_help(format!("names: {}", names.join(", ")))
            .into()
    })
}

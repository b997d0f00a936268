//! Channels go step by step while the model is trained.

use occam_config::{Error as ConfigError, Registry, Value};
use occam_data::Batch;
use occam_engine::schedule::Length;
use occam_graph::{Graph, Weights};
use occam_space::Trace;
use occam_space::subnet::Choice;
use occam_train::{
    Algorithm, AlgorithmConfig, Cuts, Env, Error, Model, Result, Step, StepContext, UnitState, supervised,
};
use serde::Deserialize;

use super::unit_states;
use crate::Shaped;
use crate::mutators::{ChannelMutator, Unit, Units, choices};

/// Prefix of the model's parameters.
const PREFIX: &str = "architecture.";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    architecture: Value,
    #[serde(default)]
    mutator_cfg: Option<Value>,
    #[serde(default)]
    data_preprocessor: Option<Value>,
    #[serde(default)]
    target_pruning_ratio: Option<Value>,
    #[serde(default = "one")]
    step_freq: u64,
    #[serde(default = "one")]
    prune_times: u64,
    #[serde(default)]
    init_cfg: Option<Value>,
    #[serde(default = "yes")]
    linear_schedule: bool,
}

fn one() -> u64 {
    1
}

fn yes() -> bool {
    true
}

struct Config {
    keys: Keys,
    mutator: Box<ChannelMutator>,
    /// The whole dict, for the place of errors.
    value: Value,
}

pub(super) fn build(value: &Value, registry: &Registry) -> Result<Box<dyn AlgorithmConfig>, ConfigError> {
    let keys: Keys = value.parse()?;
    let at = |key: &str, message: &str| ConfigError::new(message).at(value.get(key).unwrap_or(value));
    if keys.init_cfg.as_ref().is_some_and(|v| !v.is_none()) {
        let error = at("init_cfg", "`init_cfg` of the algorithm is not supported");
        return Err(error.with_help("give it to the architecture, or use `load_from`"));
    }
    if keys.step_freq == 0 {
        return Err(at("step_freq", "`step_freq` must be at least 1"));
    }
    if keys.prune_times == 0 {
        return Err(at("prune_times", "`prune_times` must be at least 1"));
    }
    let default = Value::from_json(&serde_json::json!({ "type": "ChannelMutator" }));
    let mutator_cfg = keys.mutator_cfg.as_ref().filter(|v| !v.is_none()).unwrap_or(&default);
    let mutator = registry.build::<ChannelMutator>(mutator_cfg)?;
    Ok(Box::new(Config { keys, mutator, value: value.clone() }))
}

impl Config {
    /// The units of a model, and what is to become of them.
    fn plan(&self, shaped: &Shaped) -> Result<(Units, Vec<Goal>), ConfigError> {
        let units = self.mutator.units(shaped.trace())?;
        let goals = goals(self.keys.target_pruning_ratio.as_ref(), &units, shaped.trace())?;
        Ok((units, goals))
    }

    fn shaped(&self, model: &occam_zoo::TaskModel) -> Result<Shaped, ConfigError> {
        Shaped::new(model.graph.clone().into()).map_err(|e| ConfigError::new(e.to_string()).at(&self.value))
    }
}

impl AlgorithmConfig for Config {
    fn build(self: Box<Self>, env: &Env<'_>) -> Result<Box<dyn Algorithm>> {
        let task = env.task_model(&self.keys.architecture)?;
        let shaped = self.shaped(&task)?;
        let (units, goals) = self.plan(&shaped)?;
        let data_preprocessor = self.keys.data_preprocessor.or_else(|| task.data_preprocessor.clone());
        Ok(Box::new(ItePruneAlgorithm {
            model: Model::new(task, env.seed, &env.device)?,
            shaped,
            mutator: self.mutator,
            units,
            goals,
            step_freq: self.keys.step_freq,
            prune_times: self.keys.prune_times,
            linear: self.keys.linear_schedule,
            every: None,
            data_preprocessor,
        }))
    }

    fn check(&self, env: &Env<'_>) -> Result<()> {
        let shaped = self.shaped(&env.task_model(&self.keys.architecture)?)?;
        self.plan(&shaped)?;
        Ok(())
    }
}

/// What is to become of a unit: it goes from one choice to another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Goal {
    pub start: Choice,
    pub target: Choice,
}

impl Goal {
    /// `int((target − start) · part + start)` for numbers, without `int` for parts of the channels.
    pub fn at(self, part: f64, channels: usize) -> Choice {
        let between = |start: f64, target: f64| (target - start) * part + start;
        match self.target {
            Choice::Ratio(target) => {
                let start = match self.start {
                    Choice::Ratio(start) => start,
                    Choice::Number(n) => n as f64 / channels.max(1) as f64,
                };
                Choice::Ratio(between(start, target))
            }
            Choice::Number(target) => {
                Choice::Number(between(self.start.width(channels) as f64, target as f64) as usize)
            }
        }
    }
}

/// The goal of every unit; those that `target` does not name stay where they start.
pub(super) fn goals(target: Option<&Value>, units: &Units, found: &Trace) -> Result<Vec<Goal>, ConfigError> {
    let start = |unit: &Unit, target: Option<Choice>, channels: usize| match (unit.start, target) {
        (Some(start), _) => start,
        (None, Some(Choice::Ratio(_))) => Choice::Ratio(1.0),
        (None, _) => Choice::Number(channels),
    };
    let mut goals: Vec<Goal> = units
        .iter()
        .zip(&found.units)
        .map(|(unit, found)| {
            let start = start(unit, None, found.channels);
            Goal { start, target: start }
        })
        .collect();
    let Some(value) = target.filter(|v| !v.is_none()) else { return Ok(goals) };
    for (name, target) in choices(value)? {
        let written = value.as_dict().and_then(|d| d.get(name.as_str()));
        let wrong = |message: String| ConfigError::new(message).at(written.unwrap_or(value));
        let index = match units.iter().position(|u| u.name == name) {
            Some(index) => index,
            None => {
                let names = units.iter().map(|u| u.name.as_str());
                let error = wrong(format!("the model has no channel unit `{name}`"));
                return Err(match occam_config::suggest(&name, names) {
                    Some(meant) => error.with_help(format!("did you mean `{meant}`?")),
                    None => error
                        .with_help("`occam inspect MODEL.onnx --units` lists the units of an exported model"),
                });
            }
        };
        let (Some(unit), Some(traced), Some(goal)) =
            (units.get(index), found.units.get(index), goals.get_mut(index))
        else {
            continue;
        };
        let width = target.width(traced.channels);
        if width > traced.channels {
            return Err(wrong(format!(
                "unit `{name}` has {} channels, it cannot keep {width}",
                traced.channels
            )));
        }
        let start = start(unit, Some(target), traced.channels);
        if width > start.width(traced.channels) {
            return Err(wrong(format!(
                "unit `{name}` starts with {} channels, it cannot gain some",
                start.width(traced.channels)
            )));
        }
        if !unit.mutable && width < traced.channels {
            let why = traced
                .kept_by
                .as_ref()
                .map_or_else(|| "`channel_unit_cfg.units` does not list it".to_owned(), ToString::to_string);
            return Err(wrong(format!("unit `{name}` cannot be pruned: {why}")));
        }
        *goal = Goal { start, target };
    }
    Ok(goals)
}

/// The width of every unit after a part of the way from its start to its goal.
pub(super) fn widths(units: &Units, goals: &[Goal], found: &Trace, part: f64) -> Vec<usize> {
    let width = |((unit, goal), traced): ((&Unit, &Goal), &occam_space::Unit)| {
        let choice = goal.at(part, traced.channels);
        match unit.mutable && choice.width(traced.channels) < traced.channels {
            true => unit.args.width(choice, traced.channels),
            false => traced.channels,
        }
    };
    units.iter().zip(goals).zip(&found.units).map(width).collect()
}

/// Trains a model and makes its units narrower on the way.
///
/// | key | default | |
/// |---|---|---|
/// | `architecture` | | the model, or `dict(cfg_path=..)` |
/// | `mutator_cfg` | `ChannelMutator` of sequential units | which units there are and which of their channels stay; see [`ChannelMutator`] |
/// | `target_pruning_ratio` | None | by unit how many channels stay in the end: a number as an int, a part as a float; or the path of a subnet file |
/// | `step_freq` | 1 | epochs between two prunings; iterations where the training counts these |
/// | `prune_times` | 1 | how often it is pruned |
/// | `linear_schedule` | True | whether the widths go in equal steps; else the first pruning goes to the target |
/// | `data_preprocessor` | the architecture's | how images are prepared |
///
/// The first pruning is before the first step, the others `step_freq` epochs (or iterations) from one to the next. Pruning `t`
/// of `n` leaves `full + (target − full) · t / n` of a unit, as a number of channels rounded down, then as
/// [`UnitArgs::width`](crate::units::UnitArgs::width) says.
///
/// Channels that go are gone: the model is replaced by a narrower one with the weights that are left, and the optimizer's
/// tensors, waiting gradients and an `EMAHook`'s averages follow. So later steps are cheaper, weight decay and momentum
/// know nothing of what is gone, and every checkpoint holds a small model; a run that resumes, tests or exports takes the
/// widths from the shapes in its checkpoint. The original masks channels, chooses anew among all of them at every pruning, and
/// trains what is masked on by momentum and weight decay.
///
/// Differences where the original is at fault: names that are no unit are refused, not ignored; whether a choice is a number
/// or a part follows from how it is written, not from `choice_mode`; a training of one epoch counts epochs; and a training that
/// ends before its last pruning is refused.
///
/// Parameters are called `architecture.*`.
pub struct ItePruneAlgorithm {
    model: Model,
    shaped: Shaped,
    mutator: Box<ChannelMutator>,
    units: Units,
    goals: Vec<Goal>,
    step_freq: u64,
    prune_times: u64,
    linear: bool,
    /// Iterations from one pruning to the next, once the training is known.
    every: Option<u64>,
    data_preprocessor: Option<Value>,
}

impl ItePruneAlgorithm {
    /// The number, from 1, of the pruning that is due before iteration `iter`.
    fn due(&self, iter: u64) -> Option<u64> {
        let every = self.every?.max(1);
        (iter.is_multiple_of(every) && iter / every < self.prune_times).then(|| iter / every + 1)
    }

    /// The widths after pruning `time`.
    fn widths(&self, time: u64) -> Vec<usize> {
        let part = if self.linear { time as f64 / self.prune_times as f64 } else { 1.0 };
        widths(&self.units, &self.goals, self.shaped.trace(), part)
    }

    fn prune(&mut self, time: u64) -> Result<(Cuts, String)> {
        let widths = self.widths(time);
        let unit = self.mutator.unit();
        let cuts = self.shaped.prune(&mut self.model, PREFIX, &widths, |subject| unit.scores(subject))?;
        let units = self.shaped.widths().iter().zip(&self.shaped.trace().units);
        let narrower = units.filter(|(width, unit)| **width < unit.channels).count();
        let elements: usize = (self.model.params.iter())
            .filter(|(_, p)| p.role == occam_graph::Role::Weight)
            .map(|(_, p)| p.tensor.shape().iter().product::<usize>())
            .sum();
        let times = self.prune_times;
        Ok((
            cuts,
            format!(
                "pruned, {time} of {times}: {narrower} units are narrower, {elements} parameters are left"
            ),
        ))
    }
}

impl Algorithm for ItePruneAlgorithm {
    fn train_step(&mut self, batch: &Batch, context: &StepContext) -> Result<Step> {
        let pruned = self.due(context.iter).map(|time| self.prune(time)).transpose()?;
        let step = supervised(&mut self.model, PREFIX, batch, context)?;
        Ok(match pruned {
            Some((cuts, note)) => Step { cuts, notes: vec![note], ..step },
            None => step,
        })
    }

    fn begin(&mut self, length: Length, by_epoch: bool) -> Result<()> {
        let (max, what) =
            if by_epoch { (length.max_epochs, "epochs") } else { (length.max_iters, "iterations") };
        let last = (self.prune_times - 1).saturating_mul(self.step_freq);
        if last >= max {
            return Err(Error::Config(
                ConfigError::new(format!(
                    "the last of {} prunings is due after {last} {what}, the training has {max}: the target would not be reached",
                    self.prune_times
                ))
                .with_help("train longer, or lower `prune_times` or `step_freq`"),
            ));
        }
        let every = if by_epoch { length.epoch.saturating_mul(self.step_freq) } else { self.step_freq };
        self.every = Some(every.max(1));
        Ok(())
    }

    fn adopt(&mut self, weights: &Weights) -> Result<()> {
        self.shaped.adopt(&mut self.model, weights)
    }

    fn units(&self) -> Vec<UnitState> {
        unit_states(&self.units, self.shaped.trace(), self.shaped.widths())
    }

    fn whole(&self) -> Option<&Graph> {
        Some(self.shaped.graph())
    }

    fn subnet(&self) -> Option<serde_json::Value> {
        Some(self.mutator.template(self.shaped.trace(), &self.units, self.shaped.widths()))
    }

    fn architecture(&self) -> &Model {
        &self.model
    }

    fn models(&self) -> Vec<(&'static str, &Model)> {
        vec![(PREFIX, &self.model)]
    }

    fn models_mut(&mut self) -> Vec<(&'static str, &mut Model)> {
        vec![(PREFIX, &mut self.model)]
    }

    fn data_preprocessor(&self) -> Option<&Value> {
        self.data_preprocessor.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers from the original's `ItePruneConfigManager.prune_at`.
    #[test]
    fn schedules_are_the_original_s() {
        let number = Goal { start: Choice::Number(64), target: Choice::Number(45) };
        let widths: Vec<usize> = (1..=4).map(|t| number.at(f64::from(t) / 4.0, 64).width(64)).collect();
        assert_eq!(widths, [59, 54, 49, 45]);
        let ratio = Goal { start: Choice::Ratio(1.0), target: Choice::Ratio(0.7) };
        let widths: Vec<usize> = (1..=3).map(|t| ratio.at(f64::from(t) / 3.0, 64).width(64)).collect();
        assert_eq!(widths, [57, 51, 44]);
    }
}

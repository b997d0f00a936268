//! Channels go until a target is met, while the model is trained.

use std::collections::HashMap;

use occam_config::{Error as ConfigError, Registry, Value};
use occam_data::Batch;
use occam_engine::schedule::Length;
use occam_graph::{Bindings, Graph, Source, Weights};
use occam_space::{Estimator, Trace, TraceOptions, subnet, trace};
use occam_train::{
    Algorithm, AlgorithmConfig, Cuts, Env, Error, Model, Result, Step, StepContext, UnitState, supervised,
};
use serde::Deserialize;

use crate::goal::{self, Rules};
use crate::importance::{Scores, Subject};
use crate::keys::{self, Time};
use crate::regularizers::{Learner, Moment, Regularizer};
use crate::shaped::failed;
use crate::{Importance, Shaped, Target};

/// Prefix of the model's parameters.
const PREFIX: &str = "architecture.";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "`target`, `begin` and `step_freq` are read by functions of their own")]
struct Keys {
    architecture: Value,
    target: Value,
    #[serde(default = "importance")]
    importance: String,
    #[serde(default = "normalizer")]
    normalizer: String,
    #[serde(default = "eight")]
    round_to: usize,
    #[serde(default = "most")]
    max_ratio: f64,
    #[serde(default)]
    uniform: bool,
    #[serde(default)]
    keep: Vec<String>,
    #[serde(default)]
    ratio: indexmap::IndexMap<String, f64>,
    #[serde(default)]
    begin: Option<Value>,
    #[serde(default)]
    step_freq: Option<Value>,
    #[serde(default = "one")]
    prune_times: u64,
    #[serde(default)]
    regularizer: Option<Value>,
    #[serde(default)]
    data_preprocessor: Option<Value>,
}

fn importance() -> String {
    "group-l2".into()
}
fn normalizer() -> String {
    "mean".into()
}
fn eight() -> usize {
    8
}
fn most() -> f64 {
    0.9
}
fn one() -> u64 {
    1
}

struct Config {
    keys: Keys,
    target: Target,
    importance: &'static Importance,
    rules: Rules,
    begin: Time,
    step_freq: Time,
    regularizer: Option<Box<dyn Regularizer>>,
    /// The whole dict, for the place of errors.
    value: Value,
}

pub(super) fn build(value: &Value, registry: &Registry) -> Result<Box<dyn AlgorithmConfig>, ConfigError> {
    let keys: Keys = value.parse()?;
    let target = goal::target(value)?;
    if keys.prune_times == 0 {
        let error = ConfigError::new("`prune_times` must be at least 1");
        return Err(error.at(value.get("prune_times").unwrap_or(value)));
    }
    let limited = keys.ratio.iter().map(|(name, part)| (name.clone(), *part));
    let kept = keys.keep.iter().map(|name| (name.clone(), 0.0));
    let rules = Rules {
        normalizer: keys::normalizer(value, &keys.normalizer)?,
        round_to: keys.round_to,
        max_ratio: keys.max_ratio,
        uniform: keys.uniform,
        ratios: limited.chain(kept).collect(),
    };
    rules.check(value)?;
    let given = keys.regularizer.as_ref().filter(|v| !v.is_none());
    Ok(Box::new(Config {
        target,
        importance: keys::importance(value, &keys.importance)?,
        rules,
        begin: Time::from_config(value, "begin", Time::Steps(0))?,
        step_freq: Time::from_config(value, "step_freq", Time::Steps(1))?,
        regularizer: given.map(|v| registry.build::<dyn Regularizer>(v)).transpose()?,
        keys,
        value: value.clone(),
    }))
}

impl Config {
    fn shaped(&self, model: &occam_zoo::TaskModel) -> Result<Shaped, ConfigError> {
        let wrong = |message: String| ConfigError::new(message).at(&self.value);
        let shaped = Shaped::new(model.graph.clone().into()).map_err(|e| wrong(e.to_string()))?;
        self.rules.limits(shaped.trace(), shaped.widths()).map_err(|e| wrong(e.to_string()))?;
        Ok(shaped)
    }
}

impl AlgorithmConfig for Config {
    fn build(self: Box<Self>, env: &Env<'_>) -> Result<Box<dyn Algorithm>> {
        let task = env.task_model(&self.keys.architecture)?;
        let shaped = self.shaped(&task)?;
        let data_preprocessor = self.keys.data_preprocessor.or_else(|| task.data_preprocessor.clone());
        Ok(Box::new(TargetPruneAlgorithm {
            model: Model::new(task, env.seed, &env.device)?,
            shaped,
            target: self.target,
            importance: self.importance,
            rules: self.rules,
            begin: self.begin,
            step_freq: self.step_freq,
            prune_times: self.keys.prune_times,
            learner: self.regularizer.map(Learner::new),
            plan: None,
            sizes: None,
            config: self.value,
            data_preprocessor,
        }))
    }

    fn check(&self, env: &Env<'_>) -> Result<()> {
        self.shaped(&env.task_model(&self.keys.architecture)?)?;
        Ok(())
    }
}

/// When channels go, in iterations.
#[derive(Debug, Clone, Copy)]
struct Plan {
    begin: u64,
    every: u64,
    times: u64,
}

impl Plan {
    /// The number, from 1, of the pruning that is due before iteration `iter`.
    fn due(&self, iter: u64) -> Option<u64> {
        let since = iter.checked_sub(self.begin)?;
        (since.is_multiple_of(self.every) && since / self.every < self.times).then(|| since / self.every + 1)
    }

    /// The iteration before which the last pruning is.
    fn last(&self) -> u64 {
        self.begin.saturating_add(self.every.saturating_mul(self.times - 1))
    }
}

/// Trains a model and removes channels until a part of its MACs, parameters or activations is left.
///
/// | key | default | |
/// |---|---|---|
/// | `architecture` | | the model, or `dict(cfg_path=..)` |
/// | `target` | | the part that is left in the end: `dict(macs=0.5)`, or `params`, `activations` |
/// | `importance` | `'group-l2'` | how much a channel matters; the names of `occam prune --importance` that look at weights alone |
/// | `normalizer` | `'mean'` | how scores of different units are made comparable: `'mean'`, `'sum'`, `'max'`, `'gaussian'`, `'none'` |
/// | `uniform` | False | whether every unit loses the same part; else the least important channels of the model go |
/// | `round_to` | 8 | widths are multiples of this; a unit too narrow for two multiples uses half of it |
/// | `max_ratio` | 0.9 | the part of a unit that may go at most |
/// | `keep` | `[]` | units and layers that stay as they are; `*` stands for any letters |
/// | `ratio` | `{}` | by such a pattern the part that may go at most |
/// | `begin` | 0 | when channels first go: an int of epochs (iterations where the training counts these), a float as a part of the training |
/// | `step_freq` | 1 | time between two prunings, as `begin` |
/// | `prune_times` | 1 | how often channels go |
/// | `regularizer` | None | what makes channels small until the last pruning: sparse learning; see [`regularizers`](crate::regularizers) |
/// | `data_preprocessor` | the architecture's | how images are prepared |
///
/// Pruning `t` of `n` leaves `1 − (1 − part) · t / n`, by the importance at that moment, from below and as near as the widths
/// allow. With `regularizer` and `begin=0.5` the model learns to do without some channels in the first half of the training,
/// loses them, and is fine-tuned in the second. Where `n` is above 1 each pruning chooses among the channels that are left, and a
/// regularizer starts anew with these.
///
/// What a model costs is counted for images of the size of the training's batches; whether the target can be reached is
/// known before the first step. As with [`ItePruneAlgorithm`](super::ItePruneAlgorithm) channels that go are gone, and
/// checkpoints hold the small model. Parameters are called `architecture.*`.
pub struct TargetPruneAlgorithm {
    model: Model,
    shaped: Shaped,
    target: Target,
    importance: &'static Importance,
    rules: Rules,
    begin: Time,
    step_freq: Time,
    prune_times: u64,
    learner: Option<Learner>,
    /// Once the training is known.
    plan: Option<Plan>,
    /// Of images, once there was a batch.
    sizes: Option<Bindings>,
    config: Value,
    data_preprocessor: Option<Value>,
}

/// The units of a model as it is, and by unit of the model with all channels which of them it is.
struct Present {
    trace: Trace,
    of: Vec<Option<usize>>,
}

impl TargetPruneAlgorithm {
    fn present(&self) -> Result<Present> {
        let graph = self.model.graph();
        let found = trace(graph, &TraceOptions::default()).map_err(failed)?;
        let mut by_place: HashMap<(&str, usize), usize> = HashMap::new();
        for (i, unit) in found.units.iter().enumerate() {
            for member in &unit.members {
                let value = graph.value(member.value)?;
                if matches!(value.source, Source::Param(_)) {
                    by_place.insert((value.name.as_str(), member.axis), i);
                }
            }
        }
        let full = self.shaped.graph();
        let of_unit = |unit: &occam_space::Unit| {
            unit.members.iter().find_map(|m| {
                let name = full.value(m.value).ok()?.name.as_str();
                by_place.get(&(name, m.axis)).copied()
            })
        };
        let of = self.shaped.trace().units.iter().map(of_unit).collect();
        Ok(Present { trace: found, of })
    }

    /// The scores of the channels that are left, by unit of the model with all of them.
    fn scores(&self, present: &Present, seed: u64) -> Result<Scores> {
        let weights = self.model.params.to_weights()?;
        let subject = Subject { graph: self.model.graph(), weights: &weights, trace: &present.trace, seed };
        let found = self.importance.score(&subject).map_err(failed)?;
        let units = self.shaped.trace().units.iter().zip(&present.of).zip(self.shaped.widths());
        units
            .map(|((unit, of), &width)| {
                let own = of.and_then(|i| found.get(i)).cloned().unwrap_or_default();
                match unit.kept_by.is_none() && own.len() != width {
                    true => Err(Error::Other(format!("unit `{}` cannot be followed at {width}", unit.name))),
                    false => Ok(own),
                }
            })
            .collect()
    }

    /// What stays where `part` of the target's figure is left.
    fn solve(&self, scores: Scores, part: f64) -> Result<crate::Outcome> {
        let (graph, units, widths) = (self.shaped.graph(), self.shaped.trace(), self.shaped.widths());
        let sizes = self.sizes.clone().unwrap_or_default();
        let target = Target { part, ..self.target };
        self.rules.solve(graph, units, widths, scores, target, &sizes)
    }

    /// Takes the size of images from the first batch, and sees whether the target can be reached at all.
    fn prepare(&mut self, batch: &Batch) -> Result<()> {
        if self.sizes.is_some() {
            return Ok(());
        }
        self.sizes = Some(goal::sizes(self.shaped.graph(), batch));
        if self.left()? <= self.target.part {
            return Ok(());
        }
        let units = self.shaped.trace().units.iter().zip(self.shaped.widths());
        let equal =
            units.map(|(u, &w)| if u.kept_by.is_none() { vec![1.0; w] } else { Vec::new() }).collect();
        let place = self.config.get("target").unwrap_or(&self.config);
        let found = self.solve(equal, self.target.part);
        found.map_err(|e| ConfigError::new(e.to_string()).at(place))?;
        Ok(())
    }

    /// The part of the target's figure that is left at present.
    fn left(&self) -> Result<f64> {
        let sizes = self.sizes.clone().unwrap_or_default();
        let units = self.shaped.trace();
        let estimator = Estimator::new(self.shaped.graph(), units, &sizes).map_err(failed)?;
        let full: Vec<usize> = units.units.iter().map(|u| u.channels).collect();
        let of = |widths: &[usize]| estimator.at(widths).map(|r| self.target.kind.of(&r) as f64);
        let full = of(&full).map_err(failed)?;
        Ok(of(self.shaped.widths()).map_err(failed)? / full.max(1.0))
    }

    fn prune(&mut self, time: u64, context: &StepContext) -> Result<(Cuts, String)> {
        let part = 1.0 - (1.0 - self.target.part) * (time as f64 / self.prune_times as f64);
        let mut cuts = Cuts::default();
        if self.left()? > part {
            let scores = self.scores(&self.present()?, context.seed.0)?;
            let widths = self.solve(scores.clone(), part)?.selection.widths();
            cuts = self.shaped.prune(&mut self.model, PREFIX, &widths, |_| Ok(Some(scores)))?;
            if let Some(learner) = &mut self.learner {
                learner.narrowed();
            }
        }
        let units = self.shaped.widths().iter().zip(&self.shaped.trace().units);
        let narrower = units.filter(|(width, unit)| **width < unit.channels).count();
        let (left, times, what) = (self.left()?, self.prune_times, self.target.kind.name());
        Ok((
            cuts,
            format!(
                "pruned, {time} of {times}: {left:.4} of the {what} are left, {narrower} units are narrower"
            ),
        ))
    }

    /// Adds what the regularizer says to the gradients of a step before the last pruning.
    fn regularize(&mut self, step: &mut Step, context: &StepContext) -> Result<()> {
        let last = self.plan.map_or(0, |p| p.last());
        if context.iter >= last {
            return Ok(());
        }
        let Some(mut learner) = self.learner.take() else { return Ok(()) };
        let leaving = match learner.regularizer().needs_target() && learner.state().is_empty() {
            true => Some(self.leaving(context)?),
            false => None,
        };
        let moment = Moment { step: context.iter, leaving: leaving.as_deref() };
        let added = learner.add(&self.model, PREFIX, &moment, &mut step.gradients);
        self.learner = Some(learner);
        added
    }

    /// By unit and channel of the model as it is, whether it would go if the target was met now.
    fn leaving(&self, context: &StepContext) -> Result<Vec<Vec<bool>>> {
        let present = self.present()?;
        let mut leaving: Vec<Vec<bool>> =
            present.trace.units.iter().map(|u| vec![false; u.channels]).collect();
        if self.left()? <= self.target.part {
            return Ok(leaving);
        }
        let found = self.solve(self.scores(&present, context.seed.0)?, self.target.part)?;
        for (i, of) in present.of.iter().enumerate() {
            let own = of.and_then(|n| leaving.get_mut(n));
            for (goes, stays) in own.into_iter().flatten().zip(found.selection.of(i)) {
                *goes = !stays;
            }
        }
        Ok(leaving)
    }
}

impl Algorithm for TargetPruneAlgorithm {
    fn train_step(&mut self, batch: &Batch, context: &StepContext) -> Result<Step> {
        self.prepare(batch)?;
        let due = self.plan.and_then(|p| p.due(context.iter));
        let pruned = due.map(|time| self.prune(time, context)).transpose()?;
        let mut step = supervised(&mut self.model, PREFIX, batch, context)?;
        self.regularize(&mut step, context)?;
        Ok(match pruned {
            Some((cuts, note)) => Step { cuts, notes: vec![note], ..step },
            None => step,
        })
    }

    fn begin(&mut self, length: Length, by_epoch: bool) -> Result<()> {
        let begin = self.begin.iterations(length, by_epoch);
        let every = self.step_freq.iterations(length, by_epoch).max(1);
        let plan = Plan { begin, every, times: self.prune_times };
        if plan.last() >= length.max_iters {
            let (last, max) = (plan.last(), length.max_iters);
            let error = ConfigError::new(format!(
                "the last of {} prunings is due after {last} iterations, the training has {max}: the target would not be \
                 reached",
                self.prune_times
            ))
            .with_help("train longer, or lower `begin`, `prune_times` or `step_freq`");
            return Err(error.at(&self.config).into());
        }
        self.plan = Some(plan);
        Ok(())
    }

    fn adopt(&mut self, weights: &Weights) -> Result<()> {
        self.shaped.adopt(&mut self.model, weights)
    }

    fn units(&self) -> Vec<UnitState> {
        let units = self.shaped.trace().units.iter().zip(self.shaped.widths());
        let state = |(unit, &width): (&occam_space::Unit, &usize)| UnitState {
            name: unit.name.clone(),
            channels: unit.channels,
            width,
            mutable: unit.kept_by.is_none(),
            importance: None,
        };
        units.map(state).collect()
    }

    fn whole(&self) -> Option<&Graph> {
        Some(self.shaped.graph())
    }

    fn subnet(&self) -> Option<serde_json::Value> {
        let template = subnet::Template::default();
        Some(subnet::config(self.shaped.trace(), self.shaped.widths(), template))
    }

    fn state(&self) -> Result<Weights> {
        Ok(self.learner.as_ref().map(Learner::state).unwrap_or_default())
    }

    fn load_state(&mut self, state: &Weights) -> Result<()> {
        match &mut self.learner {
            Some(learner) => learner.load_state(state),
            None if state.is_empty() => Ok(()),
            None => Err(Error::Other("it was made with a regularizer, this run has none".into())),
        }
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

    #[test]
    fn prunings_are_due_from_the_beginning_on() {
        let plan = Plan { begin: 4, every: 3, times: 2 };
        let due: Vec<Option<u64>> = (0..12).map(|iter| plan.due(iter)).collect();
        let wanted: Vec<Option<u64>> = (0..12)
            .map(|i| {
                if i == 4 {
                    Some(1)
                } else if i == 7 {
                    Some(2)
                } else {
                    None
                }
            })
            .collect();
        assert_eq!(due, wanted);
        assert_eq!(plan.last(), 7);
    }
}

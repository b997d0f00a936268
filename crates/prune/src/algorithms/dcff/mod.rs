//! Filters are fused while the model is trained (Lin et al., Training Compact CNNs for Image Classification using Dynamic-coded
//! Filter Fusion, 2021, arXiv:2107.06916).

mod fuse;
mod layers;
mod schedule;

use std::sync::Arc;

use occam_config::{Error as ConfigError, Registry, Value};
use occam_data::Batch;
use occam_engine::schedule::Length;
use occam_engine::{Bound, Mode, Request, Tensor, collect};
use occam_graph::{Array, Graph, Role, Weights};
use occam_train::{
    Algorithm, AlgorithmConfig, Env, Model, Result, Step, StepContext, UnitState, scalars, total,
};
use occam_zoo::{Sites, TaskModel};
use serde::Deserialize;

use super::ite_prune::{Goal, goals, widths};
use super::{no_init_cfg, supernet, unit_states};
use crate::mutators::{ChannelMutator, Units};
use crate::{Error, Subnet, Supernet};
use layers::{Layer, fuse, layers};
use schedule::{Due, Schedule};

/// Prefix of the parameters that are trained.
const PREFIX: &str = "architecture.";
/// Prefix of what is known of the filters.
const STATE: &str = "mutator.";
/// How wide the units are.
const WIDTHS: &str = "widths";

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
    #[serde(default)]
    step_freq: Option<u64>,
    #[serde(default)]
    prune_times: u64,
    #[serde(default)]
    init_cfg: Option<Value>,
    #[serde(default)]
    linear_schedule: bool,
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
    no_init_cfg(value, keys.init_cfg.as_ref())?;
    match (keys.step_freq, keys.prune_times) {
        (Some(0), 0) => return Err(at("step_freq", "`step_freq` or `prune_times` must be at least 1")),
        (Some(1..), 1..) => {
            let error = at("prune_times", "one of `step_freq` and `prune_times` must be 0 or left out");
            return Err(error.with_help(
                "`step_freq` says after how many epochs filters are compared, `prune_times` how often",
            ));
        }
        _ => {}
    }
    let default = Value::from_json(&serde_json::json!({ "type": "DCFFChannelMutator" }));
    let mutator_cfg = keys.mutator_cfg.as_ref().filter(|v| !v.is_none()).unwrap_or(&default);
    let mutator = registry.build::<ChannelMutator>(mutator_cfg)?;
    if mutator.unit().name() != "DCFFChannelUnit" {
        let error = at("mutator_cfg", "the mutator of DCFF must be a DCFFChannelMutator");
        return Err(error);
    }
    Ok(Box::new(Config { keys, mutator, value: value.clone() }))
}

/// What follows from a model and the config.
struct Plan {
    supernet: Supernet,
    units: Units,
    goals: Vec<Goal>,
    layers: Vec<Layer>,
}

impl Config {
    fn plan(&self, task: &TaskModel) -> Result<Plan, ConfigError> {
        let wrong = |e: Error| ConfigError::new(e.to_string()).at(&self.value);
        let supernet = supernet(task, &self.value)?;
        let trace = supernet.trace();
        let units = self.mutator.units(trace)?;
        let goals = goals(self.keys.target_pruning_ratio.as_ref(), &units, trace)?;
        let last = widths(&units, &goals, trace, 1.0);
        let narrower = |unit: usize| {
            let (Some(width), Some(unit)) = (last.get(unit), trace.units.get(unit)) else { return false };
            *width < unit.channels
        };
        let layers = layers(supernet.graph(), trace, narrower).map_err(wrong)?;
        supernet.at(&last).map_err(ConfigError::from)?;
        Ok(Plan { supernet, units, goals, layers })
    }
}

impl AlgorithmConfig for Config {
    fn build(self: Box<Self>, env: &Env<'_>) -> Result<Box<dyn Algorithm>> {
        let task = env.task_model(&self.keys.architecture)?;
        let Plan { supernet, units, goals, layers } = self.plan(&task)?;
        let data_preprocessor = self.keys.data_preprocessor.or_else(|| task.data_preprocessor.clone());
        let channels = supernet.trace().units.iter().map(|u| u.channels as f32).collect::<Vec<_>>();
        let mut state = vec![(WIDTHS.to_owned(), Array::from_f32([channels.len()], channels)?, Role::Buffer)];
        for layer in &layers {
            // Each filter is itself, until filters are compared.
            let n = layer.filters;
            let same = (0..n * n).map(|i| if i % (n + 1) == 0 { 1.0 } else { 0.0 }).collect();
            state.push((similarity_of(layer), Array::from_f32([n, n], same)?, Role::Buffer));
        }
        let model = Model::new(task, env.seed, &env.device)?;
        let small = model.like(Graph::clone(model.graph()), &model.params.to_weights()?)?;
        Ok(Box::new(Dcff {
            small,
            state: Model::of_parameters(state, &env.device)?,
            model,
            supernet,
            mutator: self.mutator,
            units,
            goals,
            layers,
            linear: self.keys.linear_schedule,
            step_freq: self.keys.step_freq.unwrap_or(u64::from(self.keys.prune_times == 0)),
            prune_times: self.keys.prune_times,
            schedule: None,
            choices: None,
            data_preprocessor,
        }))
    }

    fn check(&self, env: &Env<'_>) -> Result<()> {
        self.plan(&env.task_model(&self.keys.architecture)?)?;
        Ok(())
    }
}

/// The name of what is known of the filters of a layer.
fn similarity_of(layer: &Layer) -> String {
    format!("similarity.{}", layer.name)
}

/// `DCFF(architecture, mutator_cfg, target_pruning_ratio, step_freq=1, prune_times=0, linear_schedule=False)`: trains all
/// filters of a model whose layers compute sums of them.
///
/// | key | default | |
/// |---|---|---|
/// | `architecture` | | the model, or `dict(cfg_path=..)` |
/// | `mutator_cfg` | `DCFFChannelMutator` | which units there are; see [`ChannelMutator`] |
/// | `target_pruning_ratio` | None | by unit how many channels there are in the end: a number as an int, a part as a float; or the path of a subnet file |
/// | `step_freq` | 1 | epochs from one comparison of the filters to the next; iterations where the training counts these |
/// | `prune_times` | 0 | how often they are compared, over the whole training; instead of `step_freq` |
/// | `linear_schedule` | False | whether widths go to the target in equal steps, one a comparison; else they are there from the first on |
/// | `data_preprocessor` | the architecture's | how images are prepared |
///
/// A convolution whose unit is to keep `n` of its `N` channels computes with the filters `W' = C · W`, where `W` `[N, ..]` are all
/// its filters, which are trained, and the rows of `C` `[n, N]` are constants between two comparisons. A comparison takes the
/// similarities of the filters at that moment, `P = softmax(−‖w_i − w_j‖₂ / t)` by rows, and as `C` the `n` rows that differ
/// most from the others (by Kullback-Leibler divergence), in their order. The temperature `t` falls from 1 to 1e-4 within a few
/// epochs, so that each sum becomes one filter; biases are summed likewise, and depthwise convolutions are fused as others are.
/// Everything else has the first channels of its inputs and outputs. The first comparison is before the first step.
///
/// The model that is measured, exported and written by `ItePruneValLoop` is the small one with fused filters, an ordinary static
/// model. Checkpoints hold all filters as `architecture.*`, and as `mutator.*` the widths and the similarities of the last
/// comparison, which a resumed run goes on with; the original forgets them when it resumes.
///
/// Differences from the original: temperatures count epochs where the training does, as the paper has it, where the
/// original counts iterations, so that nothing is soft after the first epoch; layers of units that keep all channels keep
/// their filters; kept filters stay in their order, where the original's is not defined; names that are no unit are refused.
pub struct Dcff {
    /// All filters, which are trained.
    model: Model,
    /// The widths, and by layer how alike its filters are.
    state: Model,
    /// What is measured and exported.
    small: Model,
    supernet: Supernet,
    mutator: Box<ChannelMutator>,
    units: Units,
    goals: Vec<Goal>,
    layers: Vec<Layer>,
    linear: bool,
    step_freq: u64,
    prune_times: u64,
    schedule: Option<Schedule>,
    /// By layer what its filters are multiplied by, where that is known already; none where it keeps all.
    choices: Option<Vec<Option<Tensor>>>,
    data_preprocessor: Option<Value>,
}

impl Dcff {
    /// The present width of each unit.
    fn widths(&self) -> Result<Vec<usize>> {
        let found = match self.state.params.get(WIDTHS) {
            Some(param) => param.tensor.to_f32()?,
            None => Vec::new(),
        };
        let units = &self.supernet.trace().units;
        Ok(units.iter().zip(found).map(|(u, w)| (w.round() as usize).clamp(1, u.channels)).collect())
    }

    /// Compares the filters.
    fn compare(&mut self, due: Due) -> Result<String> {
        let part = if self.linear { due.time as f64 / due.times as f64 } else { 1.0 };
        let trace = self.supernet.trace();
        let widths = widths(&self.units, &self.goals, trace, part);
        let narrower =
            widths.iter().zip(&trace.units).filter(|(width, unit)| **width < unit.channels).count();
        let device = self.model.device().clone();
        let data = widths.iter().map(|&w| w as f32).collect();
        self.state.params.set(WIDTHS, Tensor::from_f32(&[widths.len()], data, &device)?)?;
        for layer in &self.layers {
            let Some(weight) = self.model.params.get(&layer.weight) else { continue };
            let alike = fuse::similarity(&weight.tensor.to_f32()?, layer.filters, due.temperature);
            let alike = Tensor::from_f32(&[layer.filters, layer.filters], alike, &device)?;
            self.state.params.set(&similarity_of(layer), alike)?;
        }
        self.choices = None;
        let Due { time, times, temperature } = due;
        Ok(format!(
            "compared the filters, {time} of {times}, at temperature {temperature:.4}: {narrower} units are narrower"
        ))
    }

    /// By layer what its filters are multiplied by.
    fn choose(&self) -> Result<Vec<Option<Tensor>>> {
        let widths = self.widths()?;
        let choice = |layer: &Layer| -> Result<Option<Tensor>> {
            let width = widths.get(layer.unit).copied().unwrap_or(layer.filters);
            let known = self.state.params.get(&similarity_of(layer));
            let Some(known) = known.filter(|_| width < layer.filters) else { return Ok(None) };
            let rows = fuse::kept(&known.tensor.to_f32()?, layer.filters, width);
            Ok(Some(known.tensor.select(0, &rows)?))
        };
        self.layers.iter().map(choice).collect()
    }

    /// The small network at present, and its parameters made of `params`.
    fn fused(&self, params: &Bound, choices: &[Option<Tensor>]) -> Result<(Arc<Subnet>, Bound)> {
        let subnet = self.supernet.at(&self.widths()?)?;
        let mut shared = params.clone();
        for (layer, choice) in self.layers.iter().zip(choices) {
            if let Some(choice) = choice {
                fuse(layer, choice, &mut shared)?;
            }
        }
        let bound = subnet.bind(&shared)?;
        Ok((subnet, bound))
    }
}

impl Algorithm for Dcff {
    fn train_step(&mut self, batch: &Batch, context: &StepContext) -> Result<Step> {
        let due = self.schedule.and_then(|s| s.due(context.iter));
        let notes = due.map(|due| self.compare(due)).transpose()?.into_iter().collect();
        let choices = match self.choices.take() {
            Some(choices) => choices,
            None => self.choose()?,
        };
        let leaves = self.model.params.leaves();
        let (subnet, params) = self.fused(&leaves, &choices)?;
        self.choices = Some(choices);
        let request = Request { noise: Some(context.noise(PREFIX)), ..Request::new(Mode::Train) };
        let outputs = self.model.forward_by(subnet.executor(), &params, batch, &request)?;
        let losses = self.model.loss(&outputs, batch, &mut Sites::default())?;
        let values = scalars(&losses, context)?;
        let found = collect(&leaves, &mut total(&losses)?.backward()?);
        let gradients = found.into_iter().map(|(name, g)| (format!("{PREFIX}{name}"), g)).collect();
        subnet.keep(&mut self.model.params, outputs.buffers)?;
        Ok(Step { losses: values, gradients, notes, ..Step::default() })
    }

    fn begin(&mut self, length: Length, by_epoch: bool) -> Result<()> {
        self.schedule = Some(Schedule::new(self.step_freq, self.prune_times, length, by_epoch)?);
        Ok(())
    }

    fn settle(&mut self) -> Result<()> {
        let (subnet, params) = self.fused(&self.model.params.constants(), &self.choose()?)?;
        let weights: Result<Weights> =
            params.iter().map(|(name, tensor)| Ok((name.clone(), tensor.to_array()?))).collect();
        let graph = Graph::clone(subnet.graph());
        self.small.reshape(graph, &weights?)
    }

    fn adopt(&mut self, _: &Weights) -> Result<()> {
        // What is known of the filters is about to change.
        self.choices = None;
        Ok(())
    }

    fn units(&self) -> Vec<UnitState> {
        let widths = self.widths().unwrap_or_default();
        unit_states(&self.units, self.supernet.trace(), &widths)
    }

    fn whole(&self) -> Option<&Graph> {
        Some(self.supernet.graph())
    }

    fn subnet(&self) -> Option<serde_json::Value> {
        Some(self.mutator.template(self.supernet.trace(), &self.units, &self.widths().ok()?))
    }

    fn architecture(&self) -> &Model {
        &self.small
    }

    fn models(&self) -> Vec<(&'static str, &Model)> {
        vec![(PREFIX, &self.model), (STATE, &self.state)]
    }

    fn models_mut(&mut self) -> Vec<(&'static str, &mut Model)> {
        vec![(PREFIX, &mut self.model), (STATE, &mut self.state)]
    }

    fn data_preprocessor(&self) -> Option<&Value> {
        self.data_preprocessor.as_ref()
    }
}

//! Channels go one by one while the model is trained, by how much the loss depends on them (Liu et al., Group Fisher Pruning,
//! 2021, arXiv:2108.00708).

use occam_config::{Error as ConfigError, Registry, Value};
use occam_data::Batch;
use occam_engine::{Bound, Gradients, Request};
use occam_graph::{Array, Data, Graph, Weights};
use occam_train::{
    Algorithm, AlgorithmConfig, Cuts, Env, Error, Model, Result, Step, StepContext, UnitState, supervised_by,
};
use serde::Deserialize;

use crate::Shaped;
use crate::fisher::{Accumulated, Gains};
use crate::gates::{Gates, Reader, by_channel, of_units};
use crate::layers::live_layers;
use crate::mutators::{ChannelMutator, Units};
use crate::shaped::failed;
use crate::units::FisherArgs;

/// Prefix of the model's parameters.
const PREFIX: &str = "architecture.";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    architecture: Value,
    #[serde(default)]
    mutator: Option<Value>,
    #[serde(default = "ten")]
    interval: u64,
    #[serde(default)]
    data_preprocessor: Option<Value>,
    #[serde(default)]
    init_cfg: Option<Value>,
}

fn ten() -> u64 {
    10
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
        let error =
            at("init_cfg", "`init_cfg` of the algorithm is for a `GroupFisherSubModel` that takes it over");
        return Err(error.with_help("give it to the architecture, or use `load_from`"));
    }
    if keys.interval == 0 {
        return Err(at("interval", "`interval` must be at least 1"));
    }
    let default = Value::from_json(&serde_json::json!({ "type": "GroupFisherChannelMutator" }));
    let mutator_cfg = keys.mutator.as_ref().filter(|v| !v.is_none()).unwrap_or(&default);
    let mutator = registry.build::<ChannelMutator>(mutator_cfg)?;
    if mutator.unit().fisher().is_none() {
        let message = format!("units of kind `{}` are not measured by gradients", mutator.unit().name());
        let error =
            ConfigError::new(message).with_help("use a GroupFisherChannelMutator of GroupFisherChannelUnit");
        return Err(error.at(mutator_cfg));
    }
    Ok(Box::new(Config { keys, mutator, value: value.clone() }))
}

/// What a config says of a model.
struct Plan {
    shaped: Shaped,
    units: Units,
    fisher: FisherArgs,
    /// By unit whether it may lose channels.
    mutable: Vec<bool>,
}

impl Config {
    fn plan(&self, model: &occam_zoo::TaskModel) -> Result<Plan, ConfigError> {
        let wrong = |message: String| ConfigError::new(message).at(&self.value);
        let shaped = Shaped::new(model.graph.clone().into()).map_err(|e| wrong(e.to_string()))?;
        let units = self.mutator.units(shaped.trace())?;
        let fisher = self.mutator.unit().fisher().unwrap_or_default();
        // What no output depends on has no gradient, and would go first.
        let layers = live_layers(shaped.graph());
        let (mut mutable, mut linear) = (Vec::new(), 0);
        for (unit, own) in shaped.trace().units.iter().zip(&units) {
            let read_by = |fully: bool| {
                let read = layers.iter().filter(|l| l.linear == fully).map(|l| l.input);
                let mut read = read.filter(|i| unit.members.iter().any(|m| (m.value, m.axis) == *i));
                read.next().is_some()
            };
            let free = own.mutable && (read_by(false) || read_by(true));
            let skipped = !fisher.mutate_linear && read_by(true);
            linear += usize::from(free && skipped);
            mutable.push(free && !skipped);
        }
        if !mutable.contains(&true) {
            let error = wrong("no unit of the model may lose channels".into());
            return Err(match linear {
                0 => error.with_help("`occam inspect MODEL.onnx --units` tells why, of an exported model"),
                n => error.with_help(format!(
                    "fully connected layers read {n} of them, which may lose some with `mutate_linear=True` of the units"
                )),
            });
        }
        Ok(Plan { shaped, units, fisher, mutable })
    }
}

impl AlgorithmConfig for Config {
    fn build(self: Box<Self>, env: &Env<'_>) -> Result<Box<dyn Algorithm>> {
        let task = env.task_model(&self.keys.architecture)?;
        let Plan { shaped, units, fisher, mutable } = self.plan(&task)?;
        let data_preprocessor = self.keys.data_preprocessor.filter(|v| !is_empty(v));
        let data_preprocessor = data_preprocessor.or_else(|| task.data_preprocessor.clone());
        let importance = Accumulated::new(shaped.widths(), &mutable);
        Ok(Box::new(GroupFisherAlgorithm {
            model: Model::new(task, env.seed, &env.device)?,
            gains: Gains::new(fisher.normalization_type),
            shaped,
            mutator: self.mutator,
            units,
            mutable,
            interval: self.keys.interval,
            gates: None,
            importance,
            data_preprocessor,
        }))
    }

    fn check(&self, env: &Env<'_>) -> Result<()> {
        self.plan(&env.task_model(&self.keys.architecture)?)?;
        Ok(())
    }
}

/// `data_preprocessor={}` leaves that to the architecture.
fn is_empty(value: &Value) -> bool {
    value.is_none() || value.as_dict().is_some_and(|d| d.keys().next().is_none())
}

/// Trains a model and takes one channel away every `interval` iterations: the one on which the loss depends least, for what
/// it costs.
///
/// | key | default | |
/// |---|---|---|
/// | `architecture` | | the model, or `dict(cfg_path=..)` |
/// | `mutator` | `GroupFisherChannelMutator` | which units there are; see [`ChannelMutator`] and [`GroupFisherChannelUnit`](crate::units::GroupFisherChannelUnit) |
/// | `interval` | 10 | iterations from one channel to the next |
/// | `data_preprocessor` | the architecture's | how images are prepared |
///
/// The importance of channel `c` of a unit is
///
/// `Σ_batches Σ_samples (Σ_layers Σ_hw x_c · ∂L/∂x_c)² / Δ`
///
/// over the last `interval` batches, the convolutions (and, with `mutate_linear`, fully connected layers) that read the
/// channel, and the positions of what they read, with `L` the loss of the batch: a diagonal of the Fisher information of
/// factors on the channels. `Δ` is what removing one channel of the unit saves at the present widths, by
/// [`Normalization`](crate::units::Normalization). Sums are kept in `f64`.
///
/// Before each iteration whose number is a multiple of `interval`, but the first, the least important channel of the whole
/// model goes, and the importances begin anew. No unit loses its last channel; neither do units that fully connected layers
/// read, without `mutate_linear`. Batches with an infinite gradient, as `f16` has now and then, are left out.
///
/// Channels that go are gone, as in [`ItePruneAlgorithm`](super::ItePruneAlgorithm); how a training ends at a target says a
/// [`ResourceInfoHook`](crate::hooks::ResourceInfoHook).
///
/// Differences where the original is at fault: it looks for the least importance below 10⁵, and takes a channel of the first
/// unit where there is none; it removes the first channel after one batch, and counts depthwise convolutions twice in `Δ`,
/// here `Δ` is what the model really needs less. Grouped convolutions are measured, too.
///
/// Parameters are called `architecture.*`; the importances are in checkpoints.
pub struct GroupFisherAlgorithm {
    model: Model,
    shaped: Shaped,
    mutator: Box<ChannelMutator>,
    units: Units,
    mutable: Vec<bool>,
    interval: u64,
    /// Of the model as it is at present, once it was run.
    gates: Option<Gated>,
    gains: Gains,
    importance: Accumulated,
    data_preprocessor: Option<Value>,
}

struct Gated {
    gates: Gates,
    readers: Vec<Vec<Reader>>,
}

impl GroupFisherAlgorithm {
    fn gated(&self) -> Result<Gated> {
        let mutable = |i: usize| self.mutable.get(i).copied().unwrap_or(false);
        let trace = self.shaped.trace();
        let gates = Gates::new(self.model.graph(), of_units(trace, mutable)).map_err(failed)?;
        let readers = gates.readers(self.shaped.graph(), trace, self.shaped.widths());
        Ok(Gated { gates, readers })
    }

    /// Takes the least important channel away.
    fn prune(&mut self) -> Result<(Cuts, String)> {
        let Some((index, channel, least)) = self.importance.least(self.shaped.widths()) else {
            let batches = self.importance.batches;
            self.importance.reset(self.shaped.widths());
            let message = match batches {
                0 => "no channel was pruned: gradients were infinite",
                _ => "no channel was pruned: every unit has one left",
            };
            return Ok((Cuts::default(), message.into()));
        };
        let mut widths = self.shaped.widths().to_vec();
        if let Some(width) = widths.get_mut(index) {
            *width -= 1;
        }
        let cuts = self.shaped.prune(&mut self.model, PREFIX, &widths, |subject| {
            let of = |(i, u): (usize, &occam_space::Unit)| {
                let score = |c: usize| if i == index && c == channel { -1.0 } else { 0.0 };
                (0..u.channels).map(score).collect()
            };
            Ok(Some(subject.trace.units.iter().enumerate().map(of).collect()))
        })?;
        self.changed();
        let name = self.units.get(index).map(|u| u.name.as_str()).unwrap_or_default();
        let left = widths.get(index).copied().unwrap_or(0);
        Ok((cuts, format!("`{name}` lost a channel of importance {least:.3e}, {left} are left")))
    }

    /// The widths are others than before.
    fn changed(&mut self) {
        self.gates = None;
        self.gains.forget();
        self.importance.reset(self.shaped.widths());
    }
}

impl Algorithm for GroupFisherAlgorithm {
    fn train_step(&mut self, batch: &Batch, context: &StepContext) -> Result<Step> {
        let due = context.iter > 0 && context.iter.is_multiple_of(self.interval);
        let pruned = if due { Some(self.prune()?) } else { None };
        let gated = match self.gates.take() {
            Some(gated) => gated,
            None => self.gated()?,
        };
        let run =
            |model: &Model, leaves: &Bound, request: &Request| gated.gates.run(model, leaves, batch, request);
        let read = |leaves: Vec<occam_engine::Tensor>, gradients: &mut Gradients| {
            gated.gates.gradients(&leaves, gradients, batch.len())
        };
        let (step, found) = supervised_by(&mut self.model, PREFIX, batch, context, run, read)?;
        let gains = self.gains.of(&self.shaped, &self.mutable, batch.inputs.shape()).map_err(failed)?;
        let widths = self.shaped.widths();
        let of = |i: usize| {
            let readers = gated.readers.get(i).map(Vec::as_slice).unwrap_or_default();
            by_channel(readers, &found, widths.get(i).copied().unwrap_or(0))
        };
        self.importance.add(of, gains);
        self.gates = Some(gated);
        Ok(match pruned {
            Some((cuts, note)) => Step { cuts, notes: vec![note], ..step },
            None => step,
        })
    }

    fn adopt(&mut self, weights: &Weights) -> Result<()> {
        self.shaped.adopt(&mut self.model, weights)?;
        self.changed();
        Ok(())
    }

    fn state(&self) -> Result<Weights> {
        let mut state = Weights::new();
        state.insert("batches".into(), Array::from_i64([1], vec![self.importance.batches])?);
        for (unit, own) in self.shaped.trace().units.iter().zip(&self.importance.of) {
            if !own.is_empty() {
                state.insert(
                    format!("importance/{}", unit.name),
                    Array::new([own.len()], Data::F64(own.clone()))?,
                );
            }
        }
        Ok(state)
    }

    fn load_state(&mut self, state: &Weights) -> Result<()> {
        let wrong = |name: &str| Error::Other(format!("`{name}` is missing or of other widths"));
        let batches = state.get("batches").and_then(|a| a.as_i64().ok()?.first().copied());
        self.importance.batches = batches.ok_or_else(|| wrong("batches"))?;
        for (unit, own) in self.shaped.trace().units.iter().zip(&mut self.importance.of) {
            if own.is_empty() {
                continue;
            }
            let name = format!("importance/{}", unit.name);
            match state.get(&name).map(Array::data) {
                Some(Data::F64(found)) if found.len() == own.len() => own.clone_from(found),
                _ => return Err(wrong(&name)),
            }
        }
        Ok(())
    }

    fn units(&self) -> Vec<UnitState> {
        let trace = self.shaped.trace().units.iter().zip(self.shaped.widths());
        let rest = self.units.iter().zip(&self.mutable).zip(&self.importance.of);
        trace
            .zip(rest)
            .map(|((traced, &width), ((unit, &mutable), own))| UnitState {
                name: unit.name.clone(),
                channels: traced.channels,
                width,
                mutable,
                importance: own
                    .iter()
                    .copied()
                    .map(|x| [x, x])
                    .reduce(|a, b| [a[0].min(b[0]), a[1].max(b[1])]),
            })
            .collect()
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

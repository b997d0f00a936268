//! Compactors learn which channels go (Ding et al., ResRep, 2021, arXiv:2007.03260).

use std::sync::Arc;

use indexmap::IndexMap;
use occam_config::{Error as ConfigError, Registry, Value};
use occam_data::Batch;
use occam_engine::Tensor;
use occam_engine::schedule::Length;
use occam_graph::{Array, Bindings, DType, Graph, Weights};
use occam_space::{Estimator, Trace, TraceOptions, trace};
use occam_train::{Algorithm, AlgorithmConfig, Env, Error, Model, Result, Step, StepContext, supervised};
use serde::Deserialize;

use crate::compactor::{Place, identity, insert, kept_rows, merge, places, row_norms};
use crate::keys::{self, Time};
use crate::shaped::failed;
use crate::{Limits, Target, goal};

/// Prefix of the model's parameters.
const PREFIX: &str = "architecture.";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "`target` and `begin` are read by functions of their own")]
struct Keys {
    architecture: Value,
    target: Value,
    #[serde(default = "lasso")]
    lasso: f64,
    #[serde(default = "epsilon")]
    epsilon: f64,
    #[serde(default = "threshold")]
    threshold: f64,
    #[serde(default)]
    begin: Option<Value>,
    #[serde(default = "interval")]
    mask_interval: u64,
    #[serde(default = "per_mask")]
    channels_per_mask: usize,
    #[serde(default = "one")]
    min_channels: usize,
    #[serde(default)]
    keep: Vec<String>,
    #[serde(default)]
    data_preprocessor: Option<Value>,
}

fn lasso() -> f64 {
    1e-4
}
fn epsilon() -> f64 {
    1e-3
}
fn threshold() -> f64 {
    1e-5
}
fn interval() -> u64 {
    200
}
fn per_mask() -> usize {
    4
}
fn one() -> usize {
    1
}

struct Config {
    keys: Keys,
    target: Target,
    begin: Time,
    /// The whole dict, for the place of errors.
    value: Value,
}

pub(super) fn build(value: &Value, _: &Registry) -> Result<Box<dyn AlgorithmConfig>, ConfigError> {
    let keys: Keys = value.parse()?;
    let at = |key: &str, message: &str| Err(ConfigError::new(message).at(value.get(key).unwrap_or(value)));
    keys::positive(value, "lasso", keys.lasso)?;
    keys::positive(value, "threshold", keys.threshold)?;
    if !(keys.epsilon >= 0.0 && keys.epsilon.is_finite()) {
        return at("epsilon", "`epsilon` must be at least 0");
    }
    if keys.mask_interval == 0 {
        return at("mask_interval", "`mask_interval` must be at least 1");
    }
    if keys.channels_per_mask == 0 {
        return at("channels_per_mask", "`channels_per_mask` must be at least 1");
    }
    if keys.min_channels == 0 {
        return at("min_channels", "`min_channels` must be at least 1");
    }
    let target = goal::target(value)?;
    let begin = Time::from_config(value, "begin", Time::Steps(5))?;
    Ok(Box::new(Config { keys, target, begin, value: value.clone() }))
}

/// What a model without compactors says.
struct Plain {
    graph: Graph,
    units: Trace,
    places: Vec<Place>,
}

impl Config {
    fn plain(&self, model: &occam_zoo::TaskModel) -> Result<Plain, ConfigError> {
        let wrong = |message: String| ConfigError::new(message).at(&self.value);
        if model.file.is_some() {
            return Err(wrong(
                "a model that comes from an ONNX file gets no compactors: exporters fold its normalizations"
                    .into(),
            ));
        }
        let graph = model.graph.clone();
        let units = trace(&graph, &TraceOptions::default()).map_err(|e| wrong(e.to_string()))?;
        let mut limits = Limits { of_unit: vec![None; units.units.len()], ..Limits::default() };
        for pattern in &self.keys.keep {
            limits.at_most(&units, pattern, 0.0).map_err(|e| {
                ConfigError::new(e.to_string()).at(self.value.get("keep").unwrap_or(&self.value))
            })?;
        }
        let kept = limits.of_unit;
        let mut found = Vec::new();
        let mut why = None;
        for (unit, place) in places(&graph, &units) {
            match place {
                Ok(place) if kept.get(unit).is_none_or(Option::is_none) => found.push(place),
                Ok(_) => {}
                Err(reason) => {
                    let name = units.units.get(unit).map(|u| u.name.as_str()).unwrap_or_default();
                    why.get_or_insert_with(|| format!("`{name}`: {reason}"));
                }
            }
        }
        if found.is_empty() {
            let why = why.unwrap_or_else(|| "it has no channels that could be pruned".into());
            let error = wrong(format!("the model has no unit that could have a compactor: {why}"));
            return Err(error.with_help(
                "compactors follow a convolution with batch normalization that alone computes a unit",
            ));
        }
        Ok(Plain { graph, units, places: found })
    }
}

impl AlgorithmConfig for Config {
    fn build(self: Box<Self>, env: &Env<'_>) -> Result<Box<dyn Algorithm>> {
        let task = env.task_model(&self.keys.architecture)?;
        let Plain { graph, units, places } = self.plain(&task)?;
        let data_preprocessor =
            self.keys.data_preprocessor.clone().or_else(|| task.data_preprocessor.clone());
        let mut model = Model::new(task, env.seed, &env.device)?;
        let learns: Vec<String> =
            model.params.iter().filter(|(_, p)| p.trainable).map(|(n, _)| n.to_owned()).collect();
        let mut weights = model.params.to_weights()?;
        for place in &places {
            weights.insert(place.weight.clone(), identity(place.channels).map_err(failed)?);
        }
        model.reshape(insert(&graph, &places).map_err(failed)?, &weights)?;
        model.params.set_trainable(|name| {
            learns.iter().any(|n| n == name) || places.iter().any(|p| p.weight == name)
        });
        Ok(Box::new(ResRep {
            model,
            graph: Arc::new(graph),
            units,
            masks: places.iter().map(|p| (p.weight.clone(), vec![true; p.channels])).collect(),
            places,
            target: self.target,
            lasso: self.keys.lasso,
            epsilon: self.keys.epsilon,
            threshold: self.keys.threshold,
            begin: self.begin,
            interval: self.keys.mask_interval,
            per_mask: self.keys.channels_per_mask,
            least: self.keys.min_channels,
            plan: None,
            sizes: None,
            reached: false,
            config: self.value,
            data_preprocessor,
        }))
    }

    fn check(&self, env: &Env<'_>) -> Result<()> {
        self.plain(&env.task_model(&self.keys.architecture)?)?;
        Ok(())
    }
}

/// Trains a model with compactors, whose rows fade until a part of its MACs, parameters or activations is left; what is exported
/// has neither compactors nor the channels that faded.
///
/// | key | default | |
/// |---|---|---|
/// | `architecture` | | the model, or `dict(cfg_path=..)`; best with the weights of a finished training (`load_from`) |
/// | `target` | | the part that is left in the end: `dict(macs=0.5)`, or `params`, `activations` |
/// | `lasso` | 1e-4 | `λ`: how strongly all rows are pulled to 0 |
/// | `epsilon` | 1e-3 | rows with a smaller norm are pulled in proportion to it, so that they come to rest at 0; with 0, the paper's lasso, they jump around it by the learning rate times `λ` |
/// | `begin` | 5 | when channels are first chosen: an int of epochs (iterations where the training counts these), a float as a part of the training |
/// | `mask_interval` | 200 | iterations from one choice to the next |
/// | `channels_per_mask` | 4 | by how many channels a choice may be larger than the one before |
/// | `min_channels` | 1 | channels that a unit keeps at least |
/// | `threshold` | 1e-5 | rows with a norm below it are gone in what is exported |
/// | `keep` | `[]` | units and layers without compactors; `*` stands for any letters |
/// | `data_preprocessor` | the architecture's | how images are prepared |
///
/// Behind every convolution with batch normalization that alone computes a unit there is a compactor: a 1x1 convolution `Q`,
/// the identity at first, called `<convolution>.compactor`. Row `j` of its gradient is
/// `m_j · ∂L/∂Q_j + λ · Q_j / max(‖Q_j‖, epsilon)`: the gradient of the loss is reset (`m_j = 0`) for the channels that are
/// chosen to go, so that nothing holds them up, and the lasso's is not. A choice takes the rows with the smallest norms of all
/// compactors, one after the other, until the target is met or `channels_per_mask` times the number of choices are taken;
/// channels that were chosen before and grew again are given back.
///
/// The exported model has `Q · (s · w)` in place of convolution, normalization and compactor, without rows below `threshold`
/// ([`compactor::merge`](crate::compactor::merge)). Checkpoints hold the compactors. Residual streams, to which several layers
/// add, and units with depthwise convolutions or scales of their own behind the compactor have none and keep their width:
/// 0 would not stay 0 there. The paper's compactors have no weight decay and a momentum of 0.99:
/// `paramwise_cfg=dict(custom_keys={'compactor': dict(decay_mult=0.0, momentum=0.99)})`.
///
/// Parameters are called `architecture.*`.
pub struct ResRep {
    model: Model,
    /// The model without compactors, and its units.
    graph: Arc<Graph>,
    units: Trace,
    places: Vec<Place>,
    /// By compactor which rows the loss may move.
    masks: IndexMap<String, Vec<bool>>,
    target: Target,
    lasso: f64,
    epsilon: f64,
    threshold: f64,
    begin: Time,
    interval: u64,
    per_mask: usize,
    least: usize,
    /// The first choice and the end of the training, in iterations, once these are known.
    plan: Option<[u64; 2]>,
    /// Of images, once there was a batch.
    sizes: Option<Bindings>,
    /// Whether a choice met the target.
    reached: bool,
    config: Value,
    data_preprocessor: Option<Value>,
}

impl ResRep {
    fn tensor(&self, place: &Place) -> Result<Tensor> {
        let missing = || Error::Other(format!("the model has no parameter `{}`", place.weight));
        Ok(self.model.params.get(&place.weight).ok_or_else(missing)?.tensor.clone())
    }

    fn norms(&self) -> Result<Vec<Vec<f64>>> {
        self.places.iter().map(|p| Ok(row_norms(&self.tensor(p)?.to_f32()?, p.channels))).collect()
    }

    /// The part of the target's figure that is left where each place has so many channels.
    fn part(&self, widths: &[usize]) -> Result<f64> {
        let sizes = self.sizes.clone().unwrap_or_default();
        let estimator = Estimator::new(&self.graph, &self.units, &sizes).map_err(failed)?;
        let figure = |widths: &[usize]| self.figure(&estimator, widths);
        let full: Vec<usize> = self.places.iter().map(|p| p.channels).collect();
        Ok(figure(widths)? / figure(&full)?.max(1.0))
    }

    /// The target's figure where each place has so many channels.
    fn figure(&self, estimator: &Estimator<'_>, widths: &[usize]) -> Result<f64> {
        let mut all: Vec<usize> = self.units.units.iter().map(|u| u.channels).collect();
        for (place, &width) in self.places.iter().zip(widths) {
            if let Some(w) = all.get_mut(place.unit) {
                *w = width;
            }
        }
        Ok(self.target.kind.of(&estimator.at(&all).map_err(failed)?) as f64)
    }

    /// Takes the size of images from the first batch, and sees whether the target can be reached at all.
    fn prepare(&mut self, batch: &Batch) -> Result<()> {
        if self.sizes.is_some() {
            return Ok(());
        }
        self.sizes = Some(goal::sizes(&self.graph, batch));
        let least: Vec<usize> = self.places.iter().map(|p| self.least.min(p.channels)).collect();
        let smallest = self.part(&least)?;
        if smallest > self.target.part {
            let (what, part) = (self.target.kind.name(), self.target.part);
            let place = self.config.get("target").unwrap_or(&self.config);
            let message = format!(
                "{what} cannot be made {part:.3}: with {} channel left behind every compactor they are {smallest:.3}; units \
                 without a compactor, such as residual streams, keep their width",
                self.least
            );
            return Err(ConfigError::new(message).at(place).into());
        }
        Ok(())
    }

    /// Chooses up to `budget` channels that go; whether the target is met.
    fn choose(&mut self, budget: usize) -> Result<bool> {
        let mut rows: Vec<(f64, usize, usize)> = Vec::new();
        for (i, norms) in self.norms()?.into_iter().enumerate() {
            rows.extend(norms.into_iter().enumerate().map(|(row, norm)| (norm, i, row)));
        }
        rows.sort_by(|a, b| a.0.total_cmp(&b.0).then((a.1, a.2).cmp(&(b.1, b.2))));
        let mut masks: Vec<Vec<bool>> = self.places.iter().map(|p| vec![true; p.channels]).collect();
        let mut widths: Vec<usize> = self.places.iter().map(|p| p.channels).collect();
        let sizes = self.sizes.clone().unwrap_or_default();
        let estimator = Estimator::new(&self.graph, &self.units, &sizes).map_err(failed)?;
        let limit = self.figure(&estimator, &widths)? * self.target.part;
        let (mut taken, mut met) = (0, false);
        for (_, place, row) in rows {
            met = self.figure(&estimator, &widths)? <= limit;
            if met || taken == budget {
                break;
            }
            let (Some(width), Some(mask)) = (widths.get_mut(place), masks.get_mut(place)) else { continue };
            if *width > self.least
                && let Some(stays) = mask.get_mut(row)
            {
                *stays = false;
                *width -= 1;
                taken += 1;
            }
        }
        self.masks = self.places.iter().map(|p| p.weight.clone()).zip(masks).collect();
        Ok(met)
    }

    /// Resets the gradients of chosen rows and adds the lasso's.
    fn compact(&self, step: &mut Step) -> Result<()> {
        for (place, norms) in self.places.iter().zip(self.norms()?) {
            let Some(gradient) = step.gradients.get_mut(&format!("{PREFIX}{}", place.weight)) else {
                continue;
            };
            let column =
                |data: Vec<f32>| Tensor::from_f32(&[place.channels, 1, 1, 1], data, self.model.device());
            let pulls = norms.iter().map(|n| {
                let by = n.max(self.epsilon);
                if by > 0.0 { (self.lasso / by) as f32 } else { 0.0 }
            });
            let pulls = column(pulls.collect())?;
            let mask = self.masks.get(&place.weight).map(Vec::as_slice).unwrap_or_default();
            let mask = column(mask.iter().map(|&stays| f32::from(u8::from(stays))).collect())?;
            *gradient = gradient.mul(&mask)?.add(&self.tensor(place)?.mul(&pulls)?)?;
        }
        Ok(())
    }

    /// What people are told before the last step.
    fn summary(&self) -> Result<String> {
        let norms = self.norms()?;
        let kept: Vec<usize> = norms
            .iter()
            .map(|n| kept_rows(n, self.threshold).into_iter().filter(|&stays| stays).count())
            .collect();
        let all: usize = norms.iter().map(Vec::len).sum();
        let chosen = self.masks.values().flatten().filter(|stays| !**stays).count();
        let (faded, part, what) =
            (all - kept.iter().sum::<usize>(), self.part(&kept)?, self.target.kind.name());
        let more = match part > self.target.part {
            true => "; the target is not met: train longer, or with a larger `lasso` or `channels_per_mask`",
            false => "",
        };
        Ok(format!(
            "compactors: {chosen} of {all} channels are chosen, {faded} have faded; without these {part:.4} of the {what} \
             are left{more}"
        ))
    }
}

impl Algorithm for ResRep {
    fn train_step(&mut self, batch: &Batch, context: &StepContext) -> Result<Step> {
        self.prepare(batch)?;
        let mut notes = Vec::new();
        let [begin, end] = self.plan.unwrap_or([u64::MAX, u64::MAX]);
        if let Some(since) = context.iter.checked_sub(begin).filter(|s| s.is_multiple_of(self.interval)) {
            let choices = usize::try_from(since / self.interval).unwrap_or(usize::MAX).saturating_add(1);
            let met = self.choose(choices.saturating_mul(self.per_mask))?;
            if met && !self.reached {
                let chosen = self.masks.values().flatten().filter(|stays| !**stays).count();
                notes
                    .push(format!("the target is met once the {chosen} channels that are chosen have faded"));
            }
            self.reached = met;
        }
        let mut step = supervised(&mut self.model, PREFIX, batch, context)?;
        self.compact(&mut step)?;
        if context.iter + 1 == end {
            notes.push(self.summary()?);
        }
        step.notes = notes;
        Ok(step)
    }

    fn begin(&mut self, length: Length, by_epoch: bool) -> Result<()> {
        let begin = self.begin.iterations(length, by_epoch);
        if begin >= length.max_iters {
            let error = ConfigError::new(format!(
                "channels are first chosen after {begin} iterations, the training has {}",
                length.max_iters
            ))
            .with_help("train longer, or lower `begin`");
            return Err(error.at(self.config.get("begin").unwrap_or(&self.config)).into());
        }
        self.plan = Some([begin, length.max_iters]);
        Ok(())
    }

    fn may_lack(&self, name: &str) -> bool {
        self.places.iter().any(|p| p.weight == name)
    }

    fn exported(&self) -> Result<Option<(Graph, Weights)>> {
        let weights = self.model.params.to_weights()?;
        Ok(Some(merge(&self.graph, &weights, &self.places, self.threshold).map_err(failed)?))
    }

    fn state(&self) -> Result<Weights> {
        let mut state = Weights::new();
        for (name, mask) in &self.masks {
            let bytes: Vec<u8> = mask.iter().map(|&stays| u8::from(stays)).collect();
            state.insert(format!("mask.{name}"), Array::from_le_bytes(DType::U8, [mask.len()], &bytes)?);
        }
        state.insert("reached".into(), Array::from_le_bytes(DType::U8, [1], &[u8::from(self.reached)])?);
        Ok(state)
    }

    fn load_state(&mut self, state: &Weights) -> Result<()> {
        for (name, array) in state {
            let bytes = array.to_le_bytes();
            let mask = name.strip_prefix("mask.").and_then(|n| self.masks.get_mut(n));
            match mask {
                Some(mask) if bytes.len() == mask.len() => {
                    mask.iter_mut().zip(bytes).for_each(|(stays, byte)| *stays = byte != 0);
                }
                None if name == "reached" => self.reached = bytes.first().is_some_and(|b| *b != 0),
                _ => return Err(Error::Other(format!("`{name}` is no mask of this model's compactors"))),
            }
        }
        Ok(())
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

//! Steps an algorithm's parameters.

use indexmap::IndexMap;
use occam_config::{Dict, Error as ConfigError, Registry, Value};
use occam_engine::optim::{Optimizer, STEP, Settings, State};
use occam_engine::schedule::{Scheduled, Target};
use occam_engine::{Autocast, Device, Tensor};
use occam_graph::Weights;
use serde::{Deserialize, Serialize};

use super::amp::{self, Amp};
use super::clip::{Clip, two_norm};
use super::paramwise::Paramwise;
use crate::{Algorithm, Cuts, Error, GradientMap, Model, Result};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    optimizer: Value,
    #[serde(default)]
    clip_grad: Option<Value>,
    #[serde(default)]
    paramwise_cfg: Option<Value>,
    #[serde(default = "one")]
    accumulative_counts: u64,
    #[serde(default)]
    constructor: Option<Value>,
}

fn one() -> u64 {
    1
}

/// Parameters with the same settings.
struct Group {
    optimizer: Box<dyn Optimizer>,
    lr: Scheduled,
    momentum: Option<Scheduled>,
    weight_decay: Scheduled,
}

impl Group {
    fn new(optimizer: Box<dyn Optimizer>) -> Self {
        let Settings { lr, momentum, weight_decay } = optimizer.settings();
        let (lr, weight_decay) = (Scheduled::new(lr), Scheduled::new(weight_decay));
        Self { optimizer, lr, momentum: momentum.map(Scheduled::new), weight_decay }
    }

    fn settings(&self) -> Settings {
        Settings {
            lr: self.lr.value,
            momentum: self.momentum.map(|m| m.value),
            weight_decay: self.weight_decay.value,
        }
    }

    fn target(&mut self, target: Target) -> Option<&mut Scheduled> {
        match target {
            Target::Lr => Some(&mut self.lr),
            Target::Momentum => self.momentum.as_mut(),
            Target::WeightDecay => Some(&mut self.weight_decay),
        }
    }
}

/// What schedules have moved in a group, as the bits of `f64`: decimal text might round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupState {
    lr: [u64; 2],
    momentum: Option<[u64; 2]>,
    weight_decay: [u64; 2],
}

fn bits(s: Scheduled) -> [u64; 2] {
    [s.value.to_bits(), s.base.to_bits()]
}

fn scheduled([value, base]: [u64; 2]) -> Scheduled {
    Scheduled { value: f64::from_bits(value), base: f64::from_bits(base) }
}

/// Steps an algorithm's parameters.
///
/// | key of `optim_wrapper` | default | |
/// |---|---|---|
/// | `optimizer` | | `SGD`, `Adam`, `AdamW`, `RMSprop`, `Adagrad`, `Adadelta`, `Lamb` or `LARS` |
/// | `clip_grad` | None | `dict(max_norm=.., norm_type=2)`, or `dict(type='value', clip_value=..)` |
/// | `accumulative_counts` | 1 | iterations whose gradients are averaged for one step; the last step of a training averages those that are left |
/// | `paramwise_cfg` | None | settings for single parameters |
/// | `constructor` | `DefaultOptimWrapperConstructor` | `SeparateOptimWrapperConstructor`: see [`Optimizers`](super::Optimizers) |
/// | `dtype`, `loss_scale`, `use_fsdp` | | of `AmpOptimWrapper`: mixed precision |
///
/// The original loses gradients that were accumulated before a stop; here they are in checkpoints.
pub struct OptimWrapper {
    kind: String,
    clip: Option<Clip>,
    /// The first is that of parameters without settings of their own, be there any or not.
    groups: Vec<Group>,
    /// The group of each parameter that learns, by full name.
    members: IndexMap<String, usize>,
    accumulate: u64,
    pending: GradientMap,
    /// Iterations done.
    count: u64,
    /// Iterations in all.
    max_count: Option<u64>,
    amp: Option<Amp>,
}

/// The config of an optimizer with some arguments changed.
fn changed(config: &Value, changes: &Dict) -> Value {
    let mut config = config.clone();
    if let Some(dict) = config.as_dict_mut() {
        for (key, value) in changes.iter() {
            dict.insert(key.clone(), value.clone());
        }
    }
    config
}

impl OptimWrapper {
    /// Reads `optim_wrapper` for the parameters of `algorithm` that learn.
    ///
    /// # Errors
    /// A key is unknown or of the wrong type.
    pub fn from_config(value: &Value, registry: &Registry, algorithm: &dyn Algorithm) -> Result<Self> {
        Self::of_models(value, registry, &algorithm.models())
    }

    /// Reads `optim_wrapper` without a model, to see whether it is right.
    ///
    /// # Errors
    /// A key is unknown or of the wrong type.
    pub fn check(value: &Value, registry: &Registry) -> Result<()> {
        Self::of_models(value, registry, &[]).map(drop)
    }

    pub(super) fn of_models(value: &Value, registry: &Registry, models: &[(&str, &Model)]) -> Result<Self> {
        let (amp, value) = Amp::split(value)?;
        let value = &value;
        match value.type_name() {
            None | Some("OptimWrapper") => {}
            Some(name) => {
                let error = ConfigError::new(format!("there is no optim_wrapper `{name}`"));
                return Err(error.at(value.get("type").unwrap_or(value)).into());
            }
        }
        let config: Config = value.parse()?;
        if let Some(v) = config.constructor.filter(|v| !v.is_none()) {
            let name = v.as_str().or_else(|| v.type_name()).unwrap_or_default();
            let plain = name.rsplit('.').next().unwrap_or(name);
            if plain != "DefaultOptimWrapperConstructor" {
                let error = ConfigError::new(format!("there is no constructor `{name}` of optimizers"))
                    .with_help("known: DefaultOptimWrapperConstructor, SeparateOptimWrapperConstructor");
                return Err(error.at(&v).into());
            }
        }
        if config.accumulative_counts == 0 {
            let error = ConfigError::new("`accumulative_counts` must be at least 1");
            return Err(error.at(value.get("accumulative_counts").unwrap_or(value)).into());
        }
        let given = |v: Option<Value>| v.filter(|v| !v.is_none());
        let clip = given(config.clip_grad).map(|v| Clip::from_config(&v)).transpose()?;
        let paramwise = given(config.paramwise_cfg).map(|v| Paramwise::from_config(&v)).transpose()?;
        let optimizer = registry.build::<dyn Optimizer>(&config.optimizer)?;
        let kind = config.optimizer.type_name().unwrap_or_default().to_owned();
        let base = optimizer.settings();
        let mut wrapper = Self {
            kind,
            clip,
            groups: vec![Group::new(optimizer)],
            members: IndexMap::new(),
            accumulate: config.accumulative_counts,
            pending: GradientMap::new(),
            count: 0,
            max_count: None,
            amp,
        };
        let mut known = IndexMap::from([(String::new(), 0)]);
        for (prefix, model) in models {
            for (name, _) in model.params.iter().filter(|(_, p)| p.trainable) {
                let full = format!("{prefix}{name}");
                let own = match (&paramwise, model.graph().find(name)) {
                    (Some(p), Some(id)) => p.overrides(model.graph(), id, &full, &base)?,
                    _ => Dict::new(),
                };
                let key = if own.is_empty() { String::new() } else { Value::from(own.clone()).to_python() };
                let group = match known.get(&key) {
                    Some(&group) => group,
                    None => {
                        let own = registry.build::<dyn Optimizer>(&changed(&config.optimizer, &own))?;
                        wrapper.groups.push(Group::new(own));
                        known.insert(key, wrapper.groups.len() - 1);
                        wrapper.groups.len() - 1
                    }
                };
                wrapper.members.insert(full, group);
            }
        }
        Ok(wrapper)
    }

    /// Name of the optimizer.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The settings of each group for the next step; the first is that of parameters without settings of their own.
    pub fn settings(&self) -> impl ExactSizeIterator<Item = Settings> + '_ {
        self.groups.iter().map(Group::settings)
    }

    /// The settings of a parameter for the next step, by its full name; none where it does not learn.
    pub fn settings_of(&self, name: &str) -> Option<Settings> {
        Some(self.groups.get(*self.members.get(name)?)?.settings())
    }

    /// The learning rate of the next step, of the first parameter.
    pub fn lr(&self) -> f64 {
        let first = self.members.values().next().copied().unwrap_or(0);
        self.groups.get(first).map_or(0.0, |g| g.lr.value)
    }

    /// The learning rate of the next step without `paramwise_cfg`, where some parameter has its own.
    pub fn base_lr(&self) -> Option<f64> {
        self.groups.first().filter(|_| self.groups.len() > 1).map(|g| g.lr.value)
    }

    /// Multiplies all learning rates, before schedules start.
    pub fn scale_lr(&mut self, factor: f64) {
        for group in &mut self.groups {
            group.lr = Scheduled::new(group.lr.value * factor);
        }
    }

    /// Where the count of iterations stands, and where it will end.
    pub fn set_count(&mut self, done: u64, max: u64) {
        self.count = done;
        self.max_count = Some(max);
    }

    /// How many iterations are done.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Goes on after so many iterations, of a training whose end is not known.
    pub(super) fn set_updates(&mut self, done: u64) {
        self.count = done;
    }

    /// Whether it moves the parameter of that full name.
    pub(super) fn moves(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    /// Whether all groups have what a schedule moves.
    pub(super) fn has(&self, target: Target) -> bool {
        target != Target::Momentum || self.groups.iter().all(|g| g.momentum.is_some())
    }

    /// What a schedule moves, of every group that has it.
    pub(super) fn scheduled(&mut self, target: Target) -> impl Iterator<Item = &mut Scheduled> {
        self.groups.iter_mut().filter_map(move |g| g.target(target))
    }

    /// Moves the parameters that have a gradient. Returns the norm of the gradients before clipping: the 2-norm, or the one
    /// by which `clip_grad` clips; none where the gradients are only kept for a later step, or where the loss scale was too
    /// large for `f16`. Where the norm is not finite, nothing is moved.
    ///
    /// # Errors
    /// A gradient does not fit its parameter.
    pub fn step(&mut self, algorithm: &mut dyn Algorithm, gradients: GradientMap) -> Result<Option<f64>> {
        let Some(mut gradients) = self.accumulated(gradients)? else { return Ok(None) };
        let norm = two_norm(gradients.values())?;
        if let Some(amp) = &mut self.amp {
            amp.update(norm.is_finite());
        }
        if !norm.is_finite() {
            return Ok((!self.skipped()).then_some(norm));
        }
        let (clipped_by, norm) = match self.clip {
            Some(clip) => {
                let (own, after) = clip.apply(&mut gradients, norm)?;
                (own.unwrap_or(norm), after)
            }
            None => (norm, norm),
        };
        let factor = self.groups.first().map_or(1.0, |g| g.optimizer.gradient_factor(norm));
        if factor != 1.0 {
            for g in gradients.values_mut() {
                *g = g.scale(factor)?;
            }
        }
        for (prefix, model) in algorithm.models_mut() {
            let names: Vec<String> =
                model.params.iter().filter(|(_, p)| p.trainable).map(|(n, _)| n.to_owned()).collect();
            for name in names {
                let full = format!("{prefix}{name}");
                let group = self.members.get(&full).and_then(|&g| self.groups.get_mut(g));
                if let (Some(group), Some(grad)) = (group, gradients.swap_remove(&full)) {
                    let at = group.settings();
                    let optimizer = &mut group.optimizer;
                    model.params.update(&name, |param| optimizer.step(&full, param, &grad, &at))?;
                }
            }
        }
        Ok(Some(clipped_by))
    }

    /// How the next step is to be computed.
    pub fn autocast(&self) -> Autocast {
        self.amp.as_ref().map(Amp::autocast).unwrap_or_default()
    }

    /// Tells an algorithm's models how the next step is to be computed.
    pub fn prepare(&self, algorithm: &mut dyn Algorithm) {
        let autocast = self.autocast();
        for (_, model) in algorithm.models_mut() {
            model.set_autocast(autocast);
        }
    }

    /// Whether the last step moved nothing because the loss scale was too large for `f16`; training goes on with a smaller
    /// one.
    pub fn skipped(&self) -> bool {
        self.amp.as_ref().is_some_and(Amp::skipped)
    }

    /// Whether the norm that [`OptimWrapper::step`] returns is worth a log.
    pub fn clips_by_norm(&self) -> bool {
        matches!(self.clip, Some(Clip::Norm { .. }))
    }

    /// The gradients of a step, or none where more are to come.
    fn accumulated(&mut self, gradients: GradientMap) -> Result<Option<GradientMap>> {
        let (n, before) = (self.accumulate, self.count);
        self.count += 1;
        if n == 1 {
            return Ok(Some(gradients));
        }
        // The last step of a training has fewer iterations where their number is no multiple.
        let rest = self.max_count.map_or(0, |max| max % n);
        let in_rest = self.max_count.is_some_and(|max| before >= max - rest && rest > 0);
        let share = 1.0 / (if in_rest { rest } else { n }) as f64;
        for (name, gradient) in gradients {
            let part = gradient.scale(share)?;
            match self.pending.get_mut(&name) {
                Some(sum) => *sum = sum.add(&part)?,
                None => {
                    self.pending.insert(name, part);
                }
            }
        }
        let due = self.count.is_multiple_of(n) || self.max_count == Some(self.count);
        Ok(due.then(|| std::mem::take(&mut self.pending)))
    }

    /// Takes out of all tensors of its own what parameters lost.
    ///
    /// # Errors
    /// A tensor does not have its parameter's shape.
    pub fn cut(&mut self, cuts: &Cuts) -> Result<()> {
        if cuts.is_empty() {
            return Ok(());
        }
        for group in &mut self.groups {
            let mut state = group.optimizer.state();
            for (key, tensor) in &mut state {
                if let Some((name, slot)) = key.rsplit_once('.')
                    && slot != STEP
                {
                    *tensor = cuts.apply(name, tensor)?;
                }
            }
            group.optimizer.load_state(state)?;
        }
        for (name, gradient) in &mut self.pending {
            *gradient = cuts.apply(name, gradient)?;
        }
        Ok(())
    }

    /// The optimizer's own tensors, and the loss scale's state.
    pub fn state(&self) -> State {
        let mut state: State = self.groups.iter().flat_map(|g| g.optimizer.state()).collect();
        if let Some(amp) = &self.amp {
            amp.save(&mut state);
        }
        state
    }

    /// Gradients kept for a later step.
    pub fn pending(&self) -> &GradientMap {
        &self.pending
    }

    /// What schedules have moved.
    pub fn group_states(&self) -> Vec<GroupState> {
        let state = |g: &Group| GroupState {
            lr: bits(g.lr),
            momentum: g.momentum.map(bits),
            weight_decay: bits(g.weight_decay),
        };
        self.groups.iter().map(state).collect()
    }

    /// Continues from a state.
    ///
    /// # Errors
    /// It is of another optimizer, or of other groups of parameters.
    pub fn resume(
        &mut self,
        groups: &[GroupState],
        optimizer: &Weights,
        pending: &Weights,
        device: &Device,
    ) -> Result<()> {
        if groups.len() != self.groups.len() {
            let message = format!(
                "it has {} groups of parameters, this run has {}: `paramwise_cfg` differs",
                groups.len(),
                self.groups.len()
            );
            return Err(Error::Other(message));
        }
        let mut scaler = State::new();
        if let Some(array) = optimizer.get(amp::STATE) {
            scaler.insert(amp::STATE.to_owned(), Tensor::from_array(array, device)?);
        }
        amp::load(self.amp.as_mut(), &mut scaler)?;
        let mut states = vec![State::new(); self.groups.len()];
        for (key, array) in optimizer.iter().filter(|(key, _)| *key != amp::STATE) {
            let group = key.rsplit_once('.').and_then(|(name, _)| self.members.get(name));
            let Some(state) = group.and_then(|&g| states.get_mut(g)) else {
                return Err(Error::Other(format!("no parameter that learns belongs to `{key}`")));
            };
            state.insert(key.clone(), Tensor::from_array(array, device)?);
        }
        for ((group, state), saved) in self.groups.iter_mut().zip(states).zip(groups) {
            group.optimizer.load_state(state)?;
            group.lr = scheduled(saved.lr);
            group.momentum = saved.momentum.map(scheduled);
            group.weight_decay = scheduled(saved.weight_decay);
        }
        self.pending = pending
            .iter()
            .map(|(name, array)| Ok((name.clone(), Tensor::from_array(array, device)?)))
            .collect::<Result<_>>()?;
        Ok(())
    }
}

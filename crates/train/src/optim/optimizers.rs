//! The optimizers of a run: one for all parameters, or one for each part of an algorithm.

use indexmap::IndexMap;
use occam_config::{Dict, Error as ConfigError, Registry, Value};
use occam_engine::optim::{Settings, State};
use occam_engine::schedule::Schedule;
use occam_engine::{Autocast, Device};
use occam_graph::Weights;

use super::{GroupState, OptimWrapper};
use crate::error::refuse;
use crate::{Algorithm, Cuts, Error, GradientMap, Model, Result};

/// The constructor that gives each part an optimizer.
const SEPARATE: &str = "SeparateOptimWrapperConstructor";

/// The optimizers of a run.
///
/// With `constructor='SeparateOptimWrapperConstructor'` every other key of `optim_wrapper` is a part of the algorithm, such as
/// `architecture` and `mutator` of `DMCP`, with an [`OptimWrapper`] of its own as value: it moves the parameters whose names
/// begin with the part's. An optimizer steps where a step gave gradients for its part, and only then it counts an iteration, so
/// that `accumulative_counts` counts updates of that part. Without the constructor there is one [`OptimWrapper`].
///
/// A schedule of a `param_scheduler` list moves all optimizers, from the value that each has; `param_scheduler` may also be a
/// dict from parts to such lists.
///
/// Differences from the original: every part that learns must have an optimizer, where the original leaves those without one as they
/// are; and the norm of an iteration's gradients is the largest of its updates.
pub struct Optimizers {
    parts: IndexMap<String, OptimWrapper>,
}

/// The name of `constructor` without its package.
fn constructor(value: &Value) -> Option<&str> {
    let v = value.get("constructor")?;
    let name = v.as_str().or_else(|| v.type_name())?;
    name.rsplit('.').next()
}

/// The optimizer configs of a separate constructor by part; none where there is one for all.
fn separate(value: &Value) -> Result<Option<IndexMap<String, Value>>, ConfigError> {
    if constructor(value) != Some(SEPARATE) {
        return Ok(None);
    }
    let mut parts = IndexMap::new();
    for (key, own) in value.as_dict().into_iter().flat_map(Dict::iter) {
        match key.as_str() {
            Some("constructor") => {}
            Some(name @ ("type" | "accumulative_counts" | "clip_grad" | "paramwise_cfg" | "optimizer")) => {
                let message = format!("`{name}` must be given for each part with {SEPARATE}");
                return Err(ConfigError::new(message).at(own));
            }
            Some(_) if own.type_name() == Some("AmpOptimWrapper") => {
                let error = ConfigError::new("mixed precision needs one optimizer for all parameters");
                return Err(error.at(own));
            }
            Some(part) if own.as_dict().is_some() => {
                parts.insert(part.to_owned(), own.clone());
            }
            _ => return Err(ConfigError::new("an optimizer of a part must be a dict").at(own)),
        }
    }
    if parts.is_empty() {
        let error = ConfigError::new(format!("{SEPARATE} needs an optimizer for each part of the algorithm"));
        return Err(error.at(value));
    }
    Ok(Some(parts))
}

impl Optimizers {
    /// Reads `optim_wrapper` for the parameters of `algorithm` that learn.
    ///
    /// # Errors
    /// A key is unknown or of the wrong type, or a part is none of the algorithm or has no optimizer.
    pub fn from_config(value: &Value, registry: &Registry, algorithm: &dyn Algorithm) -> Result<Self> {
        let models = algorithm.models();
        let Some(configs) = separate(value)? else {
            let one = OptimWrapper::of_models(value, registry, &models)?;
            return Ok(Self { parts: IndexMap::from([(String::new(), one)]) });
        };
        let known: Vec<&str> = models.iter().filter_map(|(prefix, _)| prefix.strip_suffix('.')).collect();
        let mut parts = IndexMap::new();
        for (name, config) in &configs {
            let own: Vec<(&str, &Model)> =
                models.iter().copied().filter(|(p, _)| p.strip_suffix('.') == Some(name.as_str())).collect();
            if own.is_empty() {
                let error = ConfigError::new(format!("the algorithm has no part `{name}` to optimize"));
                let help = match known.as_slice() {
                    [] => "a model alone has one optimizer: leave `constructor` out".to_owned(),
                    known => format!("its parts: {}", known.join(", ")),
                };
                return Err(error.at(config).with_help(help).into());
            }
            parts.insert(name.clone(), OptimWrapper::of_models(config, registry, &own)?);
        }
        let learns = |model: &Model| model.params.iter().any(|(_, p)| p.trainable);
        let left =
            models.iter().find(|(p, model)| learns(model) && !parts.contains_key(p.trim_end_matches('.')));
        if let Some((prefix, _)) = left {
            let part = prefix.trim_end_matches('.');
            return Err(ConfigError::new(format!("the part `{part}` has no optimizer")).at(value).into());
        }
        Ok(Self { parts })
    }

    /// Reads `optim_wrapper` without a model, to see whether it is right.
    ///
    /// # Errors
    /// A key is unknown or of the wrong type.
    pub fn check(value: &Value, registry: &Registry) -> Result<()> {
        match separate(value)? {
            None => OptimWrapper::check(value, registry),
            Some(parts) => parts.values().try_for_each(|v| OptimWrapper::check(v, registry)),
        }
    }

    /// Whether each part has its own.
    fn are_separate(&self) -> bool {
        !self.parts.contains_key("")
    }

    /// The position of a part's optimizer.
    pub fn position(&self, part: &str) -> Option<usize> {
        self.parts.get_index_of(part)
    }

    /// Names of the parts; one without a name where there is one for all.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.parts.keys().map(String::as_str)
    }

    /// Names of the optimizers.
    pub fn kind(&self) -> String {
        let kinds: Vec<&str> = self.parts.values().map(OptimWrapper::kind).collect();
        kinds.join(" + ")
    }

    /// The settings of each group of each part for the next step; the first of a part is that of parameters without settings of
    /// their own.
    pub fn settings(&self) -> impl Iterator<Item = Settings> + '_ {
        self.parts.values().flat_map(OptimWrapper::settings)
    }

    /// The settings of a parameter for the next step, by its full name; none where it does not learn.
    pub fn settings_of(&self, name: &str) -> Option<Settings> {
        self.parts.values().find_map(|p| p.settings_of(name))
    }

    /// The learning rate of the next step, of the first parameter.
    pub fn lr(&self) -> f64 {
        self.parts.values().next().map_or(0.0, OptimWrapper::lr)
    }

    /// The learning rate of the next step of the first part without `paramwise_cfg`, where some parameter has its own.
    pub fn base_lr(&self) -> Option<f64> {
        self.parts.values().next().and_then(OptimWrapper::base_lr)
    }

    /// Multiplies all learning rates, before schedules start.
    pub fn scale_lr(&mut self, factor: f64) {
        self.parts.values_mut().for_each(|p| p.scale_lr(factor));
    }

    /// Where the count of iterations stands, and where it will end. Those of parts count their own updates, and know no end.
    pub fn set_count(&mut self, done: u64, max: u64) {
        if !self.are_separate() {
            self.parts.values_mut().for_each(|p| p.set_count(done, max));
        }
    }

    fn of(&mut self, part: Option<usize>) -> impl Iterator<Item = &mut OptimWrapper> {
        self.parts.values_mut().enumerate().filter(move |(i, _)| part.is_none_or(|p| p == *i)).map(|(_, p)| p)
    }

    /// Takes the first step of a schedule of one part's optimizer, or of all, before training.
    ///
    /// # Errors
    /// An optimizer has no momentum, but that is scheduled.
    pub fn start(&mut self, schedule: &mut Schedule, part: Option<usize>) -> Result<()> {
        let target = schedule.target();
        if let Some(without) = self.of(part).find(|p| !p.has(target)) {
            return refuse(format!("{} has no momentum that could be scheduled", without.kind()));
        }
        schedule.start(self.of(part).flat_map(|p| p.scheduled(target)));
        Ok(())
    }

    /// Takes a step of a schedule.
    pub fn advance(&mut self, schedule: &mut Schedule, part: Option<usize>) {
        let target = schedule.target();
        schedule.step(self.of(part).flat_map(|p| p.scheduled(target)));
    }

    /// Gives a schedule the figure that it follows.
    pub fn observe(&mut self, schedule: &mut Schedule, part: Option<usize>, figure: f64) {
        let target = schedule.target();
        schedule.observe(figure, self.of(part).flat_map(|p| p.scheduled(target)));
    }

    /// Moves the parameters that have a gradient, as [`OptimWrapper::step`] does. The norm is the largest of those of the
    /// optimizers that stepped.
    ///
    /// # Errors
    /// A gradient does not fit its parameter, or belongs to none.
    pub fn step(&mut self, algorithm: &mut dyn Algorithm, mut gradients: GradientMap) -> Result<Option<f64>> {
        if !self.are_separate() {
            return match self.parts.values_mut().next() {
                Some(one) => one.step(algorithm, gradients),
                None => Ok(None),
            };
        }
        let mut norm: Option<f64> = None;
        for part in self.parts.values_mut() {
            let (own, rest): (GradientMap, GradientMap) =
                gradients.into_iter().partition(|(name, _)| part.moves(name));
            gradients = rest;
            if own.is_empty() {
                continue;
            }
            if let Some(found) = part.step(algorithm, own)? {
                // Where one is not finite, that is told.
                norm = Some(norm.map_or(found, |n| {
                    if n.is_finite() && (found.is_nan() || found > n) { found } else { n }
                }));
            }
        }
        match gradients.keys().next() {
            Some(name) => Err(Error::Other(format!("no optimizer moves `{name}`"))),
            None => Ok(norm),
        }
    }

    /// How the next step is to be computed.
    pub fn autocast(&self) -> Autocast {
        self.parts.values().next().map(OptimWrapper::autocast).unwrap_or_default()
    }

    /// Tells an algorithm's models how the next step is to be computed.
    pub fn prepare(&self, algorithm: &mut dyn Algorithm) {
        for (name, part) in &self.parts {
            let autocast = part.autocast();
            let models = algorithm.models_mut().into_iter();
            for (_, model) in
                models.filter(|(p, _)| name.is_empty() || p.strip_suffix('.') == Some(name.as_str()))
            {
                model.set_autocast(autocast);
            }
        }
    }

    /// Whether the norm that [`Optimizers::step`] returns is worth a log.
    pub fn clips_by_norm(&self) -> bool {
        self.parts.values().any(OptimWrapper::clips_by_norm)
    }

    /// Takes out of all tensors of their own what parameters lost.
    ///
    /// # Errors
    /// A tensor does not have its parameter's shape.
    pub fn cut(&mut self, cuts: &Cuts) -> Result<()> {
        self.parts.values_mut().try_for_each(|p| p.cut(cuts))
    }

    /// The optimizers' own tensors, and the state of the loss scale where there is one.
    pub fn state(&self) -> State {
        self.parts.values().flat_map(OptimWrapper::state).collect()
    }

    /// Gradients kept for a later step.
    pub fn pending(&self) -> GradientMap {
        self.parts.values().flat_map(|p| p.pending().clone()).collect()
    }

    /// What schedules have moved.
    pub fn group_states(&self) -> Vec<GroupState> {
        self.parts.values().flat_map(OptimWrapper::group_states).collect()
    }

    /// How many updates each part had; none where there is one for all, which counts iterations.
    pub fn counts(&self) -> Vec<u64> {
        if self.are_separate() { self.parts.values().map(OptimWrapper::count).collect() } else { Vec::new() }
    }

    /// Continues from a state.
    ///
    /// # Errors
    /// It is of other optimizers, or of other groups of parameters.
    pub fn resume(
        &mut self,
        groups: &[GroupState],
        counts: &[u64],
        optimizer: &Weights,
        pending: &Weights,
        device: &Device,
    ) -> Result<()> {
        if !self.are_separate() {
            return match self.parts.values_mut().next() {
                Some(one) => one.resume(groups, optimizer, pending, device),
                None => Ok(()),
            };
        }
        if counts.len() != self.parts.len() {
            return refuse(format!("it has {} optimizers, this run has {}", counts.len(), self.parts.len()));
        }
        let name = |key: &str| key.rsplit_once('.').map_or(key, |(name, _)| name).to_owned();
        if let Some(key) = optimizer.keys().find(|k| !self.parts.values().any(|p| p.moves(&name(k)))) {
            return refuse(format!("no parameter that learns belongs to `{key}`"));
        }
        let mut rest = groups;
        for (part, &count) in self.parts.values_mut().zip(counts) {
            let Some((own, after)) = rest.split_at_checked(part.settings().len()) else {
                return refuse("it has fewer groups of parameters: `paramwise_cfg` differs");
            };
            rest = after;
            let of = |all: &Weights, own: &dyn Fn(&str) -> bool| -> Weights {
                all.iter().filter(|(k, _)| own(k)).map(|(k, a)| (k.clone(), a.clone())).collect()
            };
            let states = of(optimizer, &|k| part.moves(&name(k)));
            let waiting = of(pending, &|k| part.moves(k));
            part.resume(own, &states, &waiting, device)?;
            part.set_updates(count);
        }
        if rest.is_empty() {
            Ok(())
        } else {
            refuse("it has more groups of parameters: `paramwise_cfg` differs")
        }
    }
}

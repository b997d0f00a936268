//! What a training step does.

use std::any::Any;
use std::sync::Arc;

use indexmap::IndexMap;
use occam_config::{Registry, Value};
use occam_data::streams::Draw;
use occam_data::{Batch, Seed};
use occam_engine::schedule::Length;
use occam_engine::{Bound, Device, Gradients, Mode, Noise, Outputs, Request, Tensor, collect};
use occam_graph::{Graph, Weights};
use occam_zoo::{Architecture, Losses, Sites, TaskModel};

use crate::{Cuts, Error, GradientMap, Model, Result, Space};

/// Where a step stands in the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepContext {
    /// Epochs finished.
    pub epoch: u64,
    /// Iterations finished.
    pub iter: u64,
    /// Seed of the run; a step that draws takes a stream of its own, named by purpose and `iter`.
    pub seed: Seed,
}

impl StepContext {
    /// The random numbers of this step's runs of one model, called by its prefix (see [`Algorithm::models`]).
    ///
    /// They are a pure function of seed, iteration, model and node; so a resumed run draws what an uninterrupted one
    /// does, and two runs of one model in one step draw the same.
    pub fn noise(&self, model: &str) -> Arc<dyn Noise> {
        Arc::new(StepNoise { seed: self.seed, iter: self.iter, model: model.into() })
    }
}

/// See [`StepContext::noise`].
#[derive(Debug)]
struct StepNoise {
    seed: Seed,
    iter: u64,
    model: String,
}

impl Noise for StepNoise {
    fn uniform(&self, node: &str, out: &mut [f32]) {
        let mut stream = self.seed.stream(&format!("dropout.{}{node}", self.model), &[self.iter]);
        out.fill_with(|| stream.uniform_f32());
    }
}

/// What a training step gives: the runner steps the optimizer.
#[derive(Debug, Clone, Default)]
pub struct Step {
    /// Scalars to log.
    pub losses: IndexMap<String, f32>,
    /// Gradients by full parameter name (see [`Algorithm::models`]).
    pub gradients: GradientMap,
    /// What parameters lost before they were used: the runner takes it from the optimizer's tensors, too.
    pub cuts: Cuts,
    /// What people are to know of this step.
    pub notes: Vec<String>,
}

/// A channel unit of an architecture that is being pruned.
#[derive(Debug, Clone, PartialEq)]
pub struct UnitState {
    /// Its name in subnet files.
    pub name: String,
    /// Channels that it had in the beginning.
    pub channels: usize,
    /// Channels that are left.
    pub width: usize,
    /// Whether it may lose channels.
    pub mutable: bool,
    /// The least and the largest importance of those that are left, where one is measured.
    pub importance: Option<[f64; 2]>,
}

/// A way to train: what is computed from a batch.
///
/// An algorithm never steps an optimizer itself and knows nothing of distribution.
/// Hooks that serve one algorithm alone find it by its type (`dyn Any`).
pub trait Algorithm: Any + Send {
    /// Computes losses and gradients of one batch, and updates buffers.
    ///
    /// # Errors
    /// The batch does not fit, or a loss is no number.
    fn train_step(&mut self, batch: &Batch, context: &StepContext) -> Result<Step>;

    /// A further part of the same iteration, where an iteration has several updates: called after the gradients of the part
    /// before moved the parameters, with 1, 2, .. as `part`, until there is none. The iteration's figures are those of all
    /// parts.
    ///
    /// # Errors
    /// As [`Algorithm::train_step`].
    fn next_part(&mut self, part: usize, batch: &Batch, context: &StepContext) -> Result<Option<Step>> {
        let _ = (part, batch, context);
        Ok(None)
    }

    /// Makes [`Algorithm::architecture`] what follows from the present parameters, where it is not these themselves. Called
    /// before every validation, test and export.
    ///
    /// # Errors
    /// The device failed.
    fn settle(&mut self) -> Result<()> {
        Ok(())
    }

    /// The model that is evaluated and exported.
    fn architecture(&self) -> &Model;

    /// All models by the prefix of their parameters in checkpoints, such as `""`, or `"architecture."` and
    /// `"teacher."`. The one with trainable parameters comes first.
    fn models(&self) -> Vec<(&'static str, &Model)>;

    /// As [`Algorithm::models`].
    fn models_mut(&mut self) -> Vec<(&'static str, &mut Model)>;

    /// How its images are prepared, where its own config says so.
    fn data_preprocessor(&self) -> Option<&Value> {
        self.architecture().data_preprocessor()
    }

    /// What is allowed but likely not meant; the runner tells people before it trains.
    fn warnings(&self) -> &[String] {
        &[]
    }

    /// Told once how long a training will be and whether it counts epochs, before its first step.
    ///
    /// # Errors
    /// What the algorithm has to do does not fit in.
    fn begin(&mut self, length: Length, by_epoch: bool) -> Result<()> {
        let _ = (length, by_epoch);
        Ok(())
    }

    /// Gives the architecture the sizes that `weights`, by its own names, have, before they are loaded. An algorithm that never
    /// changes sizes does nothing, and neither does one whose architecture cannot be of these sizes.
    ///
    /// # Errors
    /// The device failed.
    fn adopt(&mut self, weights: &Weights) -> Result<()> {
        let _ = weights;
        Ok(())
    }

    /// What is known of the architecture's channel units at present, in order; none where it has none.
    fn units(&self) -> Vec<UnitState> {
        Vec::new()
    }

    /// The architecture with all its channels, where it may have lost some.
    fn whole(&self) -> Option<&Graph> {
        None
    }

    /// The forms of its architecture, where that has several which share their weights.
    fn space(&self) -> Option<&dyn Space> {
        None
    }

    /// What `weights` of a checkpoint, by full names, are as weights of this algorithm's models, before they are loaded; none
    /// where they are taken as they are.
    ///
    /// # Errors
    /// They look like weights that this algorithm makes others of, but do not fit.
    fn accept(&self, weights: &Weights) -> Result<Option<Weights>> {
        let _ = weights;
        Ok(None)
    }

    /// Whether weights that a training starts from may lack a parameter of the architecture, by its own name: it keeps its
    /// first value then.
    fn may_lack(&self, name: &str) -> bool {
        let _ = name;
        false
    }

    /// What a subnet file says of the architecture as it is at present; none where it has no channel units.
    fn subnet(&self) -> Option<serde_json::Value> {
        None
    }

    /// What is exported, where that is not the architecture as it is.
    ///
    /// # Errors
    /// The device failed.
    fn exported(&self) -> Result<Option<(Graph, Weights)>> {
        Ok(None)
    }

    /// Tensors beside the models' parameters that a run needs to go on, by names of its own; part of every checkpoint.
    ///
    /// # Errors
    /// The device failed.
    fn state(&self) -> Result<Weights> {
        Ok(Weights::new())
    }

    /// Goes on from what [`Algorithm::state`] gave; models have their weights already.
    ///
    /// # Errors
    /// It is of another algorithm, or does not fit.
    fn load_state(&mut self, state: &Weights) -> Result<()> {
        match state.keys().next() {
            None => Ok(()),
            Some(name) => Err(Error::Other(format!("`{name}` is of another algorithm"))),
        }
    }

    /// Whether a model is left out of checkpoints and of what must be loaded, since it never changes and can be
    /// made anew from its own checkpoint.
    fn is_frozen(&self, prefix: &str) -> bool {
        let _ = prefix;
        false
    }
}

/// What the parts of a run are built with.
pub struct Env<'a> {
    /// All components.
    pub registry: &'a Registry,
    /// Reads the configs that `cfg_path` names.
    pub loader: &'a occam_config::Loader,
    /// Seed of first values.
    pub seed: Seed,
    /// Where models run.
    pub device: Device,
}

/// The config of an algorithm.
pub trait AlgorithmConfig {
    /// Builds it.
    ///
    /// # Errors
    /// Its parts do not fit together, or a checkpoint cannot be read.
    fn build(self: Box<Self>, env: &Env<'_>) -> Result<Box<dyn Algorithm>>;

    /// Looks whether its parts fit together as far as graphs tell, without weights and checkpoints.
    ///
    /// # Errors
    /// They do not.
    fn check(&self, env: &Env<'_>) -> Result<()> {
        let _ = env;
        Ok(())
    }
}

impl Env<'_> {
    /// The task model of a config: `dict(type='ImageClassifier', ..)`, or `dict(cfg_path='mmcls::..',
    /// pretrained=False)`, which takes `model` of another config file; other keys of that dict take the place of the model's.
    ///
    /// # Errors
    /// The config is wrong.
    pub fn task_model(&self, value: &Value) -> Result<TaskModel> {
        let Some(path) = value.get("cfg_path") else {
            let built = self.registry.build::<dyn Architecture>(value)?.build();
            return built.map_err(|e| occam_config::Error::from(e).at(value).into());
        };
        if value.get("pretrained").and_then(Value::as_bool) == Some(true) {
            let error = occam_config::Error::new("weights are never downloaded")
                .at(value.get("pretrained").unwrap_or(value))
                .with_help("set `pretrained=False` and give a checkpoint, such as `teacher_ckpt`");
            return Err(error.into());
        }
        let Some(name) = path.as_str() else {
            return Err(occam_config::Error::new("`cfg_path` must be a str").at(path).into());
        };
        // A config of one line, so that scoped names are searched for as bases are.
        let base = format!("_base_ = [{}]\n", Value::from(name).to_python());
        let config = self.loader.load_str("cfg_path.py", &base).map_err(|e| e.at(path))?;
        let model = config
            .get("model")
            .ok_or_else(|| occam_config::Error::new(format!("{name} has no `model`")).at(path))?;
        let mut model = model.clone();
        for (key, own) in value.as_dict().into_iter().flat_map(occam_config::Dict::iter) {
            let is_own =
                key.as_str().is_some_and(|k| !k.starts_with('_') && !["cfg_path", "pretrained"].contains(&k));
            if let (true, Some(dict)) = (is_own, model.as_dict_mut()) {
                dict.insert(key.clone(), own.clone());
            }
        }
        self.task_model(&model)
    }

    /// The algorithm of a run's `model`: one registered by name, or a task model trained as it is.
    ///
    /// # Errors
    /// The config is wrong.
    pub fn algorithm(&self, value: &Value) -> Result<Box<dyn Algorithm>> {
        let known = self.registry.names::<dyn AlgorithmConfig>();
        if value.type_name().is_some_and(|name| known.contains(&name)) {
            return self.registry.build::<dyn AlgorithmConfig>(value)?.build(self);
        }
        let model = self.task_model(value)?;
        Ok(Box::new(Plain { model: Model::new(model, self.seed, &self.device)? }))
    }
}

/// Sum of the terms that are differentiated.
///
/// # Errors
/// There is none.
pub fn total(losses: &Losses) -> Result<Tensor> {
    let mut sum: Option<Tensor> = None;
    for (_, term) in losses.iter().filter(|(name, _)| name.contains("loss")) {
        let term = if term.len() == 1 { term.reshape(&[1])? } else { term.mean()? };
        sum = Some(match sum {
            Some(sum) => sum.add(&term)?,
            None => term,
        });
    }
    sum.ok_or_else(|| {
        Error::Other("no term of the loss has `loss` in its name, so nothing would be learned".into())
    })
}

/// The values of all terms, which must be numbers.
///
/// # Errors
/// One is not.
pub fn scalars(losses: &Losses, context: &StepContext) -> Result<IndexMap<String, f32>> {
    losses
        .iter()
        .map(|(name, term)| {
            let value = term.mean()?.item()?;
            if value.is_finite() {
                Ok((name.clone(), value))
            } else {
                Err(Error::Diverged { name: name.clone(), value, iter: context.iter + 1, kept: None })
            }
        })
        .collect()
}

/// A step of a model by its own loss; `prefix` is that of its parameters (see [`Algorithm::models`]).
///
/// # Errors
/// The model has nothing that could learn, the batch does not fit, or a loss is no number.
pub fn supervised(model: &mut Model, prefix: &str, batch: &Batch, context: &StepContext) -> Result<Step> {
    let run =
        |model: &Model, leaves: &Bound, request: &Request| Ok((model.forward(leaves, batch, request)?, ()));
    Ok(supervised_by(model, prefix, batch, context, run, |(), _| Ok(()))?.0)
}

/// As [`supervised`], of a model that `run` runs in its own way: it may have leaves of its own on the tape, whose gradients
/// `read` then takes.
///
/// # Errors
/// As [`supervised`], and those of `run` and `read`.
pub fn supervised_by<T, U>(
    model: &mut Model,
    prefix: &str,
    batch: &Batch,
    context: &StepContext,
    run: impl FnOnce(&Model, &Bound, &Request) -> Result<(Outputs, T)>,
    read: impl FnOnce(T, &mut Gradients) -> Result<U>,
) -> Result<(Step, U)> {
    if !model.params.iter().any(|(_, p)| p.trainable) {
        let message = "the model has no weights that could learn: all are frozen, or stored as integers";
        return Err(Error::Other(message.into()));
    }
    let leaves = model.params.leaves();
    let request = Request { noise: Some(context.noise(prefix)), ..Request::new(Mode::Train) };
    let (outputs, own) = run(model, &leaves, &request)?;
    let losses = model.loss(&outputs, batch, &mut Sites::default())?;
    let values = scalars(&losses, context)?;
    let mut gradients = total(&losses)?.backward()?;
    let read = read(own, &mut gradients)?;
    let found = collect(&leaves, &mut gradients);
    let gradients = found.into_iter().map(|(name, g)| (format!("{prefix}{name}"), g)).collect();
    model.keep_buffers(&outputs)?;
    Ok((Step { losses: values, gradients, ..Step::default() }, read))
}

/// A task model trained by its own loss.
struct Plain {
    model: Model,
}

impl Algorithm for Plain {
    fn train_step(&mut self, batch: &Batch, context: &StepContext) -> Result<Step> {
        supervised(&mut self.model, "", batch, context)
    }

    fn architecture(&self) -> &Model {
        &self.model
    }

    fn models(&self) -> Vec<(&'static str, &Model)> {
        vec![("", &self.model)]
    }

    fn models_mut(&mut self) -> Vec<(&'static str, &mut Model)> {
        vec![("", &mut self.model)]
    }
}

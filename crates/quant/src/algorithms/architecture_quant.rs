//! A model that rounds, beside the one that does not.

use std::path::Path;
use std::sync::Arc;

use indexmap::IndexMap;
use occam_config::{Error as ConfigError, Registry, Value};
use occam_data::{Batch, Loader};
use occam_engine::{Mode, Request, Tensor, collect};
use occam_graph::ops::BatchNorm;
use occam_graph::{Array, Graph, Op, Patch, Weights};
use occam_train::checkpoint::Checkpoint;
use occam_train::{Algorithm, AlgorithmConfig, Env, Error, Model, Result, Step, StepContext, scalars, total};
use occam_zoo::{Sites, TaskModel};
use serde::Deserialize;

use super::rounder::{Observing, Rounder, is_grid, learned_scales};
use crate::EPS;
use crate::lower::{LowerOptions, lower};
use crate::quantizers::{Placed, Prepared, Quantizer, deploy, fake_quantize, prepare};

/// Prefix of the parameters of the model that rounds.
const PREFIX: &str = "architecture.";
/// Prefix of those of the model that does not.
const ORIGINAL: &str = "original.";
/// The operator set of `QuantizeLinear` and `DequantizeLinear` in files; later ones have the same.
const OPSET: i64 = 17;
/// What the state says beside observers.
const LEARNING: &str = "learning";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "keys of the original that mean nothing here are read, too")]
struct Keys {
    architecture: Value,
    quantizer: Value,
    #[serde(default)]
    deploy_cfg: Option<Value>,
    #[serde(default)]
    data_preprocessor: Option<Value>,
    #[serde(default)]
    forward_modes: Option<Vec<String>>,
    #[serde(default)]
    float_checkpoint: Option<Value>,
    #[serde(default)]
    input_shapes: Option<Vec<i64>>,
    #[serde(default)]
    init_cfg: Option<Value>,
    #[serde(default)]
    float_teacher: Option<Teacher>,
}

/// The model that does not round as a teacher.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Teacher {
    tau: f64,
    loss_weight: f64,
}

impl Default for Teacher {
    fn default() -> Self {
        Self { tau: 1.0, loss_weight: 1.0 }
    }
}

struct Config {
    keys: Keys,
    quantizer: Arc<dyn Quantizer>,
    value: Value,
}

pub(super) fn build(value: &Value, registry: &Registry) -> Result<Box<dyn AlgorithmConfig>, ConfigError> {
    let keys: Keys = value.parse()?;
    let quantizer = registry.build::<dyn Quantizer>(&keys.quantizer)?.into();
    if let Some(init) = keys.init_cfg.as_ref().filter(|v| !v.is_none()) {
        return Err(ConfigError::new("`init_cfg` of the algorithm is not supported")
            .with_help("give it to the architecture, or use `float_checkpoint`")
            .at(init));
    }
    for mode in keys.forward_modes.iter().flatten() {
        if !["tensor", "predict", "loss"].contains(&mode.as_str()) {
            let error = ConfigError::new(format!("there is no mode `{mode}`, but tensor, predict and loss"));
            return Err(error.at(value.get("forward_modes").unwrap_or(value)));
        }
    }
    if let Some(teacher) = keys.float_teacher
        && !(teacher.tau > 0.0 && teacher.tau.is_finite() && teacher.loss_weight >= 0.0)
    {
        let error = ConfigError::new("`tau` must be above 0 and `loss_weight` at least 0");
        return Err(error.at(value.get("float_teacher").unwrap_or(value)));
    }
    Ok(Box::new(Config { keys, quantizer, value: value.clone() }))
}

impl Config {
    fn place(&self, task: &TaskModel) -> Result<Placed, ConfigError> {
        if task.file.is_some() {
            let error = ConfigError::new("a model that comes from an ONNX file is not quantized by a config");
            return Err(error
                .with_help("`occam quantize` does that; here use an architecture such as `ImageClassifier`")
                .at(self.value.get("architecture").unwrap_or(&self.value)));
        }
        let place = self.value.get("quantizer").unwrap_or(&self.value);
        let placed =
            self.quantizer.place(&task.graph).map_err(|e| ConfigError::new(e.to_string()).at(place))?;
        if placed.placement.points.is_empty() {
            return Err(ConfigError::new("nothing of this model is rounded").at(place));
        }
        Ok(placed)
    }
}

impl AlgorithmConfig for Config {
    fn build(self: Box<Self>, env: &Env<'_>) -> Result<Box<dyn Algorithm>> {
        let task = env.task_model(&self.keys.architecture)?;
        let placed = self.place(&task)?;
        let data_preprocessor =
            self.keys.data_preprocessor.clone().or_else(|| task.data_preprocessor.clone());
        let mut original = Model::new(task, env.seed, &env.device)?;
        let mut warnings = self.quantizer.warnings().to_vec();
        match self.keys.float_checkpoint.as_ref().filter(|v| !v.is_none()) {
            Some(path) => load(&mut original, path)?,
            None => warnings.push(
                "there is no `float_checkpoint`: unless `load_from` has weights, a model that never learned is quantized"
                    .into(),
            ),
        }
        let rules = self.quantizer.rules();
        let weights = original.params.to_weights()?;
        let float = original.graph().clone();
        let prepared = prepare(&float, &weights, &placed, rules).map_err(failed)?;
        let mut model = original.like(prepared.graph.clone(), &prepared.weights)?;
        let learns: Vec<String> =
            original.params.iter().filter(|(_, p)| p.trainable).map(|(n, _)| n.to_owned()).collect();
        model.params.set_trainable(|name| is_grid(name) || learns.iter().any(|n| n == name));
        original.params.set_trainable(|_| false);
        let rounder = Rounder::new(&prepared, &placed, rules).map_err(failed)?;
        Ok(Box::new(MMArchitectureQuant {
            scales: learned_scales(&prepared.graph).map_err(failed)?,
            model,
            original,
            prepared: Prepared { weights: Weights::new(), ..prepared },
            placed,
            quantizer: self.quantizer,
            rounder: Arc::new(rounder),
            phases: Phases::default(),
            learning: false,
            frozen: false,
            teacher: self.keys.float_teacher,
            data_preprocessor,
            warnings,
        }))
    }

    fn check(&self, env: &Env<'_>) -> Result<()> {
        self.place(&env.task_model(&self.keys.architecture)?)?;
        Ok(())
    }
}

/// When a training changes its manner, in epochs from 1; `None`: never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Phases {
    /// From when on grids stay as they are.
    pub disable_observer_begin: Option<u64>,
    /// From when on batch normalizations normalize by their running statistics, and keep these.
    pub freeze_bn_begin: Option<u64>,
    /// Whether grids that can learn do so after the first step, which sets them by its batch.
    pub learned_grids: bool,
}

/// Trains or calibrates a model that rounds its weights and values as a runtime will.
///
/// | key | default | |
/// |---|---|---|
/// | `architecture` | | the model, or `dict(cfg_path=..)` |
/// | `quantizer` | | what is rounded and by what; see [`quantizers`](crate::quantizers) |
/// | `float_checkpoint` | None | weights of the model from a finished training: safetensors or PyTorch; `load_from` does the same |
/// | `float_teacher` | None | `dict(tau=1, loss_weight=1)`: the model as it was before, which does not round, teaches: `loss_weight · tau² · KL(softmax(t / tau) ‖ softmax(s / tau))` of both models' first outputs is added to the loss as `float_teacher.loss` |
/// | `data_preprocessor` | the architecture's | how images are prepared |
/// | `deploy_cfg`, `forward_modes`, `input_shapes` | | accepted and without meaning: there is one graph for all modes, of any shape |
///
/// Every grid follows its observer while the model trains or is calibrated: a node observes what it is about to round, and
/// rounds by what follows, so that later nodes see rounded values (PyTorch's `FakeQuantize`). The weight of a convolution with
/// batch normalization is rounded as it will be when that is folded into it ([`prepare`]).
/// `LearnableFakeQuantize` learns its scale: [`LSQEpochBasedLoop`](crate::loops) lets the first step set it, and trains it from
/// then on.
///
/// Parameters are called `architecture.*`, their grids `architecture.<value>.quant.scale` and `.zero_point`. The model that
/// does not round keeps its own, `original.*`: in the original it shares the weights that are trained, so that it drifts
/// (open-mmlab/mmrazor#530). Weights of a float model can be loaded (`load_from`): both get them. Exported is the model with
/// folded batch normalizations ([`deploy`]) and integers in the file ([`lower`]).
pub struct MMArchitectureQuant {
    model: Model,
    original: Model,
    /// Its graph and nodes; without weights.
    prepared: Prepared,
    placed: Placed,
    quantizer: Arc<dyn Quantizer>,
    rounder: Arc<Rounder>,
    phases: Phases,
    /// Whether grids that can learn are set and do so.
    learning: bool,
    /// Whether batch normalizations are frozen.
    frozen: bool,
    /// Names of scales that learn.
    scales: Vec<String>,
    teacher: Option<Teacher>,
    data_preprocessor: Option<Value>,
    warnings: Vec<String>,
}

impl MMArchitectureQuant {
    /// When the training changes its manner.
    pub fn set_phases(&mut self, phases: Phases) {
        self.phases = phases;
    }

    /// The model that does not round.
    pub fn original(&self) -> &Model {
        &self.original
    }

    /// Where it rounds.
    pub fn placed(&self) -> &Placed {
        &self.placed
    }

    /// The quantizer.
    pub fn quantizer(&self) -> &dyn Quantizer {
        &*self.quantizer
    }

    /// Grids that no data reached yet, where any did not: by name.
    pub fn unseen(&self) -> Vec<String> {
        // Grids of a checkpoint need no data.
        let is_set = |name: &String| {
            let number = |part: &str| {
                let p = self.model.params.get(&format!("{name}.{part}"))?;
                p.tensor.to_f32().ok()
            };
            let is = |part: &str, v: f32| number(part).is_some_and(|list| list.iter().all(|&x| x == v));
            !(is("scale", 1.0) && is("zero_point", 0.0))
        };
        self.rounder.unseen().into_iter().filter(|name| !is_set(name)).collect()
    }

    /// Calibrates: runs up to `steps` batches by the running statistics, while all grids follow what passes and later nodes see
    /// rounded values; earlier calibration is forgotten. Returns the number of batches.
    ///
    /// # Errors
    /// The data cannot be read, do not fit, or give values that are not finite; or there are none.
    pub fn calibrate(&mut self, loader: &Loader, steps: u64) -> Result<u64> {
        let steps = usize::try_from(steps).unwrap_or(usize::MAX);
        self.calibrate_by(loader.epoch(0, 0).take(steps).map(|batch| Ok(batch?)))
    }

    /// As [`MMArchitectureQuant::calibrate`], by any batches.
    ///
    /// # Errors
    /// As there.
    pub fn calibrate_by(&mut self, batches: impl IntoIterator<Item = Result<Batch>>) -> Result<u64> {
        self.rounder.reset();
        let params = self.model.params.constants();
        let grids = self.rounder.run(Observing::All);
        let request = Request { grids: Some(grids), ..Request::new(Mode::Eval) };
        let mut done = 0;
        for batch in batches {
            self.model.forward(&params, &batch?, &request)?;
            done += 1;
        }
        if done == 0 {
            return Err(Error::Other("there are no calibration data: no batch was read".into()));
        }
        self.rounder.commit(&mut self.model)?;
        self.learning = true;
        Ok(done)
    }

    /// The graph that is deployed, with its weights; see [`deploy`].
    ///
    /// # Errors
    /// As [`deploy`].
    pub fn deployed(&self) -> Result<(Graph, Weights)> {
        let trained = self.model.params.to_weights()?;
        let (rules, quants) = (self.quantizer.rules(), &self.prepared.quants);
        let float = self.original.graph();
        deploy(float, &trained, &self.placed, rules, quants, &self.prepared.graph).map_err(failed)
    }

    /// Changes the manner to that of an epoch, counted from 0.
    fn enter(&mut self, epoch: u64) -> Result<()> {
        let begun = |begin: Option<u64>| begin.is_some_and(|b| epoch + 1 >= b);
        let frozen = begun(self.phases.freeze_bn_begin);
        if frozen == self.frozen {
            return Ok(());
        }
        self.frozen = frozen;
        let mut graph = self.prepared.graph.clone();
        let mut patch = Patch::new("freeze_bn");
        for (id, node) in self.prepared.graph.nodes() {
            if let Op::BatchNorm(op) = &node.op {
                patch.set_op(id, BatchNorm { frozen: op.frozen || frozen, ..*op });
            }
        }
        patch.apply(&mut graph)?;
        let weights = self.model.params.to_weights()?;
        self.model.reshape(graph, &weights)
    }

    fn observing(&self, epoch: u64) -> Observing {
        if self.phases.learned_grids {
            return if self.learning { Observing::Fixed } else { Observing::All };
        }
        match self.phases.disable_observer_begin {
            Some(begin) if epoch + 1 >= begin => Observing::Nobody,
            _ => Observing::All,
        }
    }

    /// Keeps scales that learn above 0.
    fn bound(&mut self) -> Result<()> {
        for name in &self.scales {
            let Some(param) = self.model.params.get(name) else { continue };
            if param.tensor.to_f32()?.iter().any(|&s| s < EPS) {
                self.model.params.update(name, |t| t.clamp(f64::from(EPS), f64::from(f32::MAX)))?;
            }
        }
        Ok(())
    }

    fn taught(&self, teacher: Teacher, output: &Tensor, batch: &Batch) -> Result<Tensor> {
        let params = self.original.params.constants();
        let own = self.original.forward(&params, batch, &Request::new(Mode::Eval))?;
        let none = || Error::Other("a model without outputs cannot teach".into());
        let tau = 1.0 / teacher.tau;
        let wanted = own.outputs.first().ok_or_else(none)?.detach().scale(tau)?;
        let (p, log_p) = (wanted.softmax(1)?, wanted.log_softmax(1)?);
        let log_s = output.scale(tau)?.log_softmax(1)?;
        let sum = p.mul(&log_p.sub(&log_s)?)?.sum()?;
        let images = output.dim(0)?.max(1) as f64;
        Ok(sum.scale(teacher.loss_weight * teacher.tau * teacher.tau / images)?)
    }
}

impl Algorithm for MMArchitectureQuant {
    fn train_step(&mut self, batch: &Batch, context: &StepContext) -> Result<Step> {
        self.enter(context.epoch)?;
        self.bound()?;
        let leaves = self.model.params.leaves();
        let request = Request {
            noise: Some(context.noise(PREFIX)),
            grids: Some(self.rounder.run(self.observing(context.epoch))),
            ..Request::new(Mode::Train)
        };
        let outputs = self.model.forward(&leaves, batch, &request)?;
        let mut losses = self.model.loss(&outputs, batch, &mut Sites::default())?;
        if let (Some(teacher), Some(output)) = (self.teacher, outputs.outputs.first()) {
            losses.insert("float_teacher.loss".into(), self.taught(teacher, output, batch)?);
        }
        let values = scalars(&losses, context)?;
        let mut gradients = total(&losses)?.backward()?;
        let found = collect(&leaves, &mut gradients);
        let gradients: IndexMap<String, Tensor> =
            found.into_iter().map(|(name, g)| (format!("{PREFIX}{name}"), g)).collect();
        self.model.keep_buffers(&outputs)?;
        self.rounder.commit(&mut self.model)?;
        self.learning = true;
        Ok(Step { losses: values, gradients, ..Step::default() })
    }

    fn architecture(&self) -> &Model {
        &self.model
    }

    fn models(&self) -> Vec<(&'static str, &Model)> {
        vec![(PREFIX, &self.model), (ORIGINAL, &self.original)]
    }

    fn models_mut(&mut self) -> Vec<(&'static str, &mut Model)> {
        vec![(PREFIX, &mut self.model), (ORIGINAL, &mut self.original)]
    }

    fn data_preprocessor(&self) -> Option<&Value> {
        self.data_preprocessor.as_ref()
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn settle(&mut self) -> Result<()> {
        self.bound()
    }

    /// Weights of a float model are those of the model that does not round, too.
    fn adopt(&mut self, weights: &Weights) -> Result<()> {
        if !weights.keys().any(|name| is_grid(name)) {
            self.original.load_part(weights)?;
        }
        Ok(())
    }

    fn may_lack(&self, name: &str) -> bool {
        is_grid(name)
    }

    /// Integers in the file, of what is deployed.
    fn exported(&self) -> Result<Option<(Graph, Weights)>> {
        let (graph, weights) = self.deployed()?;
        let table = self.quantizer.table();
        if table.fake_quantize {
            return fake_quantize(&graph, &weights).map(Some).map_err(failed);
        }
        let integer_bias = table.integer_bias;
        let options = LowerOptions { opset: OPSET, integer_bias, pack: false };
        lower(&graph, &weights, options).map(Some).map_err(failed)
    }

    fn state(&self) -> Result<Weights> {
        let mut state = self.rounder.state().map_err(failed)?;
        let learning = f32::from(u8::from(self.learning));
        state.insert(LEARNING.into(), Array::from_f32([1], vec![learning])?);
        Ok(state)
    }

    fn load_state(&mut self, state: &Weights) -> Result<()> {
        let mut state = state.clone();
        let learning = state.shift_remove(LEARNING);
        self.learning = match learning {
            Some(array) => array.as_f32()?.first().is_some_and(|&v| v != 0.0),
            None => return Err(Error::Other(format!("there is no `{LEARNING}` in it"))),
        };
        self.rounder.load_state(&state).map_err(failed)
    }
}

/// An error of this crate as one of a training.
pub(crate) fn failed(error: crate::Error) -> Error {
    match error {
        crate::Error::Engine(e) => e.into(),
        crate::Error::Graph(e) => e.into(),
        other => Error::Other(other.to_string()),
    }
}

/// Gives a model the weights of a file.
fn load(model: &mut Model, path: &Value) -> Result<()> {
    let Some(name) = path.as_str() else {
        let found = path.kind.python_name();
        let error = ConfigError::new(format!("`float_checkpoint` must be a str, found {found}"));
        return Err(error.at(path).into());
    };
    if name.contains("://") {
        return Err(ConfigError::new("weights are never downloaded")
            .at(path)
            .with_help("download the file and give its path")
            .into());
    }
    let place = |error: Error| {
        let error = ConfigError::from(error);
        let message = format!("the float model cannot be loaded from {name:?}: {}", error.message());
        Error::Config(ConfigError::new(message).at(path))
    };
    let checkpoint = Checkpoint::load(Path::new(name)).map_err(place)?;
    let weights = checkpoint.architecture(model.graph()).map_err(place)?;
    model.load(&weights).map_err(place)
}

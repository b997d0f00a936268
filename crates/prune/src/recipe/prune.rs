//! Prunes a trained model and trains what is left.

use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use occam_config::{Error as ConfigError, Registry, Value};
use occam_data::Loader;
use occam_graph::{Bindings, Graph};
use occam_space::{Trace, TraceOptions, shrink, subnet, trace};
use occam_train::export::{load, write_weights};
use occam_train::recipe::{Bench, Plan, Product, RecipeStep, Trained, check_names};
use occam_train::{AlgorithmConfig, Model, Result, Resume, RunOptions, Runner};
use occam_zoo::Architecture;
use serde::Deserialize;
use serde_json::json;

use crate::importance::{Subject, observe};
use crate::shaped::failed;
use crate::{Importance, Limits, Normalizer, Outcome, Scope, Scores, Solver, Target, TargetKind};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    name: String,
    model: String,
    #[serde(default)]
    macs: Option<f64>,
    #[serde(default)]
    params: Option<f64>,
    #[serde(default)]
    activations: Option<f64>,
    #[serde(default = "group_l2")]
    importance: String,
    #[serde(default = "many")]
    images: usize,
    #[serde(default = "mean")]
    normalizer: String,
    #[serde(default)]
    uniform: bool,
    #[serde(default = "eight")]
    round_to: usize,
    #[serde(default = "nine_tenths")]
    max_ratio: f64,
    #[serde(default)]
    keep: Vec<String>,
    #[serde(default)]
    ratio: IndexMap<String, f64>,
    #[serde(default)]
    seeds: Option<Vec<u64>>,
    #[serde(default = "yes")]
    finetune: bool,
    #[serde(default)]
    distill: Option<Distill>,
    #[serde(default)]
    cfg: Option<Value>,
}

fn group_l2() -> String {
    "group-l2".into()
}

fn many() -> usize {
    256
}

fn mean() -> String {
    "mean".into()
}

fn eight() -> usize {
    8
}

fn nine_tenths() -> f64 {
    0.9
}

fn yes() -> bool {
    true
}

/// Whether and how the model before pruning teaches.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, expecting = "a bool, or a dict with `tau` and `loss_weight`")]
enum Distill {
    Switch(bool),
    Settings(DistillSettings),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct DistillSettings {
    tau: f64,
    loss_weight: f64,
}

impl Default for DistillSettings {
    fn default() -> Self {
        Self { tau: 4.0, loss_weight: 1.0 }
    }
}

/// `Prune`: removes the channels of an earlier model that matter least, and trains what is left.
///
/// | key | default | |
/// |---|---|---|
/// | `name` | | what later steps and the table call it; also the folder in the work directory |
/// | `model` | | the name of an earlier model |
/// | `macs`, `params`, `activations` | | one of them: the part of it that is left, above 0 and at most 1, as `occam prune` has it |
/// | `importance`, `normalizer` | `'group-l2'`, `'mean'` | which channels matter, as in `occam prune` |
/// | `images` | 256 | training images on which an importance is measured that needs some, as an epoch brings them, in whole batches |
/// | `uniform` | False | whether every unit loses the same part |
/// | `round_to` | 8 | widths are multiples of this |
/// | `max_ratio` | 0.9 | the part of a unit that may go at most |
/// | `keep` | `[]` | units and layers that stay as they are; `*` stands for any letters |
/// | `ratio` | `{}` | by such a name the part that may go at most |
/// | `seeds` | those of the earlier model | each prunes the training of its seed, else the first |
/// | `finetune` | True | whether the smaller model is trained |
/// | `distill` | False | whether the earlier model is its teacher: True, or `dict(tau=4, loss_weight=1)` of the Kullback-Leibler divergence between the outputs |
/// | `cfg` | `dict()` | settings of its training that differ from the recipe's, such as `dict(train_cfg=dict(max_epochs=4))` |
///
/// The smaller model's config is a `GroupFisherDeploySubModel` of the earlier model's architecture, or an `OnnxClassifier` of a
/// smaller file where that comes from a file; `pruned.safetensors` (or `pruned.onnx`) beside its training holds what pruning
/// left of the weights.
struct Prune {
    config: Config,
    target: Target,
    importance: &'static Importance,
    normalizer: Normalizer,
}

pub(super) fn build(value: &Value, _: &Registry) -> Result<Box<dyn RecipeStep>, ConfigError> {
    let config: Config = value.parse()?;
    check_names(&config.name, config.seeds.as_deref(), value)?;
    let at = |key: &str, error: ConfigError| error.at(value.get(key).unwrap_or(value));
    let targets: Vec<(&str, Target)> = [
        ("macs", TargetKind::Macs, config.macs),
        ("params", TargetKind::Params, config.params),
        ("activations", TargetKind::Activations, config.activations),
    ]
    .into_iter()
    .filter_map(|(key, kind, part)| Some((key, Target { kind, part: part? })))
    .collect();
    let &[(key, target)] = targets.as_slice() else {
        let error = ConfigError::new("`Prune` needs one of `macs`, `params` and `activations`");
        return Err(error.with_help("the part of it that is left, such as macs=0.5").at(value));
    };
    if !(target.part > 0.0 && target.part <= 1.0) {
        return Err(at(key, ConfigError::new(format!("`{key}` must be above 0 and at most 1"))));
    }
    if config.images == 0 {
        return Err(at("images", ConfigError::new("`images` must be at least 1")));
    }
    if config.round_to == 0 {
        return Err(at("round_to", ConfigError::new("`round_to` must be at least 1")));
    }
    let part = |x: &f64| (0.0..=1.0).contains(x);
    if !part(&config.max_ratio) {
        return Err(at("max_ratio", ConfigError::new("`max_ratio` must be in 0..=1")));
    }
    if let Some((name, _)) = config.ratio.iter().find(|(_, x)| !part(x)) {
        return Err(at("ratio", ConfigError::new(format!("the part of `{name}` must be in 0..=1"))));
    }
    if let Some(Distill::Settings(d)) = &config.distill
        && !(d.tau > 0.0 && d.loss_weight >= 0.0)
    {
        return Err(at("distill", ConfigError::new("`tau` must be above 0, `loss_weight` at least 0")));
    }
    let unknown = |kind: &str, name: &str, known: Vec<&'static str>| {
        let error = ConfigError::new(format!("there is no {kind} `{name}`"));
        let help = match occam_config::suggest(name, known.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`? known: {}", known.join(", ")),
            None => format!("known: {}", known.join(", ")),
        };
        at(kind, error.with_help(help))
    };
    let importance = Importance::find(&config.importance).ok_or_else(|| {
        unknown("importance", &config.importance, Importance::all().iter().map(|i| i.name).collect())
    })?;
    let normalizer = Normalizer::ALL.iter().find(|(name, _)| *name == config.normalizer);
    let normalizer = normalizer.map(|(_, n)| *n).ok_or_else(|| {
        unknown("normalizer", &config.normalizer, Normalizer::ALL.iter().map(|(n, _)| *n).collect())
    })?;
    Ok(Box::new(Prune { config, target, importance, normalizer }))
}

impl RecipeStep for Prune {
    fn title(&self) -> String {
        format!("prune {} to {}", self.config.model, self.config.name)
    }

    fn check(&self, plan: &mut Plan, bench: &Bench<'_>) -> Result<()> {
        plan.need(&self.config.model)?;
        plan.make(&self.config.name)?;
        bench.run_config(Value::from(""), self.config.cfg.as_ref())?;
        Ok(())
    }

    fn run(&self, bench: &mut Bench<'_>) -> Result<()> {
        let c = &self.config;
        let seeds = match &c.seeds {
            Some(seeds) => seeds.clone(),
            None => bench.product(&c.model)?.runs.iter().map(|r| r.seed).collect(),
        };
        let mut product = Product { runs: Vec::new() };
        for &seed in &seeds {
            let source = bench.trained(&c.model, seed)?.clone();
            product.runs.push(self.one(bench, &source, seed, seeds.len() > 1)?);
        }
        bench.products.insert(c.name.clone(), product);
        Ok(())
    }
}

/// A model's config without the algorithm that trained it.
fn architecture<'a>(model: &'a Value, registry: &Registry) -> &'a Value {
    let known = registry.names::<dyn Architecture>();
    let algorithms = registry.names::<dyn AlgorithmConfig>();
    let name = model.type_name().unwrap_or_default();
    let wrapped = algorithms.contains(&name) && !known.contains(&name);
    model.get("architecture").filter(|_| wrapped).unwrap_or(model)
}

/// A dict with parts that are values already.
fn dict(plain: serde_json::Value, parts: Vec<(&str, Value)>) -> Value {
    let mut value = Value::from_json(&plain);
    if let Some(dict) = value.as_dict_mut() {
        for (key, part) in parts {
            dict.insert(key, part);
        }
    }
    value
}

impl Prune {
    /// Prunes one training, and trains what is left.
    fn one(&self, bench: &mut Bench<'_>, source: &Trained, seed: u64, several: bool) -> Result<Trained> {
        let c = &self.config;
        let folder = bench.folder(&c.name, seed, several);
        let io = |source| occam_train::Error::Io { path: folder.clone(), source };
        std::fs::create_dir_all(&folder).map_err(io)?;
        let before = source.config.get("model").cloned().unwrap_or_default();
        let before = architecture(&before, bench.registry).clone();
        let batches = match self.importance.needs() {
            Some(_) => Some(batches(bench, source, &before, seed)?),
            None => None,
        };
        let runner = load(bench, source)?;
        let trained = runner.algorithm().architecture();
        let size = runner.image_size();
        let made = size.and_then(|size| self.shrink(trained, size, batches.as_ref(), seed, &folder, &before));
        bench.return_reporter(runner.into_reporter());
        let Made { model, weights, said } = made?;
        bench.message(&said);
        let teaches = match &c.distill {
            Some(Distill::Switch(true)) => Some(DistillSettings::default()),
            Some(Distill::Settings(settings)) => Some(settings.clone()),
            Some(Distill::Switch(false)) | None => None,
        };
        let model = match teaches.filter(|_| c.finetune) {
            None => model,
            Some(settings) => taught(model, before, source, &settings),
        };
        let mut config = bench.run_config(model, c.cfg.as_ref())?;
        if let (Some(path), Some(dict)) = (&weights, config.as_dict_mut()) {
            dict.insert("load_from", Value::from(path.display().to_string().as_str()));
        }
        match (c.finetune, weights) {
            (true, _) => bench.train(&c.name, config, seed, several),
            (false, Some(checkpoint)) => Ok(Trained { seed, config, checkpoint, onnx: None }),
            (false, None) => {
                // The file has the weights; the run that loads them wants a checkpoint of these.
                let checkpoint = folder.join("pruned.safetensors");
                write_weights(bench, &config, seed, &checkpoint)?;
                Ok(Trained { seed, config, checkpoint, onnx: None })
            }
        }
    }

    /// Makes the smaller model of a trained one, whose config is `before`.
    fn shrink(
        &self,
        model: &Model,
        [_, height, width]: [usize; 3],
        batches: Option<&Loader>,
        seed: u64,
        folder: &Path,
        before: &Value,
    ) -> Result<Made> {
        let graph: &Graph = model.graph();
        let weights = model.params.to_weights()?;
        let units = trace(graph, &TraceOptions::default()).map_err(failed)?;
        let bindings = Bindings::from([("N".into(), 1), ("H".into(), height), ("W".into(), width)]);
        let scores = match batches {
            None => self.importance.score(&Subject { graph, weights: &weights, trace: &units, seed }),
            Some(loader) => {
                let count = self.config.images.div_ceil(loader.batch_size());
                observe(self.importance, model, &units, loader.epoch(0, 0).take(count), seed)
            }
        };
        let found = self.solve(graph, &units, &bindings, scores.map_err(failed)?)?;
        let (small, sliced) = shrink(graph, &weights, &units, &found.selection).map_err(failed)?;
        let (a, b) = (&found.before, &found.after);
        let part = |x: u64, y: u64| 100.0 * y as f64 / x.max(1) as f64;
        let said = format!(
            "pruned to {:.1} % of the multiply-accumulates and {:.1} % of the parameters",
            part(a.macs, b.macs),
            part(a.params, b.params)
        );
        if let Some(file) = model.file() {
            let path = folder.join("pruned.onnx");
            occam_io::onnx::write_model(&path, &file.write(&small, &sliced)?)?;
            let mut model = before.clone();
            if let Some(dict) = model.as_dict_mut() {
                dict.insert("path", Value::from(path.display().to_string().as_str()));
                dict.remove("num_classes");
            }
            return Ok(Made { model, weights: None, said });
        }
        let path = folder.join("pruned.safetensors");
        occam_io::safetensors::save(&path, &sliced, &IndexMap::new())?;
        let widths = Value::from_json(&subnet::choices(&units, &found.selection.widths()));
        let model = dict(
            json!({ "type": "GroupFisherDeploySubModel" }),
            vec![("architecture", before.clone()), ("fix_subnet", widths)],
        );
        Ok(Made { model, weights: Some(path), said })
    }

    fn solve(
        &self,
        graph: &Graph,
        units: &Trace,
        bindings: &Bindings,
        mut scores: Scores,
    ) -> Result<Outcome> {
        let c = &self.config;
        self.normalizer.apply(&mut scores);
        let scope = if c.uniform { Scope::Uniform } else { Scope::Global };
        let mut limits = Limits { round_to: c.round_to, max_ratio: c.max_ratio, scope, ..Limits::default() };
        for (pattern, part) in &c.ratio {
            limits.at_most(units, pattern, *part).map_err(failed)?;
        }
        for pattern in &c.keep {
            limits.at_most(units, pattern, 0.0).map_err(failed)?;
        }
        let solver = Solver::new(graph, units, scores, &limits, bindings).map_err(failed)?;
        solver.solve(self.target).map_err(failed)
    }
}

/// The training images of a run.
fn batches(bench: &mut Bench<'_>, source: &Trained, before: &Value, seed: u64) -> Result<Loader> {
    let mut config = source.config.clone();
    if let Some(dict) = config.as_dict_mut() {
        // Only its data are wanted.
        let rest = ["load_from", "val_dataloader", "val_evaluator", "val_cfg", "custom_hooks"];
        rest.iter().chain(&["test_dataloader", "test_evaluator", "test_cfg"]).for_each(|key| {
            dict.remove(key);
        });
        dict.insert("model", before.clone());
    }
    let options = RunOptions {
        registry: bench.registry,
        loader: bench.loader,
        work_dir: bench.work_dir.clone(),
        seed: Some(seed),
        device: bench.device.clone(),
        resume: Resume::No,
        reporter: bench.take_reporter(),
    };
    let runner = Runner::from_config(&config, options)?;
    let loader = runner.train_loader().cloned();
    bench.return_reporter(runner.into_reporter());
    loader.ok_or_else(|| occam_train::Error::Other("the recipe has no `train_dataloader`".into()))
}

/// What pruning made.
struct Made {
    /// The smaller model's config.
    model: Value,
    /// The file of its weights, where the config does not name it itself.
    weights: Option<PathBuf>,
    /// For people.
    said: String,
}

/// The smaller model with the one before as teacher.
fn taught(model: Value, before: Value, source: &Trained, settings: &DistillSettings) -> Value {
    // The whole model's output, whatever its last layer is called.
    let outputs = json!({ "outputs": { "type": "ModuleOutputs", "source": "" } });
    dict(
        json!({
            "type": "SingleTeacherDistill",
            "teacher_ckpt": source.checkpoint,
            "distiller": {
                "type": "ConfigurableDistiller",
                "student_recorders": outputs,
                "teacher_recorders": outputs,
                "distill_losses": { "loss_kl": {
                    "type": "KLDivergence", "tau": settings.tau, "loss_weight": settings.loss_weight,
                } },
                "loss_forward_mappings": { "loss_kl": {
                    "preds_S": { "from_student": true, "recorder": "outputs" },
                    "preds_T": { "from_student": false, "recorder": "outputs" },
                } },
            },
        }),
        vec![("architecture", model), ("teacher", before)],
    )
}

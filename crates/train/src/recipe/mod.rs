//! Recipes: a list of steps over one data set, from models to a table of figures.
//!
//! `recipe = dict(steps=[dict(type='Train', name='teacher', ..), dict(type='Export'), dict(type='Evaluate')])` in a
//! config; all else in the config is what the steps' runs share.

mod steps;
mod summary;

use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use occam_config::{Error as ConfigError, Registry, Value};
use occam_engine::Device;
use serde::Deserialize;

use crate::error::refuse;
use crate::reporter::{Reporter, Silent};
use crate::runner::{Resume, RunOptions, Runner};
use crate::{Error, Result, interrupt};

pub use summary::{ModelFigures, StepRecord, Summary};

/// One step of a recipe.
pub trait RecipeStep {
    /// Does the step's work on the bench.
    ///
    /// # Errors
    /// The step's own.
    fn run(&self, bench: &mut Bench<'_>) -> Result<()>;

    /// What it works on, for people.
    fn title(&self) -> String;

    /// Finds what is wrong with the step before any step runs; `plan` is what the steps before it make.
    ///
    /// # Errors
    /// The step would fail for what its config says.
    fn check(&self, plan: &mut Plan, bench: &Bench<'_>) -> Result<()> {
        let _ = (plan, bench);
        Ok(())
    }
}

/// The models that a recipe will make, in order.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    names: Vec<String>,
}

/// A model's name as part of file names.
pub fn stem(name: &str) -> String {
    name.replace(' ', "_")
}

/// Refuses a name that files cannot have, and a list of seeds without one; both are of the step `value`.
///
/// # Errors
/// Either is wrong.
pub fn check_names(name: &str, seeds: Option<&[u64]>, value: &Value) -> Result<(), ConfigError> {
    let plain = |c: char| c.is_alphanumeric() || "-_ .".contains(c);
    if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) {
        let error = ConfigError::new(format!("{name:?} cannot name a model"))
            .with_help("use letters, digits, `-`, `_` and spaces");
        return Err(error.at(value.get("name").unwrap_or(value)));
    }
    if seeds.is_some_and(<[u64]>::is_empty) {
        return Err(ConfigError::new("`seeds` is empty").at(value.get("seeds").unwrap_or(value)));
    }
    Ok(())
}

impl Plan {
    /// Notes that a step makes `name`.
    ///
    /// # Errors
    /// Another has the same name, or one that would share its files.
    pub fn make(&mut self, name: &str) -> Result<()> {
        match self.names.iter().find(|n| stem(n) == stem(name)) {
            Some(other) if other == name => refuse(format!("two steps make a model called `{name}`")),
            Some(other) => refuse(format!("models `{name}` and `{other}` would share their files")),
            None => {
                self.names.push(name.to_owned());
                Ok(())
            }
        }
    }

    /// Refuses a name that no step before makes.
    ///
    /// # Errors
    /// There is none.
    pub fn need(&self, name: &str) -> Result<()> {
        known(name, self.names.iter().map(String::as_str))
    }
}

/// Refuses a name that is none of `made`.
fn known<'a>(name: &str, made: impl Iterator<Item = &'a str> + Clone) -> Result<()> {
    if made.clone().any(|m| m == name) {
        return Ok(());
    }
    let error = ConfigError::new(format!("no step before this one makes a model called `{name}`"));
    Err(Error::Config(match occam_config::suggest(name, made) {
        Some(meant) => error.with_help(format!("did you mean `{meant}`?")),
        None => error,
    }))
}

/// One training of one model with one seed.
#[derive(Debug, Clone)]
pub struct Trained {
    /// Its seed.
    pub seed: u64,
    /// The run's config.
    pub config: Value,
    /// Its last checkpoint.
    pub checkpoint: PathBuf,
    /// Its exported file, once there is one.
    pub onnx: Option<PathBuf>,
}

/// A model that a step made, trained with one seed or several.
#[derive(Debug, Clone)]
pub struct Product {
    /// Its trainings, in the order of the seeds.
    pub runs: Vec<Trained>,
}

/// What the steps of a recipe share.
pub struct Bench<'a> {
    /// The whole config, without `recipe`.
    pub config: Value,
    /// All components.
    pub registry: &'a Registry,
    /// Reads further configs.
    pub loader: &'a occam_config::Loader,
    /// Where results go.
    pub work_dir: PathBuf,
    /// Where models run.
    pub device: Device,
    /// Whether trainings go on from what an earlier call left; finished ones then take no time.
    pub resume: bool,
    /// Models by name, in the order in which they were made.
    pub products: IndexMap<String, Product>,
    /// Figures by model name.
    pub figures: IndexMap<String, ModelFigures>,
    reporter: Box<dyn Reporter>,
}

impl Bench<'_> {
    /// Tells people a sentence.
    pub fn message(&mut self, text: &str) {
        self.reporter.message(text);
    }

    /// What models are built with, where no seed matters.
    pub fn env(&self) -> crate::Env<'_> {
        crate::Env {
            registry: self.registry,
            loader: self.loader,
            seed: occam_data::Seed(0),
            device: self.device.clone(),
        }
    }

    /// Lends the reporter to a run.
    pub fn take_reporter(&mut self) -> Box<dyn Reporter> {
        std::mem::replace(&mut self.reporter, Box::new(Silent))
    }

    /// Takes the reporter back.
    pub fn return_reporter(&mut self, reporter: Box<dyn Reporter>) {
        self.reporter = reporter;
    }

    /// The names that a step was given, or of all models so far.
    pub fn chosen(&self, names: Option<&[String]>) -> Vec<String> {
        names.map_or_else(|| self.products.keys().cloned().collect(), <[String]>::to_vec)
    }

    /// A model made by an earlier step.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn product(&self, name: &str) -> Result<&Product> {
        known(name, self.products.keys().map(String::as_str))?;
        self.products.get(name).ok_or_else(|| Error::Other(format!("there is no model `{name}`")))
    }

    /// The training of an earlier model with `seed`, or else its first.
    ///
    /// # Errors
    /// There is no model of that name, or it was never trained.
    pub fn trained(&self, name: &str, seed: u64) -> Result<&Trained> {
        let runs = &self.product(name)?.runs;
        let found = runs.iter().find(|r| r.seed == seed).or_else(|| runs.first());
        found.ok_or_else(|| ConfigError::new(format!("`{name}` has no checkpoint")).into())
    }

    /// The config of a run of `model`: what the steps share, changed by `cfg`.
    ///
    /// # Errors
    /// `cfg` changes what cannot be changed.
    pub fn run_config(&self, model: Value, cfg: Option<&Value>) -> Result<Value> {
        let mut base = self.config.clone();
        if let Some(cfg) = cfg {
            base = base.merged(cfg)?;
        }
        base.set("model", model)?;
        Ok(base)
    }

    /// Trains what `config` describes in a folder called `name`, or one of the seed in it where there are `several`, and
    /// gives the training. A run that was finished before takes no time where the recipe is resumed.
    ///
    /// # Errors
    /// The config is wrong, a step failed, or nothing was saved.
    pub fn train(&mut self, name: &str, mut config: Value, seed: u64, several: bool) -> Result<Trained> {
        if let Some(dict) = config.as_dict_mut() {
            let mut randomness = occam_config::Dict::new();
            randomness.insert("seed", Value::from(i64::try_from(seed).unwrap_or(i64::MAX)));
            dict.insert("randomness", Value::from(randomness));
        }
        if several {
            self.message(&format!("{name}, seed {seed}"));
        }
        let options = RunOptions {
            registry: self.registry,
            loader: self.loader,
            work_dir: self.folder(name, seed, several),
            seed: Some(seed),
            device: self.device.clone(),
            resume: if self.resume { Resume::Auto } else { Resume::No },
            reporter: self.take_reporter(),
        };
        let mut runner = Runner::from_config(&config, options)?;
        let trained = runner.train();
        let last = runner.last_checkpoint();
        self.return_reporter(runner.into_reporter());
        trained?;
        match last? {
            Some(checkpoint) => Ok(Trained { seed, config, checkpoint, onnx: None }),
            None => refuse("the training saved no checkpoint; its `default_hooks` need a CheckpointHook"),
        }
    }

    /// Where the training of a model with a seed has its files.
    pub fn folder(&self, name: &str, seed: u64, several: bool) -> PathBuf {
        let folder = self.work_dir.join(stem(name));
        if several { folder.join(format!("seed_{seed}")) } else { folder }
    }

    /// A path as the summary tells it: relative to the work directory.
    pub fn relative(&self, path: &Path) -> String {
        path.strip_prefix(&self.work_dir).unwrap_or(path).display().to_string()
    }
}

/// What a recipe is told beside its config.
pub struct RecipeOptions<'a> {
    /// All components.
    pub registry: &'a Registry,
    /// Reads further configs.
    pub loader: &'a occam_config::Loader,
    /// Where results go.
    pub work_dir: PathBuf,
    /// Where models run.
    pub device: Device,
    /// Whether to go on where an earlier call stopped.
    pub resume: bool,
    /// Who is told.
    pub reporter: Box<dyn Reporter>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    steps: Vec<Value>,
}

/// Runs the `recipe` of a config and writes `summary.json` and `config.py` into the work directory.
///
/// # Errors
/// The recipe is wrong, or a step failed; or somebody asked to stop.
pub fn run(config: &Value, options: RecipeOptions<'_>) -> Result<Summary> {
    let Some(recipe) = config.get("recipe").filter(|v| !v.is_none()) else {
        let error = ConfigError::new("the config has no `recipe`")
            .at(config)
            .with_help("`occam train` runs a config without one; see configs/quickstart.py for a recipe");
        return Err(error.into());
    };
    let parsed: Config = recipe.parse()?;
    if parsed.steps.is_empty() {
        return refuse("the recipe has no steps");
    }
    let steps: Vec<Box<dyn RecipeStep>> =
        parsed.steps.iter().map(|s| options.registry.build::<dyn RecipeStep>(s)).collect::<Result<_, _>>()?;
    std::fs::create_dir_all(&options.work_dir)
        .map_err(|source| Error::Io { path: options.work_dir.clone(), source })?;
    let text = config.to_python();
    occam_io::atomic_write(options.work_dir.join("config.py"), |f| {
        std::io::Write::write_all(f, text.as_bytes())
    })?;
    let mut shared = config.clone();
    if let Some(dict) = shared.as_dict_mut() {
        dict.remove("recipe");
    }
    let mut bench = Bench {
        config: shared,
        registry: options.registry,
        loader: options.loader,
        work_dir: options.work_dir,
        device: options.device,
        resume: options.resume,
        products: IndexMap::new(),
        figures: IndexMap::new(),
        reporter: options.reporter,
    };
    let mut plan = Plan::default();
    for (i, (step, value)) in steps.iter().zip(&parsed.steps).enumerate() {
        step.check(&mut plan, &bench).map_err(|e| {
            ConfigError::from(e).at(value).with_context(format!("in step {} ({})", i + 1, step.title()))
        })?;
    }
    let mut records = Vec::new();
    for (i, (step, value)) in steps.iter().zip(&parsed.steps).enumerate() {
        if interrupt::requested() {
            return Err(Error::Interrupted { iter: 0, saved: None });
        }
        bench.message(&format!("step {} of {}: {}", i + 1, steps.len(), step.title()));
        let started = std::time::Instant::now();
        step.run(&mut bench).map_err(|e| {
            ConfigError::from(e).at(value).with_context(format!("in step {} ({})", i + 1, step.title()))
        })?;
        records.push(StepRecord {
            kind: value.type_name().unwrap_or_default().to_owned(),
            name: step.title(),
            seconds: (started.elapsed().as_secs_f64() * 10.0).round() / 10.0,
        });
    }
    let summary = Summary::of(&bench, records);
    summary.write(&bench.work_dir)?;
    Ok(summary)
}

pub(crate) fn register(registry: &mut Registry) {
    steps::register(registry);
}

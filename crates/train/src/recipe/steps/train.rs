//! Trains a model.

use std::path::PathBuf;

use indexmap::IndexMap;
use occam_config::{Error, Registry, Value};
use serde::Deserialize;

use crate::error::refuse;
use crate::recipe::{Bench, Plan, Product, RecipeStep, Trained, stem};
use crate::runner::{Resume, RunOptions, Runner};
use crate::{AlgorithmConfig, Result};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    name: String,
    model: Value,
    #[serde(default)]
    seeds: Option<Vec<u64>>,
    #[serde(default)]
    checkpoints: IndexMap<String, String>,
    #[serde(default)]
    cfg: Option<Value>,
}

/// `Train`: trains `model` once for every seed.
///
/// | key | default | |
/// |---|---|---|
/// | `name` | | what later steps and the table call it; also the folder in the work directory |
/// | `model` | | a model or an algorithm around one |
/// | `seeds` | the config's `randomness.seed` | |
/// | `checkpoints` | `{}` | from a path in the run's config to the name of an earlier model: `{'model.teacher_ckpt': 'teacher'}` puts the path of its checkpoint there (of the same seed, else of the first) |
/// | `cfg` | `dict()` | settings that differ from the recipe's: `dict(train_cfg=dict(max_epochs=20))` is merged into them |
struct Train {
    config: Config,
}

pub(super) fn build(value: &Value, _: &Registry) -> Result<Box<dyn RecipeStep>, Error> {
    let config: Config = value.parse()?;
    let plain = |c: char| c.is_alphanumeric() || "-_ .".contains(c);
    if config.name.is_empty() || config.name.starts_with('.') || !config.name.chars().all(plain) {
        let error = Error::new(format!("{:?} cannot name a model", config.name))
            .with_help("use letters, digits, `-`, `_` and spaces");
        return Err(error.at(value.get("name").unwrap_or(value)));
    }
    if config.seeds.as_ref().is_some_and(Vec::is_empty) {
        return Err(Error::new("`seeds` is empty").at(value.get("seeds").unwrap_or(value)));
    }
    Ok(Box::new(Train { config }))
}

impl RecipeStep for Train {
    fn title(&self) -> String {
        format!("train {}", self.config.name)
    }

    fn check(&self, plan: &mut Plan, bench: &Bench<'_>) -> Result<()> {
        let c = &self.config;
        for name in c.checkpoints.values() {
            plan.need(name)?;
        }
        plan.make(&c.name)?;
        self.base(bench)?;
        // An algorithm needs checkpoints that are not there yet; a model can be built now.
        let algorithms = bench.registry.names::<dyn AlgorithmConfig>();
        if c.model.type_name().is_none_or(|name| !algorithms.contains(&name)) {
            bench.env().task_model(&c.model)?;
        }
        Ok(())
    }

    fn run(&self, bench: &mut Bench<'_>) -> Result<()> {
        let c = &self.config;
        let base = self.base(bench)?;
        let seeds = match &c.seeds {
            Some(seeds) => seeds.clone(),
            None => vec![crate::runner::seed(&bench.config)?.0],
        };
        let mut product = Product { config: base.clone(), runs: Vec::new() };
        for &seed in &seeds {
            let mut config = base.clone();
            for (path, name) in &c.checkpoints {
                let runs = &bench.product(name)?.runs;
                let source = runs.iter().find(|r| r.seed == seed).or_else(|| runs.first());
                let Some(source) = source else { return refuse(format!("`{name}` has no checkpoint")) };
                config.set(path, Value::from(source.checkpoint.display().to_string().as_str()))?;
            }
            if let Some(dict) = config.as_dict_mut() {
                let mut randomness = occam_config::Dict::new();
                randomness.insert("seed", Value::from(i64::try_from(seed).unwrap_or(i64::MAX)));
                dict.insert("randomness", Value::from(randomness));
            }
            let checkpoint = self.train(bench, &config, seed, seeds.len() > 1)?;
            product.config = config;
            product.runs.push(Trained { seed, checkpoint, onnx: None });
        }
        bench.products.insert(c.name.clone(), product);
        Ok(())
    }
}

impl Train {
    /// The config of its runs, but for seed and checkpoints.
    fn base(&self, bench: &Bench<'_>) -> Result<Value> {
        let mut base = bench.config.clone();
        if let Some(cfg) = &self.config.cfg {
            base = base.merged(cfg)?;
        }
        base.set("model", self.config.model.clone())?;
        Ok(base)
    }

    fn train(&self, bench: &mut Bench<'_>, config: &Value, seed: u64, several: bool) -> Result<PathBuf> {
        let mut work_dir = bench.work_dir.join(stem(&self.config.name));
        if several {
            work_dir.push(format!("seed_{seed}"));
            bench.message(&format!("{}, seed {seed}", self.config.name));
        }
        let options = RunOptions {
            registry: bench.registry,
            loader: bench.loader,
            work_dir: work_dir.clone(),
            seed: Some(seed),
            device: bench.device.clone(),
            resume: if bench.resume { Resume::Auto } else { Resume::No },
            reporter: bench.take_reporter(),
        };
        let mut runner = Runner::from_config(config, options)?;
        let trained = runner.train();
        let last = runner.last_checkpoint();
        bench.return_reporter(runner.into_reporter());
        trained?;
        match last? {
            Some(path) => Ok(path),
            None => refuse("the training saved no checkpoint; its `default_hooks` need a CheckpointHook"),
        }
    }
}

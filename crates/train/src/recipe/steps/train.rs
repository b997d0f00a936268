//! Trains a model.

use indexmap::IndexMap;
use occam_config::{Error, Registry, Value};
use serde::Deserialize;

use crate::recipe::{Bench, Plan, Product, RecipeStep, check_names};
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
    check_names(&config.name, config.seeds.as_deref(), value)?;
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
        let mut product = Product { runs: Vec::new() };
        for &seed in &seeds {
            let mut config = base.clone();
            for (path, name) in &c.checkpoints {
                let checkpoint = bench.trained(name, seed)?.checkpoint.display().to_string();
                config.set(path, Value::from(checkpoint.as_str()))?;
            }
            product.runs.push(bench.train(&c.name, config, seed, seeds.len() > 1)?);
        }
        bench.products.insert(c.name.clone(), product);
        Ok(())
    }
}

impl Train {
    /// The config of its runs, but for seed and checkpoints.
    fn base(&self, bench: &Bench<'_>) -> Result<Value> {
        bench.run_config(self.config.model.clone(), self.config.cfg.as_ref())
    }
}

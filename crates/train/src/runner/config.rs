//! From a config to a runner.

use std::sync::Arc;

use occam_config::{Error as ConfigError, Value};
use occam_data::{DataPreprocessor, Evaluator, LoaderConfig, Seed};
use serde::Deserialize;

use super::{Evaluation, Resume, RunOptions, Runner, Training};
use crate::algorithm::Env;
use crate::evaluate::Metrics;
use crate::optim::OptimWrapper;
use crate::{Result, hooks, loops, schedules};

/// `randomness`.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Randomness {
    seed: Option<u64>,
    #[serde(rename = "deterministic")]
    _deterministic: bool,
    #[serde(rename = "diff_rank_seed")]
    _diff_rank_seed: bool,
}

/// The seed that a config asks for; 0 where it asks for none.
///
/// # Errors
/// `randomness` has an unknown key.
pub(crate) fn seed(config: &Value) -> Result<Seed> {
    let randomness: Randomness = match config.get("randomness").filter(|v| !v.is_none()) {
        Some(v) => v.parse()?,
        None => Randomness::default(),
    };
    Ok(Seed(randomness.seed.unwrap_or(0)))
}

fn present<'a>(config: &'a Value, key: &str) -> Option<&'a Value> {
    config.get(key).filter(|v| !v.is_none())
}

fn need<'a>(config: &'a Value, key: &str, because: &str) -> Result<&'a Value> {
    present(config, key).ok_or_else(|| {
        let message = format!("the config has no `{key}`, which {because} needs");
        ConfigError::new(message).at(config).into()
    })
}

/// The preprocessor of a run: the model's own, else the config's; `ClsDataPreprocessor` where it names no type.
fn preprocessor(
    config: &Value,
    own: Option<&Value>,
    options: &RunOptions<'_>,
) -> Result<Arc<dyn DataPreprocessor>> {
    let default = Value::from(occam_config::Dict::new());
    let own = own.filter(|v| !v.is_none());
    let mut value = own.or_else(|| present(config, "data_preprocessor")).unwrap_or(&default).clone();
    if let Some(dict) = value.as_dict_mut()
        && !dict.contains("type")
    {
        dict.insert("type", Value::from("ClsDataPreprocessor"));
    }
    Ok(options.registry.build::<dyn DataPreprocessor>(&value)?.into())
}

impl Runner {
    /// Builds everything a config describes. Of `train_*`, `val_*` and `test_*` those that are left out or `None` are
    /// not part of the run.
    ///
    /// # Errors
    /// The config is wrong, or data or checkpoints cannot be read.
    pub fn from_config(config: &Value, options: RunOptions<'_>) -> Result<Self> {
        let registry = options.registry;
        let seed = match options.seed {
            Some(s) => Seed(s),
            None => seed(config)?,
        };
        let env = Env { registry, loader: options.loader, seed, device: options.device.clone() };
        let algorithm = env.algorithm(need(config, "model", "every run")?)?;
        let preprocessor = preprocessor(config, algorithm.data_preprocessor(), &options)?;
        let evaluation = |side: &str| -> Result<Option<Evaluation>> {
            let Some(loader) = present(config, &format!("{side}_dataloader")) else { return Ok(None) };
            let evaluator = need(config, &format!("{side}_evaluator"), &format!("`{side}_dataloader`"))?;
            Ok(Some(Evaluation {
                loader: LoaderConfig::from_value(loader)?.build(registry, preprocessor.clone(), seed)?,
                evaluator: Evaluator::from_config(evaluator, registry)?,
                eval_loop: loops::eval_loop(config.get(&format!("{side}_cfg")), registry)?,
            }))
        };
        let (val, test) = (evaluation("val")?, evaluation("test")?);
        let training = match present(config, "train_cfg") {
            None => None,
            Some(train_cfg) => {
                let loader = need(config, "train_dataloader", "`train_cfg`")?;
                let loader = LoaderConfig::from_value(loader)?.for_training();
                let loader = loader.build(registry, preprocessor.clone(), seed)?;
                let mut optim =
                    OptimWrapper::from_config(need(config, "optim_wrapper", "`train_cfg`")?, registry)?;
                let train_loop = loops::train_loop(train_cfg, registry)?;
                let length = train_loop.length(loader.len() as u64);
                let mut schedules =
                    schedules::from_config(config.get("param_scheduler"), registry, length, optim.base_lr())?;
                for schedule in &mut schedules {
                    let lr = schedule.step(optim.lr());
                    optim.set_lr(lr);
                }
                let last_lr = optim.lr();
                Some(Training { loader, train_loop: Some(train_loop), optim, schedules, length, last_lr })
            }
        };
        let hooks =
            hooks::from_config(present(config, "default_hooks"), present(config, "custom_hooks"), registry)?;
        let resume = match (options.resume, present(config, "resume")) {
            (Resume::No, Some(v)) => match (v.as_bool(), v.as_str()) {
                // As mmengine: from `load_from` where there is one.
                (Some(true), _) => match present(config, "load_from").and_then(Value::as_str) {
                    Some(path) => Resume::From(path.into()),
                    None => Resume::Auto,
                },
                (Some(false), _) => Resume::No,
                (_, Some(path)) => Resume::From(path.into()),
                _ => return Err(ConfigError::new("`resume` must be a bool or a path").at(v).into()),
            },
            (resume, _) => resume,
        };
        let mut runner = Self {
            work_dir: options.work_dir,
            config_text: config.to_python(),
            seed,
            device: options.device,
            algorithm,
            training,
            val,
            test,
            hooks,
            journal: None,
            reporter: options.reporter,
            resume,
            epoch: 0,
            iter: 0,
            data_seconds: 0.0,
            last_metrics: Metrics::new(),
            image_size: std::sync::OnceLock::new(),
        };
        if runner.resume == Resume::No
            && let Some(v) = present(config, "load_from")
        {
            let path = v.as_str().ok_or_else(|| ConfigError::new("`load_from` must be a path").at(v))?;
            runner.load_weights(path.as_ref())?;
        }
        Ok(runner)
    }
}

impl Runner {
    /// Builds what testing and exporting need: the model and the test data.
    ///
    /// # Errors
    /// As [`Runner::from_config`].
    pub fn for_testing(config: &Value, options: RunOptions<'_>) -> Result<Self> {
        let mut config = config.clone();
        if let Some(dict) = config.as_dict_mut() {
            for key in
                ["train_cfg", "train_dataloader", "val_dataloader", "val_evaluator", "val_cfg", "load_from"]
            {
                dict.remove(key);
            }
        }
        Self::from_config(&config, options)
    }
}

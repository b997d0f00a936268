//! From a config to a runner.

use std::sync::Arc;
use std::time::Instant;

use occam_config::{Error as ConfigError, Kind, Registry, Value};
use occam_data::{DataPreprocessor, Dataset, Evaluator, Loader, LoaderConfig, LoaderOptions, Sampler, Seed};

use super::load_from;
use super::settings::{check, lr_factor, need, present, seed, strange_names};
use super::{Evaluation, MakeDataset, Planned, Resume, RunOptions, Runner, Training};
use crate::algorithm::Env;
use crate::checkpoint::Info;
use crate::evaluate::Metrics;
use crate::log::LogProcessor;
use crate::loops::EvalRun;
use crate::model::summary;
use crate::optim::Optimizers;
use crate::{Algorithm, Result, hooks, loops, schedules};

/// The preprocessor of a run: the model's own, else the config's; `ClsDataPreprocessor` where it names no type. The
/// model may say how it mixes images.
fn preprocessor(
    config: &Value,
    algorithm: &dyn Algorithm,
    registry: &Registry,
) -> Result<Arc<dyn DataPreprocessor>> {
    let default = Value::from(occam_config::Dict::new());
    let own = algorithm.data_preprocessor().filter(|v| !v.is_none());
    let mut value = own.or_else(|| present(config, "data_preprocessor")).unwrap_or(&default).clone();
    if let Some(dict) = value.as_dict_mut()
        && !dict.contains("type")
    {
        dict.insert("type", Value::from("ClsDataPreprocessor"));
    }
    if let (Some(dict), Some(augments)) = (value.as_dict_mut(), algorithm.architecture().batch_augments()) {
        dict.insert("batch_augments", augments.clone());
    }
    Ok(registry.build::<dyn DataPreprocessor>(&value)?.into())
}

/// Data that a config has beside those of its run, such as those that a quantization is calibrated by: `dataloader` is read
/// as any other, and images are prepared as the run's.
///
/// # Errors
/// The config is wrong, or the data cannot be read.
pub fn data_loader(
    config: &Value,
    dataloader: &Value,
    algorithm: &dyn Algorithm,
    registry: &Registry,
    seed: Seed,
) -> Result<Loader> {
    let keys = LoaderConfig::from_value(dataloader)?;
    let dataset = registry.build::<dyn Dataset>(&keys.dataset)?;
    let sampler = registry.build::<dyn Sampler>(&keys.sampler)?;
    let preprocessor = preprocessor(config, algorithm, registry)?;
    let loading = LoaderOptions { seed, ..keys.options };
    Ok(Loader::new(dataset.into(), preprocessor, sampler.into(), loading)?)
}

/// Whether and from where to go on: what the call says, else the config's `resume`.
fn resume(config: &Value, asked: Resume) -> Result<Resume> {
    let (Resume::No, Some(v)) = (&asked, present(config, "resume")) else { return Ok(asked) };
    match (v.as_bool(), v.as_str()) {
        // As mmengine: from `load_from` where there is one.
        (Some(true), _) => match present(config, "load_from") {
            Some(from) => Ok(Resume::From(load_from::path(from)?.into())),
            None => Ok(Resume::Auto),
        },
        (Some(false), _) => Ok(Resume::No),
        (_, Some(path)) => Ok(Resume::From(path.into())),
        _ => Err(ConfigError::new("`resume` must be a bool or a path").at(v).into()),
    }
}

impl Runner {
    /// Builds everything a config describes. Of `train_*`, `val_*` and `test_*` those that are left out or `None` are
    /// not part of the run.
    ///
    /// # Errors
    /// The config is wrong, or data or checkpoints cannot be read.
    pub fn from_config(config: &Value, options: RunOptions<'_>) -> Result<Self> {
        Self::with_datasets(config, options, &|value, registry| registry.build::<dyn Dataset>(value))
    }

    /// As [`Runner::from_config`], with data sets made by `make` from their part of the config: a few made-up samples, for
    /// instance, to try a config without its data.
    ///
    /// # Errors
    /// As [`Runner::from_config`].
    pub fn with_datasets(
        config: &Value,
        mut options: RunOptions<'_>,
        make: &MakeDataset<'_>,
    ) -> Result<Self> {
        let registry = options.registry;
        check(config)?;
        for strange in strange_names(config) {
            options.reporter.message(&format!("warning: {strange}"));
        }
        let seed = match options.seed {
            Some(s) => Seed(s),
            None => seed(config)?,
        };
        let env = Env { registry, loader: options.loader, seed, device: options.device.clone() };
        let mut algorithm = env.algorithm(need(config, "model", "every run")?)?;
        let preprocessor = preprocessor(config, &*algorithm, registry)?;
        let load = |keys: LoaderConfig| -> Result<Loader> {
            let dataset = make(&keys.dataset, registry)?;
            let sampler = registry.build::<dyn Sampler>(&keys.sampler)?;
            let loading = LoaderOptions { seed, ..keys.options };
            Ok(Loader::new(dataset.into(), preprocessor.clone(), sampler.into(), loading)?)
        };
        let evaluation = |side: &str| -> Result<Option<Evaluation>> {
            // As in mmengine a loop may have data and evaluator of its own.
            let own = |key: &str| present(config, &format!("{side}_cfg.{key}"));
            let loader = own("dataloader").or_else(|| present(config, &format!("{side}_dataloader")));
            let Some(loader) = loader else { return Ok(None) };
            let evaluator = match own("evaluator") {
                Some(evaluator) => evaluator,
                None => need(config, &format!("{side}_evaluator"), &format!("`{side}_dataloader`"))?,
            };
            Ok(Some(Evaluation {
                loader: load(LoaderConfig::from_value(loader)?)?,
                evaluator: Evaluator::from_config(evaluator, registry)?,
                eval_loop: loops::eval_loop(config.get(&format!("{side}_cfg")), registry)?,
            }))
        };
        let (mut val, mut test) = (evaluation("val")?, evaluation("test")?);
        let training = match present(config, "train_cfg") {
            None => None,
            Some(train_cfg) => {
                let loader = LoaderConfig::from_value(need(config, "train_dataloader", "`train_cfg`")?)?;
                let loader = load(loader.for_training())?;
                let training = training(config, train_cfg, loader, &*algorithm, &options)?;
                algorithm
                    .begin(training.length, training.by_epoch)
                    .map_err(|e| ConfigError::from(e).at(config.get("model").unwrap_or(config)))?;
                Some(training)
            }
        };
        for side in [&mut val, &mut test].into_iter().flatten() {
            let loader = match (side.eval_loop.needs_training_data(), &training) {
                (false, _) => None,
                (true, Some(training)) => Some(training.loader.clone()),
                (true, None) => present(config, "train_dataloader")
                    .map(|v| load(LoaderConfig::from_value(v)?.for_training()))
                    .transpose()?,
            };
            side.eval_loop.begin(EvalRun { training: loader, seed, work_dir: &options.work_dir })?;
        }
        let hooks =
            hooks::from_config(present(config, "default_hooks"), present(config, "custom_hooks"), registry)?;
        let log_processor = match present(config, "log_processor") {
            Some(v) => LogProcessor::from_config(v)?,
            None => LogProcessor::default(),
        };
        let resume = resume(config, options.resume)?;
        let mut runner = Self {
            work_dir: options.work_dir,
            config_text: config.to_python(),
            seed,
            device: options.device,
            algorithm,
            training,
            val,
            test,
            hooks: hooks.into_iter().map(Some).collect(),
            log_processor,
            journal: None,
            reporter: options.reporter,
            resume,
            epoch: 0,
            iter: 0,
            saved: None,
            validated: None,
            stopping: false,
            info: Info::new(),
            started: Instant::now(),
            iter_seconds: 0.0,
            data_seconds: 0.0,
            last_metrics: Metrics::new(),
            image_size: std::sync::OnceLock::new(),
        };
        // A run that has nothing to go on from begins as any other.
        let begins = match &runner.resume {
            Resume::No => true,
            Resume::Auto => runner.last_checkpoint()?.is_none(),
            Resume::From(_) => false,
        };
        if begins && let Some(v) = present(config, "load_from") {
            let fit = load_from::load(v, config.get("model"), &mut *runner.algorithm)?;
            let path = load_from::path(v)?.display();
            runner.reporter.message(&format!("loaded {path}: {}", summary(&fit)));
        }
        Ok(runner)
    }

    /// Builds what testing and exporting need: the model and the test data. Checkpoints that a training would start from
    /// are not read, as the model gets the weights that are tested.
    ///
    /// # Errors
    /// As [`Runner::from_config`].
    pub fn for_testing(config: &Value, options: RunOptions<'_>) -> Result<Self> {
        let mut config = config.clone();
        if let Some(dict) = config.as_dict_mut() {
            // Loops may calibrate a model by training data.
            for key in ["train_cfg", "val_dataloader", "val_evaluator", "val_cfg", "load_from"] {
                dict.remove(key);
            }
            if let Some(model) = dict.get_mut("model") {
                forget_checkpoints(model);
            }
        }
        Self::from_config(&config, options)
    }
}

/// Optimizer, schedules and loop of a training.
fn training(
    config: &Value,
    train_cfg: &Value,
    loader: Loader,
    algorithm: &dyn Algorithm,
    options: &RunOptions<'_>,
) -> Result<Training> {
    let registry = options.registry;
    let mut optim =
        Optimizers::from_config(need(config, "optim_wrapper", "`train_cfg`")?, registry, algorithm)?;
    if let Some(factor) = lr_factor(config, loader.batch_size())? {
        optim.scale_lr(factor);
    }
    let train_loop = loops::train_loop(train_cfg, registry)?;
    let length = train_loop.length(loader.len() as u64);
    let mut schedules = Vec::new();
    for (name, value) in schedules::by_part(config.get("param_scheduler")) {
        let wrong = |message: String| ConfigError::new(message).at(value);
        let part = match name {
            None => None,
            Some(name) => Some(optim.position(name).ok_or_else(|| {
                let known: Vec<&str> = optim.names().filter(|n| !n.is_empty()).collect();
                let error = wrong(format!("there is no optimizer `{name}` to schedule"));
                match known.as_slice() {
                    [] => {
                        error.with_help("there is one for all parameters: give a schedule or a list of them")
                    }
                    known => error.with_help(format!("known: {}", known.join(", "))),
                }
            })?),
        };
        for mut schedule in schedules::from_config(Some(value), registry, length)? {
            optim.start(&mut schedule, part).map_err(|e| ConfigError::from(e).at(value))?;
            schedules.push(Planned { part, schedule });
        }
    }
    let last_lr = (optim.lr(), optim.base_lr());
    let by_epoch = train_loop.by_epoch();
    Ok(Training { loader, train_loop: Some(train_loop), optim, schedules, length, by_epoch, last_lr })
}

/// Takes `pretrained` files, `Pretrained` rules and `float_checkpoint` out of a model's config.
pub(crate) fn forget_checkpoints(value: &mut Value) {
    let is_rule = |v: &Value| v.type_name() == Some("Pretrained");
    if let Kind::List(items) | Kind::Tuple(items) = &mut value.kind {
        items.retain(|item| !is_rule(item));
        items.iter_mut().for_each(forget_checkpoints);
    }
    if let Some(dict) = value.as_dict_mut() {
        dict.retain(|key, v| {
            let file = key.as_str() == Some("pretrained") && v.as_str().is_some();
            let rule = key.as_str() == Some("init_cfg") && is_rule(v);
            let float = key.as_str() == Some("float_checkpoint");
            !(file || rule || float)
        });
        dict.iter_mut().for_each(|(_, v)| forget_checkpoints(v));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_need_no_checkpoint_to_start_from() {
        let text = "model = dict(type='A', pretrained='a.pth', backbone=dict(type='B', init_cfg=dict(\
                    type='mmengine.Pretrained', checkpoint='b')), head=dict(init_cfg=[dict(type='Normal'), \
                    dict(type='Pretrained', checkpoint='c')]), teacher=dict(cfg_path='d', pretrained=False))";
        let mut config = occam_config::Loader::new().load_str("config.py", text).unwrap();
        forget_checkpoints(&mut config);
        let wanted = "{'type': 'A', 'backbone': {'type': 'B'}, 'head': {'init_cfg': [{'type': 'Normal'}]}, \
                      'teacher': {'cfg_path': 'd', 'pretrained': False}}";
        let wanted = occam_config::Loader::new().load_str("wanted.py", &format!("model = {wanted}")).unwrap();
        assert_eq!(config.get("model").unwrap().to_python(), wanted.get("model").unwrap().to_python());
    }
}

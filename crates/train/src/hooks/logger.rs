//! Writes the training's figures.

use std::path::PathBuf;
use std::time::Instant;

use occam_config::{Error, Registry, Value};
use serde::Deserialize;

use super::Hook;
use crate::evaluate::Metrics;
use crate::memory;
use crate::runner::Runner;
use crate::{Result, Step};

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    interval: u64,
    ignore_last: bool,
    #[serde(rename = "interval_exp_name")]
    _interval_exp_name: u64,
    out_dir: Option<PathBuf>,
    #[serde(rename = "out_suffix")]
    _out_suffix: Option<Value>,
    keep_local: bool,
    file_client_args: Option<Value>,
    log_metric_by_epoch: bool,
    backend_args: Option<Value>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            interval: 10,
            ignore_last: true,
            _interval_exp_name: 1000,
            out_dir: None,
            _out_suffix: None,
            keep_local: true,
            file_client_args: None,
            log_metric_by_epoch: true,
            backend_args: None,
        }
    }
}

/// `LoggerHook`: writes to `log.jsonl`, `tensorboard/` and the terminal.
///
/// | key | default | |
/// |---|---|---|
/// | `interval` | 10 | iterations of an epoch between two lines |
/// | `ignore_last` | True | whether an epoch's last iterations, too few for a line, have none; an epoch shorter than `interval` has one |
/// | `log_metric_by_epoch` | True | whether TensorBoard counts validations by epochs |
/// | `out_dir` | None | where `log.jsonl` and `config.py` are copied to at the end, into a folder of the work directory's name |
/// | `keep_local` | True | False is refused: logs stay where they are |
/// | `interval_exp_name`, `out_suffix` | | accepted without effect |
///
/// A line has the figures that `log_processor` takes, the learning rate of the first parameter, `base_lr` where some
/// parameter has its own, seconds an iteration, those of them that it waited for data, seconds left, and the most memory
/// held so far in MiB.
struct LoggerHook {
    config: Config,
    started: Instant,
    first: u64,
}

pub(super) fn build(value: &Value, _: &Registry) -> Result<Box<dyn Hook>, Error> {
    let config: Config = value.parse()?;
    let at = |key: &str, message: &str| Err(Error::new(message).at(value.get(key).unwrap_or(value)));
    if config.interval == 0 {
        return at("interval", "LoggerHook: `interval` must be at least 1");
    }
    if !config.keep_local {
        return at("keep_local", "LoggerHook: `keep_local=False` is not supported; logs stay");
    }
    for (key, given) in
        [("file_client_args", &config.file_client_args), ("backend_args", &config.backend_args)]
    {
        if given.as_ref().is_some_and(|v| !v.is_none()) {
            return at(key, "LoggerHook: logs are files of this machine, no others are supported");
        }
    }
    Ok(Box::new(LoggerHook { config, started: Instant::now(), first: 0 }))
}

impl Hook for LoggerHook {
    fn priority(&self) -> u32 {
        60
    }

    fn before_train(&mut self, runner: &mut Runner) -> Result<()> {
        self.started = Instant::now();
        self.first = runner.iter();
        Ok(())
    }

    fn after_train_iter(&mut self, runner: &mut Runner, step: &Step) -> Result<()> {
        let place = runner.place();
        let (iter_time, data_time) = runner.seconds();
        let (lr, base_lr) = runner.last_lr();
        let own = [("lr", Some(lr)), ("base_lr", base_lr), ("iter_time", Some(iter_time))];
        let own = own.into_iter().chain([("data_time", Some(data_time))]);
        let losses = step.losses.iter().map(|(name, v)| (name.as_str(), f64::from(*v)));
        let figures = own.filter_map(|(name, v)| Some((name, v?))).chain(losses);
        runner.log_processor_mut().record(figures);
        let inner = if runner.by_epoch() { place.inner } else { place.iter };
        let last = place.inner == place.epoch_length
            && (!self.config.ignore_last || place.epoch_length <= self.config.interval);
        if !inner.is_multiple_of(self.config.interval) && !last {
            return Ok(());
        }
        let mut figures = runner.log_processor().figures(&place);
        let done = place.iter.saturating_sub(self.first).max(1) as f64;
        let left = place.max_iters.saturating_sub(place.iter) as f64;
        figures.insert("eta".into(), (self.started.elapsed().as_secs_f64() / done * left).round());
        if let Some(bytes) = memory::peak() {
            figures.insert("memory".into(), (bytes >> 20) as f64);
        }
        let line = runner.log_processor().train_line(&place, &figures);
        runner.log("train", &figures, place.iter, &line)
    }

    fn after_val(&mut self, runner: &mut Runner, metrics: &Metrics) -> Result<()> {
        let line = runner.log_processor().eval_line("val", &runner.place(), metrics);
        let step = if self.config.log_metric_by_epoch { runner.epoch() } else { runner.iter() };
        runner.log("val", metrics, step, &line)
    }

    fn after_train(&mut self, runner: &mut Runner) -> Result<()> {
        let Some(out) = &self.config.out_dir else { return Ok(()) };
        let folder = out.join(runner.work_dir().file_name().unwrap_or_default());
        let failed = |path: PathBuf| move |source| crate::Error::Io { path, source };
        std::fs::create_dir_all(&folder).map_err(failed(folder.clone()))?;
        for name in ["log.jsonl", "config.py"] {
            let to = folder.join(name);
            std::fs::copy(runner.work_dir().join(name), &to).map_err(failed(to))?;
        }
        Ok(())
    }
}

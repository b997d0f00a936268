//! Writes the training's figures.

use std::time::Instant;

use indexmap::IndexMap;
use occam_config::{Error, Registry, Value};
use serde::Deserialize;

use super::Hook;
use crate::runner::Runner;
use crate::{Result, Step};

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    interval: u64,
    ignore_last: bool,
    #[serde(rename = "log_metric_by_epoch")]
    _log_metric_by_epoch: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { interval: 10, ignore_last: true, _log_metric_by_epoch: true }
    }
}

/// `LoggerHook(interval=10, ignore_last=True)`: every `interval` iterations the mean of each loss term since the last
/// line, the learning rate, seconds an iteration, and of them waiting for data. With `ignore_last` a rest of fewer
/// iterations at an epoch's end is not logged.
struct LoggerHook {
    config: Config,
    sums: IndexMap<String, f64>,
    count: u64,
    data_seconds: f64,
    since: Instant,
}

pub(super) fn build(value: &Value, _: &Registry) -> Result<Box<dyn Hook>, Error> {
    let config: Config = value.parse()?;
    if config.interval == 0 {
        return Err(Error::new("LoggerHook: `interval` must be at least 1"));
    }
    Ok(Box::new(LoggerHook {
        config,
        sums: IndexMap::new(),
        count: 0,
        data_seconds: 0.0,
        since: Instant::now(),
    }))
}

impl LoggerHook {
    fn reset(&mut self) {
        self.sums.clear();
        self.count = 0;
        self.data_seconds = 0.0;
        self.since = Instant::now();
    }

    fn write(&mut self, runner: &mut Runner) -> Result<()> {
        let count = self.count.max(1) as f64;
        let mut values: IndexMap<String, f64> =
            self.sums.iter().map(|(name, sum)| (name.clone(), sum / count)).collect();
        values.insert("lr".into(), runner.last_lr());
        values.insert("iter_time".into(), self.since.elapsed().as_secs_f64() / count);
        values.insert("data_time".into(), self.data_seconds / count);
        self.reset();
        runner.log("train", &values)
    }
}

impl Hook for LoggerHook {
    fn priority(&self) -> u32 {
        60
    }

    fn before_train_epoch(&mut self, _: &mut Runner) -> Result<()> {
        self.reset();
        Ok(())
    }

    fn after_train_iter(&mut self, runner: &mut Runner, step: &Step) -> Result<()> {
        for (name, value) in &step.losses {
            *self.sums.entry(name.clone()).or_default() += f64::from(*value);
        }
        self.count += 1;
        self.data_seconds += runner.data_seconds();
        if self.count == self.config.interval {
            self.write(runner)?;
        }
        Ok(())
    }

    fn after_train_epoch(&mut self, runner: &mut Runner) -> Result<()> {
        if self.count > 0 && !self.config.ignore_last {
            self.write(runner)?;
        }
        Ok(())
    }
}

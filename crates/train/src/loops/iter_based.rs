//! Training by a number of iterations.

use occam_config::{Error, Registry, Value};
use occam_engine::schedule::Length;
use serde::Deserialize;

use super::TrainLoop;
use crate::Result;
use crate::runner::Runner;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    max_iters: u64,
    #[serde(default = "one")]
    val_begin: u64,
    #[serde(default = "thousand")]
    val_interval: u64,
}

fn one() -> u64 {
    1
}

fn thousand() -> u64 {
    1000
}

/// `IterBasedTrainLoop(max_iters, val_begin=1, val_interval=1000)`: goes through the data as often as it takes, and
/// validates after every `val_interval` iterations from `val_begin` on, and after the last.
pub(super) struct IterBasedTrainLoop {
    config: Config,
}

pub(super) fn build(value: &Value, _: &Registry) -> Result<Box<dyn TrainLoop>, Error> {
    let config: Config = value.parse()?;
    if config.val_interval == 0 {
        return Err(Error::new("`val_interval` must be at least 1").at(value));
    }
    Ok(Box::new(IterBasedTrainLoop { config }))
}

impl TrainLoop for IterBasedTrainLoop {
    fn length(&self, epoch: u64) -> Length {
        let max_iters = self.config.max_iters;
        Length { epoch, max_epochs: max_iters.div_ceil(epoch.max(1)), max_iters }
    }

    fn run(&mut self, runner: &mut Runner) -> Result<()> {
        while runner.iter() < self.config.max_iters {
            let interval = self.config.val_interval;
            let next = (runner.iter() / interval + 1) * interval;
            runner.train_until(next.min(self.config.max_iters))?;
            let iter = runner.iter();
            let last = iter == self.config.max_iters;
            let due = iter >= self.config.val_begin && iter.is_multiple_of(interval);
            if last || due {
                runner.validate()?;
            }
        }
        Ok(())
    }
}

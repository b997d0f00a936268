//! Training by a number of iterations.

use occam_config::{Error, Registry, Value};
use occam_engine::schedule::Length;
use serde::Deserialize;

use super::TrainLoop;
use super::intervals::{Intervals, Keys};
use crate::Result;
use crate::runner::Runner;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    max_iters: u64,
    #[serde(default)]
    val_begin: Option<u64>,
    #[serde(default)]
    val_interval: Option<u64>,
    #[serde(default)]
    dynamic_intervals: Option<Vec<(u64, u64)>>,
}

/// `IterBasedTrainLoop(max_iters, val_begin=1, val_interval=1000, dynamic_intervals=None)`: goes through the data as often
/// as it takes, and validates after every `val_interval` iterations from `val_begin` on, and after the last.
/// `dynamic_intervals=[(8000, 500)]` changes the interval on the way.
///
/// Passes through the data count as epochs here, for schedules and hooks by epoch too; in the original such a training is
/// one epoch.
pub(super) struct IterBasedTrainLoop {
    max_iters: u64,
    intervals: Intervals,
}

pub(super) fn build(value: &Value, _: &Registry) -> Result<Box<dyn TrainLoop>, Error> {
    let c: Config = value.parse()?;
    let (val_begin, val_interval, dynamic_intervals) = (c.val_begin, c.val_interval, c.dynamic_intervals);
    let keys = Keys { val_begin, val_interval, dynamic_intervals };
    let intervals = Intervals::new(keys, 1000, value)?;
    Ok(Box::new(IterBasedTrainLoop { max_iters: c.max_iters, intervals }))
}

impl TrainLoop for IterBasedTrainLoop {
    fn length(&self, epoch: u64) -> Length {
        let max_iters = self.max_iters;
        Length { epoch, max_epochs: max_iters.div_ceil(epoch.max(1)), max_iters }
    }

    fn validations(&self) -> u64 {
        self.intervals.count(self.max_iters)
    }

    fn by_epoch(&self) -> bool {
        false
    }

    fn run(&mut self, runner: &mut Runner) -> Result<()> {
        let due = |iter: u64| self.intervals.due(iter, self.max_iters);
        // A run may have stopped between its checkpoint and the validation.
        if due(runner.iter()) {
            runner.validate_once()?;
        }
        while runner.iter() < self.max_iters && !runner.stopping() {
            let rest = runner.iter() + 1..=self.max_iters;
            let next = rest.into_iter().find(|&iter| due(iter)).unwrap_or(self.max_iters);
            runner.train_until(next)?;
            if due(runner.iter()) {
                runner.validate_once()?;
            }
        }
        Ok(())
    }
}

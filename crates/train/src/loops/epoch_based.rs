//! Training epoch by epoch.

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
    max_epochs: u64,
    #[serde(default)]
    val_begin: Option<u64>,
    #[serde(default)]
    val_interval: Option<u64>,
    #[serde(default)]
    dynamic_intervals: Option<Vec<(u64, u64)>>,
}

/// `EpochBasedTrainLoop(max_epochs, val_begin=1, val_interval=1, dynamic_intervals=None)`: validates after every
/// `val_interval` epochs from epoch `val_begin` on, and after the last. `dynamic_intervals=[(10, 2)]` changes the interval
/// on the way.
pub(super) struct EpochBasedTrainLoop {
    max_epochs: u64,
    intervals: Intervals,
}

pub(super) fn build(value: &Value, _: &Registry) -> Result<Box<dyn TrainLoop>, Error> {
    let c: Config = value.parse()?;
    let (val_begin, val_interval, dynamic_intervals) = (c.val_begin, c.val_interval, c.dynamic_intervals);
    let keys = Keys { val_begin, val_interval, dynamic_intervals };
    let intervals = Intervals::new(keys, 1, value)?;
    Ok(Box::new(EpochBasedTrainLoop { max_epochs: c.max_epochs, intervals }))
}

impl EpochBasedTrainLoop {
    fn validate_if_due(&self, runner: &mut Runner) -> Result<()> {
        if runner.at_epoch_end() && self.intervals.due(runner.epoch(), self.max_epochs) {
            runner.validate_once()?;
        }
        Ok(())
    }
}

impl TrainLoop for EpochBasedTrainLoop {
    fn length(&self, epoch: u64) -> Length {
        let max_epochs = self.max_epochs;
        Length { epoch, max_epochs, max_iters: max_epochs.saturating_mul(epoch) }
    }

    fn validations(&self) -> u64 {
        self.intervals.count(self.max_epochs)
    }

    fn by_epoch(&self) -> bool {
        true
    }

    fn run(&mut self, runner: &mut Runner) -> Result<()> {
        // A run may have stopped between its checkpoint and the validation.
        self.validate_if_due(runner)?;
        while runner.epoch() < self.max_epochs && !runner.stopping() {
            runner.train_epoch()?;
            self.validate_if_due(runner)?;
        }
        Ok(())
    }
}

//! Training epoch by epoch.

use occam_config::{Error, Registry, Value};
use occam_engine::schedule::Length;
use serde::Deserialize;

use super::TrainLoop;
use crate::Result;
use crate::runner::Runner;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    max_epochs: u64,
    #[serde(default = "one")]
    val_begin: u64,
    #[serde(default = "one")]
    val_interval: u64,
}

fn one() -> u64 {
    1
}

/// `EpochBasedTrainLoop(max_epochs, val_begin=1, val_interval=1)`: validates after every `val_interval` epochs from
/// epoch `val_begin` on, and after the last.
pub(super) struct EpochBasedTrainLoop {
    config: Config,
}

pub(super) fn build(value: &Value, _: &Registry) -> Result<Box<dyn TrainLoop>, Error> {
    let config: Config = value.parse()?;
    if config.val_interval == 0 {
        return Err(Error::new("`val_interval` must be at least 1").at(value));
    }
    Ok(Box::new(EpochBasedTrainLoop { config }))
}

impl TrainLoop for EpochBasedTrainLoop {
    fn length(&self, epoch: u64) -> Length {
        let max_epochs = self.config.max_epochs;
        Length { epoch, max_epochs, max_iters: max_epochs.saturating_mul(epoch) }
    }

    fn run(&mut self, runner: &mut Runner) -> Result<()> {
        while runner.epoch() < self.config.max_epochs {
            runner.train_epoch()?;
            let epoch = runner.epoch();
            let last = epoch == self.config.max_epochs;
            let due = epoch >= self.config.val_begin && epoch.is_multiple_of(self.config.val_interval);
            if last || due {
                runner.validate()?;
            }
        }
        Ok(())
    }
}

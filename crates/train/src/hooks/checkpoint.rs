//! Saves the run.

use std::path::PathBuf;

use occam_config::{Error, Registry, Value};
use serde::Deserialize;

use super::Hook;
use crate::runner::Runner;
use crate::{Result, Step};

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    interval: i64,
    by_epoch: bool,
    max_keep_ckpts: i64,
    save_last: bool,
    save_optimizer: bool,
    save_param_scheduler: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            interval: 1,
            by_epoch: true,
            max_keep_ckpts: -1,
            save_last: true,
            save_optimizer: true,
            save_param_scheduler: true,
        }
    }
}

/// `CheckpointHook(interval=1, by_epoch=True, max_keep_ckpts=-1, save_last=True)`: writes `epoch_N.safetensors` or
/// `iter_N.safetensors` and names it in `last_checkpoint`; keeps the newest `max_keep_ckpts`, all where it is -1. An
/// `interval` of -1 saves the end alone.
struct CheckpointHook {
    config: Config,
    saved: Option<u64>,
}

pub(super) fn build(value: &Value, _: &Registry) -> Result<Box<dyn Hook>, Error> {
    let config: Config = value.parse()?;
    if config.interval == 0 || config.interval < -1 || config.max_keep_ckpts == 0 {
        return Err(Error::new("CheckpointHook: `interval` and `max_keep_ckpts` must be -1 or at least 1"));
    }
    if !config.save_optimizer || !config.save_param_scheduler {
        return Err(Error::new("CheckpointHook: a checkpoint always holds all that resuming needs"));
    }
    Ok(Box::new(CheckpointHook { config, saved: None }))
}

impl CheckpointHook {
    fn due(&self, step: u64) -> bool {
        u64::try_from(self.config.interval).is_ok_and(|n| step.is_multiple_of(n))
    }

    fn save(&mut self, runner: &mut Runner, kind: &str, step: u64) -> Result<()> {
        runner.save_checkpoint(&format!("{kind}_{step}.safetensors"))?;
        self.saved = Some(runner.iter());
        if let Ok(keep) = usize::try_from(self.config.max_keep_ckpts) {
            for path in older(runner, kind, keep, step) {
                // The checkpoint is written; a leftover is no reason to stop.
                if let Err(e) = std::fs::remove_file(&path) {
                    runner.message(&format!("{} cannot be removed: {e}", path.display()));
                }
            }
        }
        Ok(())
    }
}

/// Checkpoints of one kind up to `step` beyond the newest `keep`, found on disk so that those of a resumed run count.
fn older(runner: &Runner, kind: &str, keep: usize, step: u64) -> Vec<PathBuf> {
    let number = |path: &PathBuf| -> Option<u64> {
        let name = path.file_name()?.to_str()?;
        name.strip_prefix(kind)?.strip_prefix('_')?.strip_suffix(".safetensors")?.parse().ok()
    };
    let Ok(entries) = std::fs::read_dir(runner.work_dir()) else { return Vec::new() };
    let mut found: Vec<(u64, PathBuf)> =
        entries.flatten().map(|e| e.path()).filter_map(|p| Some((number(&p)?, p))).collect();
    found.retain(|(n, _)| *n <= step);
    found.sort();
    found.truncate(found.len().saturating_sub(keep));
    found.into_iter().map(|(_, p)| p).collect()
}

impl Hook for CheckpointHook {
    fn priority(&self) -> u32 {
        90
    }

    fn after_train_iter(&mut self, runner: &mut Runner, _: &Step) -> Result<()> {
        let iter = runner.iter();
        // At the end of an epoch the schedules still have to step: `after_train_epoch` saves then.
        if !self.config.by_epoch && self.due(iter) && !runner.at_epoch_end() {
            self.save(runner, "iter", iter)?;
        }
        Ok(())
    }

    fn after_train_epoch(&mut self, runner: &mut Runner) -> Result<()> {
        let epoch = runner.epoch();
        let iter = runner.iter();
        if !self.config.by_epoch && self.due(iter) {
            self.save(runner, "iter", iter)?;
        } else if self.config.by_epoch && self.due(epoch) {
            self.save(runner, "epoch", epoch)?;
        }
        Ok(())
    }

    fn after_train(&mut self, runner: &mut Runner) -> Result<()> {
        if self.config.save_last && self.saved != Some(runner.iter()) {
            // A training by iterations may end within an epoch.
            let whole = runner.at_epoch_end();
            match self.config.by_epoch && whole {
                true => self.save(runner, "epoch", runner.epoch())?,
                false => self.save(runner, "iter", runner.iter())?,
            }
        }
        Ok(())
    }
}

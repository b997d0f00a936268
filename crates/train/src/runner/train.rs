//! Training.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use indexmap::IndexMap;
use occam_data::Batch;

use super::Runner;
use super::save::LAST;
use crate::evaluate::Metrics;
use crate::journal::{Journal, Moment};
use crate::reporter::Progress;
use crate::{Algorithm, Error, Result, Step, StepContext, interrupt};

impl Runner {
    /// Trains to the end and returns the last validation's results.
    ///
    /// # Errors
    /// The config has no training, a step failed, or the work directory cannot be written.
    pub fn train(&mut self) -> Result<Metrics> {
        let mut train_loop = self.training.as_mut().and_then(|t| t.train_loop.take()).ok_or_else(|| {
            Error::Other("the config has no `train_cfg`, so there is nothing to train".into())
        })?;
        let resumed = self.start()?;
        self.with_hooks(|hook, runner| hook.before_train(runner))?;
        fs::create_dir_all(&self.work_dir)
            .map_err(|source| Error::Io { path: self.work_dir.clone(), source })?;
        if !resumed && holds_a_run(&self.work_dir) {
            // A run that cannot begin leaves what an earlier one did where it is.
            self.first_batch()?;
            let dir = set_aside(&self.work_dir)?;
            self.reporter.message(&format!("an earlier run's files were moved to {}", dir.display()));
        }
        let text = self.config_text.clone();
        occam_io::atomic_write(self.work_dir.join("config.py"), |f| f.write_all(text.as_bytes()))?;
        for warning in self.algorithm.warnings().to_vec() {
            self.reporter.message(&format!("warning: {warning}"));
        }
        let validated = self.validated == Some(self.iter);
        self.journal = Some(Journal::open(&self.work_dir, self.iter, validated)?);
        if let Some(training) = &mut self.training {
            training.optim.set_count(self.iter, training.length.max_iters);
        }
        train_loop.run(self)?;
        self.with_hooks(|hook, runner| hook.after_train(runner))?;
        self.reporter.finished();
        Ok(self.last_metrics.clone())
    }

    /// Reads the first training batch, to see whether that is possible.
    fn first_batch(&self) -> Result<()> {
        if let Some(training) = &self.training
            && let Some(batch) = training.loader.epoch(0, 0).next()
        {
            batch?;
        }
        Ok(())
    }

    /// Trains to the end of the current epoch.
    ///
    /// # Errors
    /// A step failed.
    pub fn train_epoch(&mut self) -> Result<()> {
        let length = self.epoch_length()?;
        let rest = length - self.iter % length;
        self.train_until(self.iter + rest)
    }

    pub(super) fn epoch_length(&self) -> Result<u64> {
        match self.training.as_ref().map(|t| t.loader.len() as u64) {
            Some(0) | None => Err(Error::Other(
                "an epoch of the training data has no batch: it has fewer samples than `batch_size`".into(),
            )),
            Some(n) => Ok(n),
        }
    }

    /// Trains until `end` iterations are done, over as many epochs as it takes.
    ///
    /// # Errors
    /// A step failed.
    pub fn train_until(&mut self, end: u64) -> Result<()> {
        let length = self.epoch_length()?;
        while self.iter < end {
            let (epoch, done) = (self.iter / length, self.iter % length);
            self.epoch = epoch;
            let Some(training) = &self.training else { return Ok(()) };
            let loader = training.loader.clone();
            if done == 0 {
                self.with_hooks(|hook, runner| hook.before_train_epoch(runner))?;
            }
            let skip = usize::try_from(done).unwrap_or(usize::MAX);
            let mut batches = loader.epoch(epoch, skip);
            while self.iter < end.min((epoch + 1) * length) && !self.stopping {
                if interrupt::requested() {
                    return Err(self.interrupted());
                }
                self.started = Instant::now();
                let Some(batch) = batches.next() else {
                    let message = format!("the loader ended before its epoch of {length} batches");
                    return Err(Error::Other(message));
                };
                self.data_seconds = self.started.elapsed().as_secs_f64();
                self.train_iteration(&batch?)?;
            }
            self.end_epoch(length)?;
            if self.stopping {
                return Ok(());
            }
        }
        if interrupt::requested() {
            return Err(self.interrupted());
        }
        Ok(())
    }

    /// Counts an epoch whose steps are all done, once, and tells the hooks.
    fn end_epoch(&mut self, length: u64) -> Result<()> {
        let epoch = self.iter / length;
        if self.iter.is_multiple_of(length) && self.epoch < epoch {
            self.epoch = epoch;
            self.with_hooks(|hook, runner| hook.after_train_epoch(runner))?;
        }
        Ok(())
    }

    pub(super) fn train_iteration(&mut self, batch: &Batch) -> Result<Step> {
        self.with_hooks(|hook, runner| hook.before_train_iter(runner))?;
        let context = StepContext { epoch: self.epoch, iter: self.iter, seed: self.seed };
        let first = self.algorithm_part(|algorithm| algorithm.train_step(batch, &context).map(Some))?;
        let Some(mut step) = first else { return Ok(Step::default()) };
        for number in 1.. {
            let next = self.algorithm_part(|algorithm| algorithm.next_part(number, batch, &context))?;
            let Some(part) = next else { break };
            step.losses.extend(part.losses);
            step.cuts.extend(part.cuts);
        }
        self.iter += 1;
        self.iter_seconds = self.started.elapsed().as_secs_f64();
        let loss: f32 = step.losses.iter().filter(|(n, _)| n.contains("loss")).map(|(_, v)| v).sum();
        let total = self.training.as_ref().map_or(self.iter, |t| t.length.max_iters);
        let progress = Progress { stage: "train", done: self.iter, total, loss: Some(loss) };
        self.reporter.progress(&progress);
        self.with_hooks(|hook, runner| hook.after_train_iter(runner, &step))?;
        Ok(step)
    }

    /// One update: what `compute` gives moves the parameters.
    fn algorithm_part(
        &mut self,
        compute: impl FnOnce(&mut dyn Algorithm) -> Result<Option<Step>>,
    ) -> Result<Option<Step>> {
        if let Some(training) = &self.training {
            training.optim.prepare(&mut *self.algorithm);
        }
        let mut step = match compute(&mut *self.algorithm) {
            Ok(Some(step)) => step,
            Ok(None) => return Ok(None),
            Err(e) => return Err(self.failed(e)),
        };
        for note in std::mem::take(&mut step.notes) {
            self.reporter.message(&note);
        }
        if let Some(training) = &mut self.training {
            training.optim.cut(&step.cuts)?;
            training.last_lr = (training.optim.lr(), training.optim.base_lr());
            let gradients = std::mem::take(&mut step.gradients);
            if let Some(norm) = training.optim.step(&mut *self.algorithm, gradients)? {
                if !norm.is_finite() {
                    let (name, value) = ("gradient norm".into(), norm as f32);
                    return Err(self.failed(Error::Diverged {
                        name,
                        value,
                        iter: self.iter + 1,
                        kept: None,
                    }));
                }
                if training.optim.clips_by_norm() {
                    step.losses.insert("grad_norm".into(), norm as f32);
                }
            }
        }
        Ok(Some(step))
    }

    /// The error that ends a training, with what is kept of it; the log tells where that was, whoever reads it later.
    fn failed(&mut self, mut error: Error) -> Error {
        if let Error::Diverged { kept, .. } = &mut error
            && self.saved.is_some()
        {
            *kept = self.last_checkpoint().ok().flatten();
        }
        let at = IndexMap::from([("failed_at".to_owned(), (self.iter + 1) as f64)]);
        let (epoch, iter) = (self.epoch, self.iter);
        if let Some(journal) = &mut self.journal {
            let moment = Moment { mode: "error", epoch, iter, step: iter, hierarchy: false };
            if let Err(e) = journal.scalars(moment, &at) {
                self.reporter.message(&format!("warning: {e}"));
            }
        }
        error
    }
}

/// Whether an earlier run left something in a work directory.
fn holds_a_run(work_dir: &Path) -> bool {
    [LAST, "log.jsonl"].iter().any(|name| work_dir.join(name).exists())
}

/// The folders into which earlier runs were moved, in order.
fn folders_aside(work_dir: &Path) -> impl Iterator<Item = PathBuf> + '_ {
    (1..).map(|n: u32| work_dir.join(format!("before_{n}")))
}

/// The folder into which the run before this one was moved, if one was.
pub(super) fn last_aside(work_dir: &Path) -> Option<PathBuf> {
    folders_aside(work_dir).take_while(|dir| dir.exists()).last()
}

/// Moves what an earlier run left in a work directory into a folder of its own.
fn set_aside(work_dir: &Path) -> Result<PathBuf> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::Io { path, source }
    };
    let ours = |name: &str| {
        let saved = name.ends_with(".safetensors")
            && ["epoch_", "iter_", "best_"].iter().any(|prefix| name.starts_with(prefix));
        saved || ["config.py", "log.jsonl", "tensorboard"].contains(&name)
    };
    let mut names = Vec::new();
    for entry in fs::read_dir(work_dir).map_err(failed(work_dir))? {
        let name = entry.map_err(failed(work_dir))?.file_name();
        if name.to_str().is_some_and(ours) {
            names.push(name);
        }
    }
    let last = work_dir.join(LAST);
    let dir = folders_aside(work_dir).find(|d| !d.exists()).unwrap_or_else(|| work_dir.join("before"));
    fs::create_dir(&dir).map_err(failed(&dir))?;
    // First the file that names a checkpoint: a half-moved run must not be resumed by chance.
    if last.exists() {
        fs::rename(&last, dir.join(LAST)).map_err(failed(&last))?;
    }
    for name in names {
        let from = work_dir.join(&name);
        fs::rename(&from, dir.join(&name)).map_err(failed(&from))?;
    }
    Ok(dir)
}

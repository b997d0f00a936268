//! Training, and going on after a stop.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::{Resume, Runner};
use crate::checkpoint::{self, Checkpoint, FORMAT, Position};
use crate::evaluate::Metrics;
use crate::journal::Journal;
use crate::reporter::Progress;
use crate::{Error, Result, StepContext};
use indexmap::IndexMap;
use occam_data::Batch;

/// The file that names the newest checkpoint.
const LAST: &str = "last_checkpoint";

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
        fs::create_dir_all(&self.work_dir)
            .map_err(|source| Error::Io { path: self.work_dir.clone(), source })?;
        if !resumed && let Some(dir) = set_aside(&self.work_dir)? {
            self.reporter.message(&format!("an earlier run's files were moved to {}", dir.display()));
        }
        let text = self.config_text.clone();
        occam_io::atomic_write(self.work_dir.join("config.py"), |f| f.write_all(text.as_bytes()))?;
        for warning in self.algorithm.warnings().to_vec() {
            self.reporter.message(&format!("warning: {warning}"));
        }
        self.journal = Some(Journal::open(&self.work_dir, self.iter)?);
        self.with_hooks(|hook, runner| hook.before_train(runner))?;
        train_loop.run(self)?;
        if self.last_metrics.is_empty() {
            self.validate()?;
        }
        self.with_hooks(|hook, runner| hook.after_train(runner))?;
        self.reporter.finished();
        Ok(self.last_metrics.clone())
    }

    /// Takes over weights alone.
    ///
    /// # Errors
    /// The file cannot be read or does not fit.
    pub fn load_weights(&mut self, path: &Path) -> Result<()> {
        let checkpoint = Checkpoint::load(path)?;
        let whole = checkpoint.apply(&mut *self.algorithm);
        if whole.is_ok() {
            return Ok(());
        }
        // A checkpoint of the architecture alone, or of another algorithm around it.
        let weights = checkpoint.architecture(self.algorithm.architecture().graph())?;
        match self.algorithm.models_mut().into_iter().next() {
            Some((_, model)) => model.load(&weights),
            None => whole,
        }
    }

    /// Goes to where the run should begin; whether that is where an earlier one stopped.
    fn start(&mut self) -> Result<bool> {
        let path = match &self.resume {
            Resume::No => return Ok(false),
            Resume::From(path) => path.clone(),
            Resume::Auto => match self.last_checkpoint()? {
                Some(path) => path,
                None => {
                    self.reporter.message("nothing to resume: starting from the beginning");
                    return Ok(false);
                }
            },
        };
        let checkpoint = Checkpoint::load(&path)?;
        let position = checkpoint.position()?.clone();
        let refuse = |message: String| Error::Checkpoint { path: path.clone(), message };
        if position.seed != self.seed.0 {
            let message = format!("it was made with seed {}, this run has {}", position.seed, self.seed.0);
            return Err(refuse(message));
        }
        let length = self.epoch_length()?;
        let Some(training) = &mut self.training else { return Ok(false) };
        if position.epoch_length != length {
            let message = format!(
                "its epochs had {} iterations, this run's have {length}: data or batch size differ",
                position.epoch_length
            );
            return Err(refuse(message));
        }
        if position.optimizer != training.optim.kind() {
            let message =
                format!("it was made with {}, this run has {}", position.optimizer, training.optim.kind());
            return Err(refuse(message));
        }
        checkpoint.apply(&mut *self.algorithm)?;
        if position.schedules.len() != training.schedules.len() {
            return Err(refuse("it was made with other schedules".into()));
        }
        for (schedule, progress) in training.schedules.iter_mut().zip(&position.schedules) {
            schedule.resume(*progress);
        }
        training
            .optim
            .load_state(checkpoint.optimizer(&self.device)?)
            .map_err(|e| refuse(format!("its optimizer's state does not fit: {e}")))?;
        training.optim.set_lr(f64::from_bits(position.lr_bits));
        self.epoch = position.epoch;
        self.iter = position.iter;
        self.reporter.message(&format!(
            "resumed from {}: {} epochs, {} iterations done",
            path.display(),
            self.epoch,
            self.iter
        ));
        Ok(true)
    }

    /// The newest checkpoint of the work directory.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn last_checkpoint(&self) -> Result<Option<PathBuf>> {
        let path = self.work_dir.join(LAST);
        match fs::read_to_string(&path) {
            Ok(name) => Ok(Some(self.work_dir.join(name.trim()))),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::Io { path, source }),
        }
    }

    /// Writes a checkpoint called `name` and makes it the last one.
    ///
    /// # Errors
    /// The disk failed.
    pub fn save_checkpoint(&mut self, name: &str) -> Result<()> {
        let epoch_length = self.epoch_length()?;
        let Some(training) = &self.training else { return Ok(()) };
        let position = Position {
            format: FORMAT,
            epoch: self.epoch,
            iter: self.iter,
            seed: self.seed.0,
            lr_bits: training.optim.lr().to_bits(),
            schedules: training.schedules.iter().map(|s| s.progress()).collect(),
            epoch_length,
            optimizer: training.optim.kind().to_owned(),
        };
        let path = self.work_dir.join(name);
        checkpoint::save(&path, &*self.algorithm, &training.optim.state(), &position)?;
        occam_io::atomic_write(self.work_dir.join(LAST), |f| f.write_all(name.as_bytes()))?;
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

    fn epoch_length(&self) -> Result<u64> {
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
            while self.iter < end.min((epoch + 1) * length) {
                let asked = Instant::now();
                let Some(batch) = batches.next() else {
                    let message = format!("the loader ended before its epoch of {length} batches");
                    return Err(Error::Other(message));
                };
                self.data_seconds = asked.elapsed().as_secs_f64();
                self.train_iteration(&batch?)?;
            }
            self.end_epoch(length)?;
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

    fn train_iteration(&mut self, batch: &Batch) -> Result<()> {
        let context = StepContext { epoch: self.epoch, iter: self.iter, seed: self.seed };
        if let Some(training) = &self.training {
            training.optim.prepare(&mut *self.algorithm);
        }
        let mut step = match self.algorithm.train_step(batch, &context) {
            Ok(step) => step,
            Err(e) => {
                // The log should tell where it ended, whoever reads it later.
                if let Some(journal) = &mut self.journal {
                    let at = IndexMap::from([("failed_at".to_owned(), (self.iter + 1) as f64)]);
                    journal.scalars("error", self.epoch, self.iter, &at)?;
                }
                return Err(e);
            }
        };
        if let Some(training) = &mut self.training {
            training.last_lr = training.optim.lr();
            let gradients = std::mem::take(&mut step.gradients);
            let norm = training.optim.step(&mut *self.algorithm, gradients)?;
            if !norm.is_finite() && !training.optim.skipped() {
                return Err(Error::Diverged {
                    name: "gradient norm".into(),
                    value: norm as f32,
                    iter: context.iter + 1,
                });
            }
            if training.optim.clips() && norm.is_finite() {
                step.losses.insert("grad_norm".into(), norm as f32);
            }
        }
        self.iter += 1;
        let loss: f32 = step.losses.iter().filter(|(n, _)| n.contains("loss")).map(|(_, v)| v).sum();
        let total = self.training.as_ref().map_or(self.iter, |t| t.length.max_iters);
        let progress = Progress { stage: "train", done: self.iter, total, loss: Some(loss) };
        self.reporter.progress(&progress);
        self.with_hooks(|hook, runner| hook.after_train_iter(runner, &step))
    }
}

/// Moves what an earlier run left in a work directory into a folder of its own; none where there is nothing.
fn set_aside(work_dir: &Path) -> Result<Option<PathBuf>> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::Io { path, source }
    };
    let ours = |name: &str| {
        let checkpoint =
            name.ends_with(".safetensors") && (name.starts_with("epoch_") || name.starts_with("iter_"));
        checkpoint || ["config.py", "log.jsonl", "tensorboard"].contains(&name)
    };
    let mut names = Vec::new();
    for entry in fs::read_dir(work_dir).map_err(failed(work_dir))? {
        let name = entry.map_err(failed(work_dir))?.file_name();
        if name.to_str().is_some_and(ours) {
            names.push(name);
        }
    }
    let last = work_dir.join(LAST);
    if !last.exists() && !work_dir.join("log.jsonl").exists() {
        return Ok(None);
    }
    let dir = (1..)
        .map(|n: u32| work_dir.join(format!("before_{n}")))
        .find(|d| !d.exists())
        .unwrap_or_else(|| work_dir.join("before"));
    fs::create_dir(&dir).map_err(failed(&dir))?;
    // First the file that names a checkpoint: a half-moved run must not be resumed by chance.
    if last.exists() {
        fs::rename(&last, dir.join(LAST)).map_err(failed(&last))?;
    }
    for name in names {
        let from = work_dir.join(&name);
        fs::rename(&from, dir.join(&name)).map_err(failed(&from))?;
    }
    Ok(Some(dir))
}

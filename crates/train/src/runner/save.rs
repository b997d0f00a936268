//! Checkpoints of a run, and going on from one.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::train::last_aside;
use super::{Resume, Runner};
use crate::checkpoint::{ACCUMULATED, ALGORITHM, Checkpoint, Draft, FORMAT, OPTIMIZER, Position};
use crate::{Error, Result};

/// The file that names the newest checkpoint.
pub(super) const LAST: &str = "last_checkpoint";

/// What a checkpoint holds beside weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contents {
    /// The optimizer's tensors.
    pub optimizer: bool,
    /// Where schedules stand.
    pub schedules: bool,
}

impl Default for Contents {
    fn default() -> Self {
        Self { optimizer: true, schedules: true }
    }
}

impl Runner {
    /// Takes over weights alone.
    ///
    /// # Errors
    /// The file cannot be read or does not fit.
    pub fn load_weights(&mut self, path: &Path) -> Result<()> {
        Checkpoint::load(path)?.take_over(&mut *self.algorithm, true)?;
        Ok(())
    }

    /// Goes to where the run should begin; whether that is where an earlier one stopped.
    pub(super) fn start(&mut self) -> Result<bool> {
        let path = match &self.resume {
            Resume::No => return Ok(false),
            Resume::From(path) => path.clone(),
            Resume::Auto => match self.last_checkpoint()? {
                Some(path) => path,
                None => {
                    let aside = last_aside(&self.work_dir).map(|dir| {
                        format!(
                            "; the run before was moved to {}, name its checkpoint to go on there",
                            dir.display()
                        )
                    });
                    let aside = aside.unwrap_or_default();
                    self.reporter.message(&format!("nothing to resume: starting from the beginning{aside}"));
                    return Ok(false);
                }
            },
        };
        let checkpoint = Checkpoint::load(&path)?;
        let position = checkpoint.position()?.clone();
        let length = self.epoch_length()?;
        let Some(training) = &mut self.training else { return Ok(false) };
        if position.seed != self.seed.0 {
            let message = format!("it was made with seed {}, this run has {}", position.seed, self.seed.0);
            return Err(checkpoint.refuse(message));
        }
        if position.epoch_length != length {
            return Err(checkpoint.refuse(format!(
                "its epochs had {} iterations, this run's have {length}: data or batch size differ",
                position.epoch_length
            )));
        }
        let (Some(optimizer), Some(schedules)) = (&position.optimizer, &position.schedules) else {
            return Err(checkpoint.refuse(
                "it was saved without optimizer or schedules and no run can be resumed from it; use `load_from`",
            ));
        };
        if optimizer != training.optim.kind() {
            let message = format!("it was made with {optimizer}, this run has {}", training.optim.kind());
            return Err(checkpoint.refuse(message));
        }
        if schedules.len() != training.schedules.len() {
            return Err(checkpoint.refuse("it was made with other schedules"));
        }
        let read = |space: &str| {
            let own = [OPTIMIZER, ACCUMULATED, ALGORITHM].contains(&space);
            own || self.hooks.iter().flatten().any(|hook| hook.spaces().contains(&space))
        };
        if let Some(space) = checkpoint.spaces().find(|space| !read(space)) {
            return Err(checkpoint.refuse(format!(
                "it holds `{space}`, which none of this run's hooks reads (`ema_state_dict` is an EMAHook's)"
            )));
        }
        checkpoint.apply(&mut *self.algorithm)?;
        let own = checkpoint.space(ALGORITHM).cloned().unwrap_or_default();
        self.algorithm
            .load_state(&own)
            .map_err(|e| checkpoint.refuse(format!("its algorithm's state does not fit: {e}")))?;
        for (schedule, progress) in training.schedules.iter_mut().zip(schedules) {
            schedule.resume(*progress);
        }
        let space = |name: &str| checkpoint.space(name).cloned().unwrap_or_default();
        training
            .optim
            .resume(&position.groups, &space(OPTIMIZER), &space(ACCUMULATED), &self.device)
            .map_err(|e| checkpoint.refuse(format!("its optimizer's state does not fit: {e}")))?;
        self.epoch = position.epoch;
        self.iter = position.iter;
        self.validated = position.validated;
        self.info = position.info;
        self.saved = Some(position.iter);
        self.with_hooks(|hook, runner| hook.after_load(runner, &checkpoint))?;
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

    /// Writes a checkpoint, and makes it the last one where a run can be resumed from it.
    ///
    /// # Errors
    /// The disk failed.
    pub fn save_checkpoint(&mut self, path: &Path, contents: Contents) -> Result<()> {
        let mut draft = self.draft()?;
        let epoch_length = self.epoch_length()?;
        let Some(training) = &self.training else { return Ok(()) };
        if contents.optimizer {
            draft.space(OPTIMIZER, &training.optim.state())?;
            draft.space(ACCUMULATED, training.optim.pending())?;
        }
        let own = self.algorithm.state()?;
        if !own.is_empty() {
            draft.spaces.insert(ALGORITHM.to_owned(), own);
        }
        let position = Position {
            format: FORMAT,
            epoch: self.epoch,
            iter: self.iter,
            validated: self.validated,
            seed: self.seed.0,
            epoch_length,
            optimizer: contents.optimizer.then(|| training.optim.kind().to_owned()),
            groups: training.optim.group_states(),
            schedules: contents
                .schedules
                .then(|| training.schedules.iter().map(occam_engine::schedule::Schedule::progress).collect()),
            info: self.info.clone(),
        };
        draft.write(path, &position)?;
        let name = self.kept_name(path)?;
        if contents == Contents::default() {
            occam_io::atomic_write(self.work_dir.join(LAST), |f| f.write_all(name.as_bytes()))?;
            self.saved = Some(self.iter);
        }
        Ok(())
    }

    /// How a file is called in what is kept for later: relative to the work directory where it is in there, so that the
    /// directory can be moved, and in full elsewhere, wherever the run goes on.
    ///
    /// # Errors
    /// There is no current directory.
    pub fn kept_name(&self, path: &Path) -> Result<String> {
        let name = match path.strip_prefix(&self.work_dir) {
            Ok(inside) => inside.to_owned(),
            Err(_) => {
                std::path::absolute(path).map_err(|source| Error::Io { path: path.to_owned(), source })?
            }
        };
        Ok(name.display().to_string())
    }

    /// Writes the weights alone.
    ///
    /// # Errors
    /// The disk failed.
    pub fn save_weights(&mut self, path: &Path) -> Result<()> {
        let draft = self.draft()?;
        Ok(occam_io::safetensors::save(path, &draft.weights, &indexmap::IndexMap::new())?)
    }

    fn draft(&mut self) -> Result<Draft> {
        let mut draft = Draft::of(&*self.algorithm)?;
        self.with_hooks(|hook, runner| hook.before_save(runner, &mut draft))?;
        Ok(draft)
    }

    /// Saves a run that somebody asked to stop, unless that was done; the error to end it with.
    pub(super) fn interrupted(&mut self) -> Error {
        let iter = self.iter;
        let saved = (|| {
            if let Some(last) = self.last_checkpoint()?
                && self.saved == Some(iter)
            {
                return Ok(last);
            }
            let path = self.work_dir.join(format!("iter_{iter}.safetensors"));
            self.save_checkpoint(&path, Contents::default())?;
            Ok(path)
        })();
        match saved {
            Ok(path) => Error::Interrupted { iter, saved: Some(path) },
            Err(e) => e,
        }
    }
}

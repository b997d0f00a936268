//! The runner: a config becomes a run.

mod config;
mod train;

pub(crate) use config::seed;

use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use occam_config::Registry;
use occam_data::{Evaluator, Loader, Seed};
use occam_engine::Device;
use occam_engine::schedule::{Length, Schedule};

use crate::evaluate::Metrics;
use crate::hooks::Hook;
use crate::journal::Journal;
use crate::loops::{EvalLoop, TrainLoop};
use crate::optim::OptimWrapper;
use crate::reporter::Reporter;
use crate::{Algorithm, Error, Result};

/// Whether and from where a run goes on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Resume {
    /// From the beginning.
    #[default]
    No,
    /// From the work directory's last checkpoint, from the beginning where there is none.
    Auto,
    /// From a file.
    From(PathBuf),
}

/// What a run is told beside its config.
pub struct RunOptions<'a> {
    /// All components.
    pub registry: &'a Registry,
    /// Reads further configs, such as those of `cfg_path`.
    pub loader: &'a occam_config::Loader,
    /// Where results go.
    pub work_dir: PathBuf,
    /// Seed instead of the config's `randomness.seed`.
    pub seed: Option<u64>,
    /// Where models run.
    pub device: Device,
    /// Whether to go on; the config's `resume` counts too.
    pub resume: Resume,
    /// Who is told.
    pub reporter: Box<dyn Reporter>,
}

/// One side of a run's data: a loader with its evaluator and loop.
struct Evaluation {
    loader: Loader,
    evaluator: Evaluator,
    eval_loop: Box<dyn EvalLoop>,
}

/// What only training needs.
struct Training {
    loader: Loader,
    train_loop: Option<Box<dyn TrainLoop>>,
    optim: OptimWrapper,
    schedules: Vec<Schedule>,
    length: Length,
    /// Learning rate of the last step taken, for logs.
    last_lr: f64,
}

/// A run: model, data, optimizer and hooks, and where it stands.
pub struct Runner {
    work_dir: PathBuf,
    config_text: String,
    seed: Seed,
    device: Device,
    algorithm: Box<dyn Algorithm>,
    training: Option<Training>,
    val: Option<Evaluation>,
    test: Option<Evaluation>,
    hooks: Vec<Box<dyn Hook>>,
    journal: Option<Journal>,
    reporter: Box<dyn Reporter>,
    resume: Resume,
    epoch: u64,
    iter: u64,
    data_seconds: f64,
    last_metrics: Metrics,
    image_size: std::sync::OnceLock<[usize; 3]>,
}

impl Runner {
    /// Where results go.
    pub fn work_dir(&self) -> &Path {
        &self.work_dir
    }

    /// Seed of the run.
    pub fn seed(&self) -> Seed {
        self.seed
    }

    /// Epochs finished.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Iterations finished.
    pub fn iter(&self) -> u64 {
        self.iter
    }

    /// Whether the iterations done are a whole number of epochs.
    pub fn at_epoch_end(&self) -> bool {
        self.training.as_ref().is_some_and(|t| self.iter.is_multiple_of((t.loader.len() as u64).max(1)))
    }

    /// What is trained.
    pub fn algorithm(&self) -> &dyn Algorithm {
        &*self.algorithm
    }

    /// What is trained, to be changed by a hook.
    pub fn algorithm_mut(&mut self) -> &mut dyn Algorithm {
        &mut *self.algorithm
    }

    /// Results of the last validation.
    pub fn last_metrics(&self) -> &Metrics {
        &self.last_metrics
    }

    /// Learning rate of the last step.
    pub fn last_lr(&self) -> f64 {
        self.training.as_ref().map_or(0.0, |t| t.last_lr)
    }

    /// Seconds that the last step waited for its batch.
    pub fn data_seconds(&self) -> f64 {
        self.data_seconds
    }

    /// Tells people a sentence.
    pub fn message(&mut self, text: &str) {
        self.reporter.message(text);
    }

    /// Gives the reporter back, for the next run.
    pub fn into_reporter(self) -> Box<dyn Reporter> {
        self.reporter
    }

    /// Steps the schedules by epoch, or those by iteration.
    pub fn step_schedules(&mut self, by_epoch: bool) {
        if let Some(training) = &mut self.training {
            let mut lr = training.optim.lr();
            for schedule in training.schedules.iter_mut().filter(|s| s.by_epoch() == by_epoch) {
                lr = schedule.step(lr);
            }
            training.optim.set_lr(lr);
        }
    }

    /// Writes scalars to the logs and to people.
    ///
    /// # Errors
    /// The disk failed.
    pub fn log(&mut self, mode: &str, values: &IndexMap<String, f64>) -> Result<()> {
        if let Some(journal) = &mut self.journal {
            journal.scalars(mode, self.epoch, self.iter, values)?;
        }
        let at = format!("epoch {}, iteration {}", self.epoch, self.iter);
        self.reporter.scalars(mode, &at, values);
        Ok(())
    }

    /// Channels, height and width of the images a model gets.
    ///
    /// # Errors
    /// There is no data to look at.
    pub fn image_size(&self) -> Result<[usize; 3]> {
        if let Some(size) = self.image_size.get() {
            return Ok(*size);
        }
        let loader = [self.test.as_ref(), self.val.as_ref()].into_iter().flatten().map(|e| &e.loader).next();
        let loader = loader
            .or(self.training.as_ref().map(|t| &t.loader))
            .ok_or_else(|| Error::Other("the config has no data to take the image size from".into()))?;
        let first =
            loader.epoch(0, 0).next().ok_or_else(|| Error::Other("the data set is empty".into()))??;
        match first.inputs.shape() {
            &[_, c, h, w] => Ok(*self.image_size.get_or_init(|| [c, h, w])),
            other => Err(Error::Other(format!("batches of shape {other:?} are no images"))),
        }
    }

    fn with_hooks(&mut self, mut call: impl FnMut(&mut dyn Hook, &mut Self) -> Result<()>) -> Result<()> {
        let mut hooks = std::mem::take(&mut self.hooks);
        let result = hooks.iter_mut().try_for_each(|hook| call(&mut **hook, self));
        self.hooks = hooks;
        result
    }

    /// Measures on the validation data, if there is any, and tells logs and hooks.
    ///
    /// # Errors
    /// The data cannot be read, or does not fit.
    pub fn validate(&mut self) -> Result<Metrics> {
        let Some(val) = &mut self.val else { return Ok(Metrics::new()) };
        let metrics = val.eval_loop.run(
            &*self.algorithm,
            &val.loader,
            &mut val.evaluator,
            "val",
            &mut *self.reporter,
        )?;
        self.log("val", &metrics)?;
        self.last_metrics = metrics.clone();
        self.with_hooks(|hook, runner| hook.after_val(runner, &metrics))?;
        Ok(metrics)
    }

    /// Measures on the test data.
    ///
    /// # Errors
    /// The config has no test data, or it cannot be read, or does not fit.
    pub fn test(&mut self) -> Result<Metrics> {
        let Some(test) = &mut self.test else {
            return Err(Error::Other("the config has no `test_dataloader` and `test_evaluator`".into()));
        };
        test.eval_loop.run(&*self.algorithm, &test.loader, &mut test.evaluator, "test", &mut *self.reporter)
    }
}

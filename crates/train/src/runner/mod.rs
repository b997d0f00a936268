//! The runner: a config becomes a run.

mod config;
mod evaluate;
mod load_from;
mod save;
mod settings;
mod train;
mod trial;

pub use config::data_loader;
pub(crate) use config::forget_checkpoints;
pub(crate) use settings::seed;
pub use settings::{NAMES, strange_names};

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use indexmap::IndexMap;
use occam_config::{Error as ConfigError, Registry, Value};
use occam_data::{Dataset, Evaluator, Loader, Seed};
use occam_engine::Device;
use occam_engine::schedule::{Length, Schedule};

use crate::checkpoint::Info;
use crate::evaluate::Metrics;
use crate::hooks::Hook;
use crate::journal::{Journal, Moment};
use crate::log::{LogProcessor, Place};
use crate::loops::{EvalLoop, TrainLoop};
use crate::optim::Optimizers;
use crate::reporter::{Log, Reporter};
use crate::{Algorithm, Error, Result};

pub use save::Contents;

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

/// Makes the data set that a config describes, or another in its stead; see [`Runner::with_datasets`].
pub type MakeDataset<'a> = dyn Fn(&Value, &Registry) -> Result<Box<dyn Dataset>, ConfigError> + 'a;

/// The data of a run that is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// `train_dataloader`
    Train,
    /// `val_dataloader`
    Val,
    /// `test_dataloader`
    Test,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Side::Train => "train",
            Side::Val => "val",
            Side::Test => "test",
        })
    }
}

/// One side of a run's data: a loader with its evaluator and loop.
struct Evaluation {
    loader: Loader,
    evaluator: Evaluator,
    eval_loop: Box<dyn EvalLoop>,
}

/// A schedule and the optimizer that it moves; all of them where none is named.
struct Planned {
    part: Option<usize>,
    schedule: Schedule,
}

/// What only training needs.
struct Training {
    loader: Loader,
    train_loop: Option<Box<dyn TrainLoop>>,
    optim: Optimizers,
    schedules: Vec<Planned>,
    length: Length,
    by_epoch: bool,
    /// Learning rates of the last step taken, for logs: of the first parameter, and without `paramwise_cfg`.
    last_lr: (f64, Option<f64>),
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
    /// A hook is taken out while it acts.
    hooks: Vec<Option<Box<dyn Hook>>>,
    log_processor: LogProcessor,
    journal: Option<Journal>,
    reporter: Box<dyn Reporter>,
    resume: Resume,
    epoch: u64,
    iter: u64,
    /// Iterations finished when the last checkpoint was written.
    saved: Option<u64>,
    /// Iterations finished when the last validation ended.
    validated: Option<u64>,
    stopping: bool,
    info: Info,
    /// When the present step began to wait for its batch.
    started: Instant,
    iter_seconds: f64,
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

    /// Where models run.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Epochs finished.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Iterations finished.
    pub fn iter(&self) -> u64 {
        self.iter
    }

    /// Whether the training counts epochs; iterations else.
    pub fn by_epoch(&self) -> bool {
        self.training.as_ref().is_some_and(|t| t.by_epoch)
    }

    /// Whether the iterations done are a whole number of epochs.
    pub fn at_epoch_end(&self) -> bool {
        self.training.as_ref().is_some_and(|t| self.iter.is_multiple_of((t.loader.len() as u64).max(1)))
    }

    /// Where the run stands, for logs. After the last step of an epoch it is still that epoch.
    pub fn place(&self) -> Place {
        let length =
            self.training.as_ref().map_or(Length { epoch: 1, max_epochs: 0, max_iters: 0 }, |t| t.length);
        let epoch_length = length.epoch.max(1);
        let inner = match self.iter.checked_sub(self.epoch * epoch_length) {
            Some(inner) => inner,
            None => self.iter % epoch_length,
        };
        Place {
            epoch: self.epoch,
            max_epochs: length.max_epochs,
            inner,
            epoch_length,
            iter: self.iter,
            max_iters: length.max_iters,
        }
    }

    /// What is trained.
    pub fn algorithm(&self) -> &(dyn Algorithm + 'static) {
        &*self.algorithm
    }

    /// What is trained, to be changed by a hook.
    pub fn algorithm_mut(&mut self) -> &mut dyn Algorithm {
        &mut *self.algorithm
    }

    /// The training's optimizers; none where the config trains nothing.
    pub fn optim(&self) -> Option<&Optimizers> {
        self.training.as_ref().map(|t| &t.optim)
    }

    /// The training data; none where the config trains nothing.
    pub fn train_loader(&self) -> Option<&Loader> {
        self.training.as_ref().map(|t| &t.loader)
    }

    /// Number of classes that some data names; none where there is no such data.
    pub fn classes(&self, side: Side) -> Option<usize> {
        let loader = match side {
            Side::Train => self.train_loader(),
            Side::Val => self.val.as_ref().map(|e| &e.loader),
            Side::Test => self.test.as_ref().map(|e| &e.loader),
        };
        loader.map(|l| l.dataset().classes().len())
    }

    /// Results of the last validation.
    pub fn last_metrics(&self) -> &Metrics {
        &self.last_metrics
    }

    /// Learning rate of the last step: of the first parameter, and that without `paramwise_cfg` where some parameter has its
    /// own.
    pub fn last_lr(&self) -> (f64, Option<f64>) {
        self.training.as_ref().map_or((0.0, None), |t| t.last_lr)
    }

    /// Seconds of the last step, and those of them that it waited for its batch.
    pub fn seconds(&self) -> (f64, f64) {
        (self.iter_seconds, self.data_seconds)
    }

    /// What hooks remember; part of every checkpoint.
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// What hooks remember, to be changed.
    pub fn info_mut(&mut self) -> &mut Info {
        &mut self.info
    }

    /// Ends the training after the present step or validation, as if it were the last.
    pub fn stop(&mut self) {
        self.stopping = true;
    }

    /// Whether the training should end.
    pub fn stopping(&self) -> bool {
        self.stopping
    }

    /// How figures of the training are told.
    pub fn log_processor(&self) -> &LogProcessor {
        &self.log_processor
    }

    /// How figures of the training are told, to be given some.
    pub fn log_processor_mut(&mut self) -> &mut LogProcessor {
        &mut self.log_processor
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
            for planned in training.schedules.iter_mut().filter(|p| p.schedule.by_epoch() == by_epoch) {
                training.optim.advance(&mut planned.schedule, planned.part);
            }
        }
    }

    /// Gives schedules that follow a figure of the validation theirs.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn show_schedules(&mut self, metrics: &Metrics) -> Result<()> {
        let Some(training) = &mut self.training else { return Ok(()) };
        for Planned { part, schedule } in &mut training.schedules {
            let Some(monitor) = schedule.monitor() else { continue };
            let Some(&figure) = metrics.get(monitor) else {
                let known: Vec<&str> = metrics.keys().map(String::as_str).collect();
                let message = format!(
                    "the validation gives no `{monitor}` for `param_scheduler`, but {}",
                    known.join(", ")
                );
                return Err(ConfigError::new(message).into());
            };
            training.optim.observe(schedule, *part, figure);
        }
        Ok(())
    }

    /// Writes scalars to the logs, and `line` to people. TensorBoard counts by `step`.
    ///
    /// # Errors
    /// The disk failed.
    pub fn log(&mut self, stage: &str, values: &IndexMap<String, f64>, step: u64, line: &str) -> Result<()> {
        let (epoch, iter) = (self.epoch, self.iter);
        if let Some(journal) = &mut self.journal {
            let hierarchy = self.log_processor.log_with_hierarchy;
            journal.scalars(Moment { mode: stage, epoch, iter, step, hierarchy }, values)?;
        }
        self.reporter.log(&Log { stage, epoch, iter, values, line });
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
        let loader = loader.or(self.training.as_ref().map(|t| &t.loader)).ok_or_else(|| {
            Error::Other(
                "the config has no data to take the image size from; give it (--shape 3,224,224)".into(),
            )
        })?;
        let first =
            loader.epoch(0, 0).next().ok_or_else(|| Error::Other("the data set is empty".into()))??;
        match first.inputs.shape() {
            &[_, c, h, w] => Ok(*self.image_size.get_or_init(|| [c, h, w])),
            other => Err(Error::Other(format!("batches of shape {other:?} are no images"))),
        }
    }

    /// Calls all hooks but those that are acting already.
    fn with_hooks(&mut self, mut call: impl FnMut(&mut dyn Hook, &mut Self) -> Result<()>) -> Result<()> {
        for i in 0..self.hooks.len() {
            let Some(mut hook) = self.hooks.get_mut(i).and_then(Option::take) else { continue };
            let result = call(&mut *hook, self);
            if let Some(place) = self.hooks.get_mut(i) {
                *place = Some(hook);
            }
            result?;
        }
        Ok(())
    }
}

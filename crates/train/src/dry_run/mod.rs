//! Trying a config without its data: everything is built, two iterations are trained and one batch is validated, on
//! synthetic images of the right size.

mod config;

use indexmap::IndexMap;
use occam_config::{Registry, Value};
use occam_graph::Role;
use serde::Serialize;

use crate::evaluate::Metrics;
use crate::{Result, RunOptions, Runner};

/// Where the length of a data set is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The data are there and were counted.
    Data,
    /// The data are not there, and of a well known set.
    Usual,
    /// The data are not there.
    Unknown,
}

/// How long one side's data are, and how they are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Length {
    /// Images of an epoch, where that is known.
    pub images: Option<usize>,
    /// How it is known.
    pub source: Source,
    /// Images of a batch.
    pub batch: usize,
    /// Threads that make batches in the real run.
    pub workers: usize,
}

impl Length {
    fn batches(&self) -> Option<f64> {
        self.images.map(|n| n.div_ceil(self.batch.max(1)) as f64)
    }

    /// Seconds from one batch to the next, when `data` seconds of work of one thread make one and `work` seconds use
    /// it up.
    fn pace(&self, data: f64, work: f64) -> f64 {
        match self.workers {
            0 => data + work,
            n => work.max(data / n as f64),
        }
    }
}

/// What running a few iterations told.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trial {
    pub(crate) data_seconds: Vec<f64>,
    pub(crate) step_seconds: Vec<f64>,
    pub(crate) losses: IndexMap<String, f32>,
    /// Iterations of the whole run, by the length of the data that it was built with.
    pub(crate) max_iters: u64,
    pub(crate) max_epochs: u64,
    pub(crate) validations: u64,
    /// Seconds to make a batch and to predict and rate it.
    pub(crate) val_seconds: Option<[f64; 2]>,
    pub(crate) metrics: Metrics,
}

/// What a config was found to do and to cost.
#[derive(Debug, Clone, Serialize)]
pub struct DryRun {
    /// Numbers that are trained or measured: the weights of the model that is evaluated.
    pub params: usize,
    /// Channels, height and width of the images that the model gets.
    pub image: [usize; 3],
    /// The training data, if there are any.
    pub train: Option<Length>,
    /// The validation data, if there are any.
    pub val: Option<Length>,
    /// Losses of the last iteration.
    pub losses: IndexMap<String, f32>,
    /// Figures of the validation; on random images they only show that they can be computed.
    pub metrics: Metrics,
    /// Seconds of every iteration, its data excluded; the first one warms up.
    pub iteration_seconds: Vec<f64>,
    /// Seconds that one thread takes to transform a training batch; reading and decoding files are not part of it.
    pub data_seconds: Option<f64>,
    /// Seconds of a validation batch, its data excluded.
    pub val_seconds: Option<f64>,
    /// Epochs and iterations of the whole run, where the length of the data is known.
    pub epochs: Option<u64>,
    /// See `epochs`.
    pub iterations: Option<u64>,
    /// Seconds that the whole run would take on this machine, validations included.
    pub whole_seconds: Option<f64>,
}

/// Builds what `config` describes, trains two iterations and validates one batch, all without the config's data and
/// without the checkpoints that it names. Nothing is written.
///
/// # Errors
/// The config is wrong, or a step failed.
pub fn dry_run(config: &Value, options: RunOptions<'_>) -> Result<DryRun> {
    let registry: &Registry = options.registry;
    let tried = config::without_data(config, registry)?;
    let mut runner = Runner::from_config(&tried.config, options)?;
    let image = runner.image_size()?;
    let trial = runner.trial(2)?;
    let model = runner.algorithm().architecture();
    let params =
        model.params.iter().filter(|(_, p)| p.role == Role::Weight).map(|(_, p)| p.tensor.len()).sum();

    let known = tried.train.is_some_and(|t| t.images.is_some());
    let step = trial.step_seconds.last().copied();
    let data = trial.data_seconds.last().copied();
    let (iterations, epochs) = (known.then_some(trial.max_iters), known.then_some(trial.max_epochs));
    let training = match (tried.train, data, step, iterations) {
        (Some(length), Some(data), Some(step), Some(n)) => Some(length.pace(data, step) * n as f64),
        _ => None,
    };
    let validating = match (tried.val, trial.val_seconds) {
        (Some(length), Some([data, work])) => {
            length.batches().map(|n| n * length.pace(data, work) * trial.validations as f64)
        }
        _ => Some(0.0),
    };
    Ok(DryRun {
        params,
        image,
        train: tried.train,
        val: tried.val,
        losses: trial.losses,
        metrics: trial.metrics,
        iteration_seconds: trial.step_seconds,
        data_seconds: data,
        val_seconds: trial.val_seconds.map(|[_, work]| work),
        epochs,
        iterations,
        whole_seconds: training.zip(validating).map(|(a, b)| a + b),
    })
}

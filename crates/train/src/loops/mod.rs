//! Loops: how a run goes through its data. One a file.

mod epoch_based;
mod evaluation;
mod intervals;
mod iter_based;

pub use evaluation::{EvalLoop, EvalRun, ValLoop};

use occam_config::{Build, Registry, Value};
use occam_engine::schedule::Length;

use crate::Result;
use crate::runner::Runner;

/// A way through the training data.
pub trait TrainLoop: Send {
    /// How long the training is, where an epoch has `epoch` iterations.
    fn length(&self, epoch: u64) -> Length;

    /// How often it validates from the beginning to the end.
    fn validations(&self) -> u64;

    /// Whether it counts epochs; iterations else.
    fn by_epoch(&self) -> bool;

    /// Trains from where the runner stands to the end, or until [`Runner::stopping`].
    ///
    /// # Errors
    /// A step failed.
    fn run(&mut self, runner: &mut Runner) -> Result<()>;
}

const TRAIN: &[(&str, Build<dyn TrainLoop>)] =
    &[("EpochBasedTrainLoop", epoch_based::build), ("IterBasedTrainLoop", iter_based::build)];

const EVAL: &[(&str, Build<dyn EvalLoop>)] =
    &[("TestLoop", evaluation::build), ("ValLoop", evaluation::build)];

pub(crate) fn register(registry: &mut Registry) {
    registry.register_all::<dyn TrainLoop>("train loop", TRAIN);
    registry.register_all::<dyn EvalLoop>("evaluation loop", EVAL);
}

/// Reads `train_cfg`: a loop by `type`, or by `by_epoch` as mmengine's short form.
///
/// # Errors
/// A key is unknown or of the wrong type.
pub fn train_loop(value: &Value, registry: &Registry) -> Result<Box<dyn TrainLoop>> {
    if value.get("type").is_some() {
        return Ok(registry.build::<dyn TrainLoop>(value)?);
    }
    let mut short = value.clone();
    let by_epoch = match short.as_dict_mut().and_then(|d| d.remove("by_epoch")) {
        Some(v) => {
            v.as_bool().ok_or_else(|| occam_config::Error::new("`by_epoch` must be True or False").at(&v))?
        }
        None => true,
    };
    let build = if by_epoch { epoch_based::build } else { iter_based::build };
    Ok(build(&short, registry).map_err(|e| e.at(value))?)
}

/// Reads `val_cfg` or `test_cfg`. Its `dataloader` and `evaluator`, which any loop may have, are the run's business.
///
/// # Errors
/// A key is unknown or of the wrong type.
pub fn eval_loop(value: Option<&Value>, registry: &Registry) -> Result<Box<dyn EvalLoop>> {
    let mut own = value.filter(|v| !v.is_none()).cloned();
    if let Some(dict) = own.as_mut().and_then(Value::as_dict_mut) {
        for key in ["dataloader", "evaluator"] {
            dict.remove(key);
        }
    }
    match &own {
        Some(v) if v.get("type").is_some() => Ok(registry.build::<dyn EvalLoop>(v)?),
        Some(v) => Ok(evaluation::build(v, registry).map_err(|e| e.at(v))?),
        None => Ok(Box::new(ValLoop)),
    }
}

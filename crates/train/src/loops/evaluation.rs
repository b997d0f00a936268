//! Validation and test.

use std::path::Path;

use occam_config::{Error, Registry, Value};
use occam_data::{Evaluator, Loader, Seed};
use serde::Deserialize;

use crate::evaluate::{Metrics, evaluate};
use crate::reporter::Reporter;
use crate::{Algorithm, Result};

/// A way to measure an algorithm.
pub trait EvalLoop: Send {
    /// Figures over the data set.
    ///
    /// # Errors
    /// The data cannot be read, or does not fit.
    fn run(
        &mut self,
        algorithm: &dyn Algorithm,
        loader: &Loader,
        evaluator: &mut Evaluator,
        stage: &str,
        reporter: &mut dyn Reporter,
    ) -> Result<Metrics>;

    /// Whether it needs training data, beside those that it measures on.
    fn needs_training_data(&self) -> bool {
        false
    }

    /// Told once, before the first [`EvalLoop::run`], what else the run has.
    ///
    /// # Errors
    /// The run does not fit the loop.
    fn begin(&mut self, run: EvalRun<'_>) -> Result<()> {
        let _ = run;
        Ok(())
    }

    /// Told before a trial of the run on a batch or two: what takes long and needs no proof is to be short.
    fn shorten(&mut self) {}

    /// Called after a validation of a run that writes into `work_dir`; what was written there, for people.
    ///
    /// # Errors
    /// The disk failed.
    fn finished(&mut self, algorithm: &dyn Algorithm, work_dir: &Path) -> Result<Option<String>> {
        let _ = (algorithm, work_dir);
        Ok(None)
    }
}

/// What a run has, for loops that need it.
pub struct EvalRun<'a> {
    /// The training data, where there are any and the loop needs them.
    pub training: Option<Loader>,
    /// Seed of the run.
    pub seed: Seed,
    /// Where results go.
    pub work_dir: &'a Path,
}

/// `ValLoop` and `TestLoop`: measure the model that will be exported.
pub struct ValLoop;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default)]
    fp16: bool,
}

impl ValLoop {
    /// Reads the keys that all evaluation loops have: `fp16`, which must be False.
    ///
    /// # Errors
    /// A key is unknown, of the wrong type, or asks for half precision.
    pub fn from_config(value: &Value) -> Result<Self, Error> {
        let config: Config = value.parse()?;
        if config.fp16 {
            let error = Error::new("`fp16=True` is not supported: models are measured in single precision");
            return Err(error.at(value.get("fp16").unwrap_or(value)).with_help("remove it"));
        }
        Ok(Self)
    }
}

pub(super) fn build(value: &Value, _: &Registry) -> Result<Box<dyn EvalLoop>, Error> {
    Ok(Box::new(ValLoop::from_config(value)?))
}

impl EvalLoop for ValLoop {
    fn run(
        &mut self,
        algorithm: &dyn Algorithm,
        loader: &Loader,
        evaluator: &mut Evaluator,
        stage: &str,
        reporter: &mut dyn Reporter,
    ) -> Result<Metrics> {
        evaluate(algorithm.architecture(), loader, evaluator, stage, reporter)
    }
}

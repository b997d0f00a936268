//! Validation and test.

use occam_config::{Error, Registry, Value};
use occam_data::{Evaluator, Loader};
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
}

/// `ValLoop` and `TestLoop`: measure the model that will be exported.
pub struct ValLoop;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default, rename = "fp16")]
    _fp16: bool,
}

pub(super) fn build(value: &Value, _: &Registry) -> Result<Box<dyn EvalLoop>, Error> {
    let _: Config = value.parse()?;
    Ok(Box::new(ValLoop))
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

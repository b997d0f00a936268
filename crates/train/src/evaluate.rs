//! Measuring a model on a data set.

use indexmap::IndexMap;
use occam_data::{DataSample, Evaluator, Loader};

use crate::reporter::{Progress, Reporter};
use crate::{Error, Model, Result, interrupt};

/// Figures by name.
pub type Metrics = IndexMap<String, f64>;

/// Predicts all samples of `loader` and measures the predictions.
///
/// # Errors
/// The data cannot be read, or does not fit the model or the metrics; or somebody asked to stop.
pub fn evaluate(
    model: &Model,
    loader: &Loader,
    evaluator: &mut Evaluator,
    stage: &str,
    reporter: &mut dyn Reporter,
) -> Result<Metrics> {
    let total = loader.len() as u64;
    for (i, batch) in loader.epoch(0, 0).enumerate() {
        if interrupt::requested() {
            return Err(Error::Interrupted { iter: 0, saved: None });
        }
        let samples: Vec<DataSample> = model.predict(&batch?)?;
        evaluator.process(&samples)?;
        reporter.progress(&Progress { stage, done: i as u64 + 1, total, loss: None });
    }
    reporter.finished();
    Ok(evaluator.compute()?)
}

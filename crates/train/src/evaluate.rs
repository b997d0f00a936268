//! Measuring a model on a data set.

use indexmap::IndexMap;
use occam_data::{Batch, DataSample, Evaluator, Loader};

use crate::reporter::{Progress, Reporter};
use crate::{Error, Form, Model, Result, interrupt};

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
    evaluate_by(&|batch| model.predict(batch), loader, evaluator, stage, reporter)
}

/// As [`evaluate`], of one form of `model`.
///
/// # Errors
/// As [`evaluate`].
pub fn evaluate_form(
    model: &Model,
    form: &Form,
    loader: &Loader,
    evaluator: &mut Evaluator,
    stage: &str,
    reporter: &mut dyn Reporter,
) -> Result<Metrics> {
    let predict = |batch: &Batch| model.predict_by(&form.executor, &form.params, batch, form.mode);
    evaluate_by(&predict, loader, evaluator, stage, reporter)
}

fn evaluate_by(
    predict: &dyn Fn(&Batch) -> Result<Vec<DataSample>>,
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
        evaluator.process(&predict(&batch?)?)?;
        reporter.progress(&Progress { stage, done: i as u64 + 1, total, loss: None });
    }
    reporter.finished();
    Ok(evaluator.compute()?)
}

//! Measuring a model that rounds beside the one that does not.

use occam_config::{Error, Registry, Value};
use occam_data::{Evaluator, Loader};
use occam_train::evaluate::{Metrics, evaluate};
use occam_train::loops::{EvalLoop, ValLoop};
use occam_train::reporter::Reporter;
use occam_train::{Algorithm, Result};

use super::quantized;

/// `QATValLoop(fp16=False)`: the evaluator's figures of the model that rounds as `qat.*`, and of the model as it was before it
/// was quantized as `original.*`.
pub struct QATValLoop;

pub(super) fn build(value: &Value, _: &Registry) -> Result<Box<dyn EvalLoop>, Error> {
    ValLoop::from_config(value)?;
    Ok(Box::new(QATValLoop))
}

impl EvalLoop for QATValLoop {
    fn run(
        &mut self,
        algorithm: &dyn Algorithm,
        loader: &Loader,
        evaluator: &mut Evaluator,
        stage: &str,
        reporter: &mut dyn Reporter,
    ) -> Result<Metrics> {
        let own = quantized(algorithm, "QATValLoop")?;
        let mut all = Metrics::new();
        for (name, model) in [("qat", own.architecture()), ("original", own.original())] {
            let figures = evaluate(model, loader, evaluator, stage, reporter)?;
            all.extend(figures.into_iter().map(|(key, value)| (format!("{name}.{key}"), value)));
        }
        Ok(all)
    }
}

//! Measuring student and teacher.

use occam_config::{Error, Registry, Value};
use occam_data::{Evaluator, Loader};
use occam_train::evaluate::{Metrics, evaluate};
use occam_train::loops::{EvalLoop, ValLoop};
use occam_train::reporter::Reporter;
use occam_train::{Algorithm, Result};

use crate::algorithms::TEACHER;

/// `SingleTeacherDistillValLoop(fp16=False)`: measures the student as `ValLoop` does, then the teacher on the same data;
/// the teacher's figures are called `teacher.accuracy/top1` and so on. An algorithm without a teacher is measured as by
/// `ValLoop`.
///
/// A teacher that never changes is measured once and its figures are repeated.
#[derive(Debug, Default)]
pub struct SingleTeacherDistillValLoop {
    frozen: Option<Metrics>,
}

pub(super) fn build(value: &Value, _: &Registry) -> Result<Box<dyn EvalLoop>, Error> {
    ValLoop::from_config(value)?;
    Ok(Box::new(SingleTeacherDistillValLoop::default()))
}

impl EvalLoop for SingleTeacherDistillValLoop {
    fn run(
        &mut self,
        algorithm: &dyn Algorithm,
        loader: &Loader,
        evaluator: &mut Evaluator,
        stage: &str,
        reporter: &mut dyn Reporter,
    ) -> Result<Metrics> {
        let mut metrics = evaluate(algorithm.architecture(), loader, evaluator, stage, reporter)?;
        let Some((_, teacher)) = algorithm.models().into_iter().find(|(prefix, _)| *prefix == TEACHER) else {
            return Ok(metrics);
        };
        let of_teacher = match &self.frozen {
            Some(figures) => figures.clone(),
            None => evaluate(teacher, loader, evaluator, stage, reporter)?,
        };
        if algorithm.is_frozen(TEACHER) {
            self.frozen = Some(of_teacher.clone());
        }
        metrics.extend(of_teacher.into_iter().map(|(name, value)| (format!("{TEACHER}{name}"), value)));
        Ok(metrics)
    }
}

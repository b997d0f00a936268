//! Validation and test.

use super::{Evaluation, Runner};
use crate::evaluate::Metrics;
use crate::{Error, Result};

impl Runner {
    /// Measures on the validation data, if there is any, and tells the hooks.
    ///
    /// # Errors
    /// The data cannot be read, or does not fit; or somebody asked to stop.
    pub fn validate(&mut self) -> Result<Metrics> {
        if self.val.is_none() {
            return Ok(Metrics::new());
        }
        let metrics = self.with_hooks(|hook, runner| hook.before_val(runner)).and_then(|()| self.measure());
        let written = match (&metrics, &mut self.val) {
            (Ok(_), Some(val)) => val.eval_loop.finished(&*self.algorithm, &self.work_dir),
            _ => Ok(None),
        };
        self.with_hooks(|hook, runner| hook.undo_val(runner))?;
        if let Some(written) = written? {
            self.reporter.message(&written);
        }
        let metrics = match metrics {
            Err(Error::Interrupted { .. }) if self.training.is_some() => return Err(self.interrupted()),
            metrics => metrics?,
        };
        self.last_metrics = metrics.clone();
        self.with_hooks(|hook, runner| hook.after_val(runner, &metrics))?;
        self.validated = Some(self.iter);
        Ok(metrics)
    }

    /// As [`Runner::validate`], if that was not done yet after the present number of steps.
    ///
    /// # Errors
    /// As [`Runner::validate`].
    pub fn validate_once(&mut self) -> Result<()> {
        if self.validated != Some(self.iter) {
            self.validate()?;
        }
        Ok(())
    }

    /// Measures the models as they are on the validation data.
    ///
    /// # Errors
    /// There is none, or it cannot be read, or does not fit.
    pub fn measure(&mut self) -> Result<Metrics> {
        let Some(Evaluation { loader, evaluator, eval_loop }) = &mut self.val else {
            return Err(Error::Other("the config has no `val_dataloader` and `val_evaluator`".into()));
        };
        self.algorithm.settle()?;
        eval_loop.run(&*self.algorithm, loader, evaluator, "val", &mut *self.reporter)
    }

    /// Measures on the test data.
    ///
    /// # Errors
    /// The config has no test data, or it cannot be read, or does not fit.
    pub fn test(&mut self) -> Result<Metrics> {
        self.with_hooks(|hook, runner| hook.before_test(runner))?;
        let Some(Evaluation { loader, evaluator, eval_loop }) = &mut self.test else {
            return Err(Error::Other("the config has no `test_dataloader` and `test_evaluator`".into()));
        };
        self.algorithm.settle()?;
        eval_loop.run(&*self.algorithm, loader, evaluator, "test", &mut *self.reporter)
    }
}

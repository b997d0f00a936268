//! A few iterations, to see what a run is like.

use std::time::Instant;

use super::Runner;
use crate::Result;
use crate::dry_run::Trial;

impl Runner {
    /// Trains `iterations` iterations and validates all of the validation data, without logs and checkpoints.
    ///
    /// # Errors
    /// A step failed.
    pub(crate) fn trial(&mut self, iterations: u64) -> Result<Trial> {
        let mut trial = Trial::default();
        // They log and save.
        self.hooks.clear();
        if let Some(training) = &self.training {
            trial.max_iters = training.length.max_iters;
            trial.max_epochs = training.length.max_epochs;
            trial.validations = training.train_loop.as_ref().map_or(0, |l| l.validations());
            let mut batches = training.loader.clone().epoch(0, 0);
            for _ in 0..iterations {
                let asked = Instant::now();
                let Some(batch) = batches.next() else { break };
                let batch = batch?;
                trial.data_seconds.push(asked.elapsed().as_secs_f64());
                let started = Instant::now();
                trial.losses = self.train_iteration(&batch)?.losses;
                trial.step_seconds.push(started.elapsed().as_secs_f64());
            }
        }
        if let Some(val) = &mut self.val {
            val.eval_loop.shorten();
            let asked = Instant::now();
            for batch in val.loader.epoch(0, 0) {
                batch?;
            }
            let data = asked.elapsed().as_secs_f64();
            let started = Instant::now();
            self.algorithm.settle()?;
            trial.metrics = val.eval_loop.run(
                &*self.algorithm,
                &val.loader,
                &mut val.evaluator,
                "val",
                &mut *self.reporter,
            )?;
            let work = (started.elapsed().as_secs_f64() - data).max(0.0);
            trial.val_seconds = Some([data, work]);
        }
        Ok(trial)
    }
}

//! Exact statistics for batch normalization.

use indexmap::IndexMap;
use occam_config::{Error, Registry, Value};
use occam_engine::{Mode, Request, Tensor};
use serde::Deserialize;

use super::Hook;
use crate::runner::Runner;
use crate::space::statistics;
use crate::{Result, Step, StepContext};

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    num_samples: usize,
    interval: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { num_samples: 8192, interval: 1 }
    }
}

/// `PreciseBNHook(num_samples=8192, interval=1)`: every `interval` epochs (iterations, where the loop counts these) the
/// running statistics of batch normalization become the mean of the batch statistics over `num_samples` training images,
/// taken in the order of the next epoch (Wu and Johnson, 2021, arXiv:2105.07576).
struct PreciseBnHook {
    config: Config,
}

pub(super) fn build(value: &Value, _: &Registry) -> Result<Box<dyn Hook>, Error> {
    let config: Config = value.parse()?;
    if config.interval == 0 || config.num_samples == 0 {
        return Err(Error::new("PreciseBNHook: `interval` and `num_samples` must be at least 1").at(value));
    }
    Ok(Box::new(PreciseBnHook { config }))
}

fn update(runner: &mut Runner, num_samples: usize) -> Result<()> {
    let Some(loader) = runner.train_loader().cloned() else { return Ok(()) };
    let statistics = statistics(runner.algorithm().architecture().graph())?;
    if statistics.is_empty() {
        runner.message("warning: PreciseBNHook finds no batch normalization");
        return Ok(());
    }
    let batches = (num_samples / loader.batch_size()).min(loader.len());
    if batches == 0 {
        runner.message("warning: PreciseBNHook has fewer `num_samples` than a batch; nothing is done");
        return Ok(());
    }
    let (epoch, iter, seed) = (runner.epoch(), runner.iter(), runner.seed());
    let model = runner.algorithm().architecture();
    // From 0 on the new statistics are the batch's, times its share.
    let mut params = model.params.constants();
    for (name, _) in &statistics {
        if let Some(tensor) = params.get_mut(name) {
            *tensor = Tensor::full(&tensor.shape(), 0.0, &tensor.device());
        }
    }
    let mut sums: IndexMap<String, Tensor> = IndexMap::new();
    for (i, batch) in loader.epoch(epoch, 0).take(batches).enumerate() {
        // What dropout leaves out differs from batch to batch, and a resumed run leaves out the same.
        let noise = StepContext { epoch, iter: iter + i as u64, seed }.noise("PreciseBNHook");
        let request = Request { noise: Some(noise), ..Request::new(Mode::Train) };
        let outputs = model.forward(&params, &batch?, &request)?;
        for (name, share) in &statistics {
            let Some((_, tensor)) = outputs.buffers.iter().find(|(n, _)| n == name) else { continue };
            let part = tensor.scale(1.0 / (share * batches as f64))?;
            let sum = match sums.swap_remove(name) {
                Some(sum) => sum.add(&part)?,
                None => part,
            };
            sums.insert(name.clone(), sum);
        }
    }
    if let Some((_, model)) = runner.algorithm_mut().models_mut().into_iter().next() {
        for (name, sum) in sums {
            model.params.set(&name, sum)?;
        }
    }
    Ok(())
}

impl Hook for PreciseBnHook {
    fn after_train_iter(&mut self, runner: &mut Runner, _: &Step) -> Result<()> {
        if !runner.by_epoch() && runner.iter().is_multiple_of(self.config.interval) {
            update(runner, self.config.num_samples)?;
        }
        Ok(())
    }

    fn after_train_epoch(&mut self, runner: &mut Runner) -> Result<()> {
        if runner.by_epoch() && runner.epoch().is_multiple_of(self.config.interval) {
            update(runner, self.config.num_samples)?;
        }
        Ok(())
    }
}

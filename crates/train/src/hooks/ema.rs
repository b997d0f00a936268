//! Averages of the weights over the steps.

use indexmap::IndexMap;
use occam_config::{Error, Registry, Value};
use occam_engine::Tensor;
use occam_graph::{Array, Role, Weights};
use serde::Deserialize;

use super::Hook;
use crate::checkpoint::{Checkpoint, Draft};
use crate::error::refuse;
use crate::evaluate::Metrics;
use crate::runner::Runner;
use crate::{Result, Step};

/// Space of a checkpoint that holds the weights that are trained.
const SPACE: &str = "ema_state_dict";
/// Where the number of updates is remembered.
const STEPS: &str = "ema_steps";

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    ema_type: String,
    #[serde(rename = "strict_load")]
    _strict_load: bool,
    begin_iter: u64,
    begin_epoch: u64,
    evaluate_on_ema: bool,
    evaluate_on_origin: bool,
    momentum: f64,
    gamma: Option<u64>,
    interval: u64,
    update_buffers: bool,
    device: Option<Value>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            ema_type: "ExponentialMovingAverage".into(),
            _strict_load: false,
            begin_iter: 0,
            begin_epoch: 0,
            evaluate_on_ema: true,
            evaluate_on_origin: false,
            momentum: 2e-4,
            gamma: None,
            interval: 1,
            update_buffers: false,
            device: None,
        }
    }
}

/// How an average follows the weights.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Average {
    /// `ExponentialMovingAverage`: `a = a + momentum · (w − a)`.
    Exponential { momentum: f64 },
    /// `MomentumAnnealingEMA`: with `max(momentum, gamma / (gamma + t))`, after `t` updates.
    Annealing { momentum: f64, gamma: u64 },
    /// `StochasticWeightAverage`: the mean of all (Izmailov et al., 2018, arXiv:1803.05407).
    Stochastic,
}

impl Average {
    /// The share of the weights in the average after `steps` updates.
    fn share(self, steps: u64, interval: u64) -> f64 {
        match self {
            Average::Exponential { momentum } => momentum,
            Average::Annealing { momentum, gamma } => {
                momentum.max(gamma as f64 / gamma.saturating_add(steps) as f64)
            }
            Average::Stochastic => 1.0 / (steps / interval + 1) as f64,
        }
    }
}

/// `EMAHook`: keeps an average of the weights, and validates and saves that.
///
/// | key | default | |
/// |---|---|---|
/// | `ema_type` | `ExponentialMovingAverage` | or `MomentumAnnealingEMA`, `StochasticWeightAverage` |
/// | `momentum` | 0.0002 | share of the weights in the average at an update; not of `StochasticWeightAverage` |
/// | `gamma` | 100 | of `MomentumAnnealingEMA` |
/// | `interval` | 1 | steps between two updates |
/// | `update_buffers` | False | whether buffers are averaged too, not copied |
/// | `begin_iter`, `begin_epoch` | 0 | before these the average is a copy |
/// | `evaluate_on_ema` | True | whether validations measure the average |
/// | `evaluate_on_origin` | False | whether validations measure the weights that are trained, too: `<figure>_origin` in the logs |
/// | `strict_load` | False | accepted: weights of another model are always refused |
///
/// In a checkpoint the averages have the weights' own names, so that `occam test` and `occam export` take them; what is
/// trained is under `ema_state_dict/`.
struct EmaHook {
    config: Config,
    average: Average,
    /// The averages by full name; of buffers only where they are averaged.
    averages: IndexMap<String, Tensor>,
    steps: u64,
    swapped: bool,
}

pub(super) fn build(value: &Value, _: &Registry) -> Result<Box<dyn Hook>, Error> {
    let mut config: Config = value.parse()?;
    let at = |key: &str, message: String| Err(Error::new(message).at(value.get(key).unwrap_or(value)));
    if config.begin_iter != 0 && config.begin_epoch != 0 {
        return at("begin_iter", "EMAHook: give `begin_iter` or `begin_epoch`, not both".into());
    }
    if config.interval == 0 {
        return at("interval", "EMAHook: `interval` must be at least 1".into());
    }
    if config.device.as_ref().is_some_and(|v| !v.is_none()) {
        return at("device", "EMAHook: averages live where the model does; `device` is not supported".into());
    }
    let momentum = config.momentum;
    let average = match config.ema_type.rsplit('.').next().unwrap_or_default() {
        "ExponentialMovingAverage" => Average::Exponential { momentum },
        "MomentumAnnealingEMA" => Average::Annealing { momentum, gamma: config.gamma.unwrap_or(100) },
        "StochasticWeightAverage" => Average::Stochastic,
        other => return at("ema_type", format!("there is no average `{other}`")),
    };
    if average == Average::Stochastic && value.get("momentum").is_some() {
        return at("momentum", "StochasticWeightAverage takes no `momentum`".into());
    }
    if !(momentum > 0.0 && momentum < 1.0) {
        return at("momentum", "EMAHook: `momentum` must be above 0 and below 1".into());
    }
    match (average, config.gamma) {
        (Average::Annealing { gamma: 0, .. }, _) => {
            return at("gamma", "EMAHook: `gamma` must be above 0".into());
        }
        (Average::Annealing { .. }, _) | (_, None) => {}
        (_, Some(_)) => return at("gamma", format!("{} takes no `gamma`", config.ema_type)),
    }
    // Something has to be measured.
    config.evaluate_on_origin |= !config.evaluate_on_ema;
    Ok(Box::new(EmaHook { config, average, averages: IndexMap::new(), steps: 0, swapped: false }))
}

impl EmaHook {
    /// Calls `f` with the full name and the tensor of everything that is averaged.
    fn for_each(
        &self,
        runner: &mut Runner,
        mut f: impl FnMut(&str, &mut Tensor) -> Result<()>,
    ) -> Result<()> {
        let buffers = self.config.update_buffers;
        let algorithm = runner.algorithm_mut();
        let prefixes: Vec<&str> = algorithm.models().iter().map(|(p, _)| *p).collect();
        let frozen: Vec<bool> = prefixes.iter().map(|p| algorithm.is_frozen(p)).collect();
        for ((prefix, model), frozen) in algorithm.models_mut().into_iter().zip(frozen) {
            if frozen {
                continue;
            }
            let wanted = |role: Role| role == Role::Weight || buffers;
            let names: Vec<String> =
                model.params.iter().filter(|(_, p)| wanted(p.role)).map(|(n, _)| n.to_owned()).collect();
            for name in names {
                let Some(param) = model.params.get(&name) else { continue };
                let mut tensor = param.tensor.clone();
                if tensor.dtype()?.is_float() {
                    f(&format!("{prefix}{name}"), &mut tensor)?;
                    model.params.set(&name, tensor)?;
                }
            }
        }
        Ok(())
    }

    fn copy(&mut self, runner: &mut Runner) -> Result<()> {
        let mut averages = IndexMap::new();
        self.for_each(runner, |name, weight| {
            averages.insert(name.to_owned(), weight.clone());
            Ok(())
        })?;
        self.averages = averages;
        Ok(())
    }

    fn update(&mut self, runner: &mut Runner) -> Result<()> {
        if self.steps == 0 {
            self.copy(runner)?;
        } else if self.steps.is_multiple_of(self.config.interval) {
            let share = self.average.share(self.steps, self.config.interval);
            let mut averages = std::mem::take(&mut self.averages);
            self.for_each(runner, |name, weight| {
                if let Some(average) = averages.get_mut(name) {
                    // Nobody else has it then, and it is changed in its place.
                    let before = std::mem::replace(average, weight.clone());
                    *average = before.lerp(weight, share)?;
                }
                Ok(())
            })?;
            self.averages = averages;
        }
        self.steps += 1;
        Ok(())
    }

    fn swap(&mut self, runner: &mut Runner) -> Result<()> {
        let mut averages = std::mem::take(&mut self.averages);
        self.for_each(runner, |name, weight| {
            if let Some(average) = averages.get_mut(name) {
                std::mem::swap(average, weight);
            }
            Ok(())
        })?;
        self.averages = averages;
        self.swapped = !self.swapped;
        Ok(())
    }
}

impl Hook for EmaHook {
    fn spaces(&self) -> &'static [&'static str] {
        &[SPACE]
    }

    fn after_load(&mut self, runner: &mut Runner, checkpoint: &Checkpoint) -> Result<()> {
        self.copy(runner)?;
        let Some(trained) = checkpoint.space(SPACE) else {
            runner.message("warning: the checkpoint has no averages; they begin with its weights");
            return Ok(());
        };
        self.steps = checkpoint.position()?.info.get(STEPS).and_then(|v| v.as_u64()).unwrap_or(0);
        let device = runner.device().clone();
        let get = |weights: &Weights, name: &str| -> Result<Option<Array>> {
            weights.get(name).map(|a| a.to_f32().map_err(|e| checkpoint.refuse(e.to_string()))).transpose()
        };
        self.for_each(runner, |name, weight| match get(trained, name)? {
            Some(array) if array.shape() == weight.shape() => {
                *weight = Tensor::from_array(&array, &device)?;
                Ok(())
            }
            _ => Err(checkpoint.refuse(format!("`{name}` is not among its averages, or of another shape"))),
        })
    }

    fn before_train(&mut self, runner: &mut Runner) -> Result<()> {
        let place = runner.place();
        let (begin_iter, begin_epoch) = (self.config.begin_iter, self.config.begin_epoch);
        if begin_epoch > place.max_epochs {
            return refuse(format!("EMAHook: `begin_epoch` {begin_epoch} is after the last epoch"));
        }
        if begin_iter > place.max_iters {
            return refuse(format!("EMAHook: `begin_iter` {begin_iter} is after the last iteration"));
        }
        if self.averages.is_empty() { self.copy(runner) } else { Ok(()) }
    }

    fn after_train_iter(&mut self, runner: &mut Runner, step: &Step) -> Result<()> {
        for (name, average) in self.averages.iter_mut().filter(|_| !step.cuts.is_empty()) {
            *average = step.cuts.apply(name, average)?;
        }
        let begun = match self.config.begin_epoch {
            0 => runner.iter() >= self.config.begin_iter,
            begin => runner.epoch() + 1 >= begin,
        };
        if begun { self.update(runner) } else { self.copy(runner) }
    }

    fn before_val(&mut self, runner: &mut Runner) -> Result<()> {
        if self.config.evaluate_on_ema { self.swap(runner) } else { Ok(()) }
    }

    fn undo_val(&mut self, runner: &mut Runner) -> Result<()> {
        if self.swapped { self.swap(runner) } else { Ok(()) }
    }

    fn after_val(&mut self, runner: &mut Runner, _: &Metrics) -> Result<()> {
        if !(self.config.evaluate_on_ema && self.config.evaluate_on_origin) {
            return Ok(());
        }
        let metrics = runner.measure()?;
        let metrics = metrics.into_iter().map(|(name, v)| (format!("{name}_origin"), v)).collect();
        let line = runner.log_processor().eval_line("val", &runner.place(), &metrics);
        runner.log("val", &metrics, runner.iter(), &line)
    }

    fn before_save(&mut self, runner: &mut Runner, draft: &mut Draft) -> Result<()> {
        let mut trained = Weights::new();
        for (name, average) in &self.averages {
            if let Some(weight) = draft.weights.get_mut(name) {
                // During a validation the two are exchanged already.
                let other = average.to_array()?;
                let other = if self.swapped { other } else { std::mem::replace(weight, other) };
                trained.insert(name.clone(), other);
            }
        }
        draft.spaces.insert(SPACE.into(), trained);
        runner.info_mut().insert(STEPS.into(), self.steps.into());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_mmengines() {
        let exponential = Average::Exponential { momentum: 0.01 };
        assert_eq!(exponential.share(7, 2), 0.01);
        let annealing = Average::Annealing { momentum: 0.01, gamma: 100 };
        assert_eq!(annealing.share(1, 1), 100.0 / 101.0);
        assert_eq!(annealing.share(100_000, 1), 0.01);
        assert_eq!(Average::Stochastic.share(6, 2), 0.25);
    }
}

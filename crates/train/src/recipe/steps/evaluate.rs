//! Measures models.

use std::time::Instant;

use occam_config::{Error as ConfigError, Registry, Value};
use occam_engine::{Executor, Request, Tensor};
use occam_graph::Bindings;
use serde::Deserialize;

use crate::export;
use crate::recipe::summary::mean_std;
use crate::recipe::{Bench, ModelFigures, Plan, RecipeStep};
use crate::runner::Runner;
use crate::{Error, Result};

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    models: Option<Vec<String>>,
    metric: String,
    latency_runs: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { models: None, metric: "accuracy/top1".into(), latency_runs: 100 }
    }
}

/// `Evaluate`: accuracy on the test data for every seed, multiply-accumulates, parameters, file size, and the median
/// time of one image.
///
/// | key | default | |
/// |---|---|---|
/// | `models` | all so far | names of models |
/// | `metric` | `accuracy/top1` | the figure of `test_evaluator` that is told |
/// | `latency_runs` | 100 | images timed one by one, after a tenth of them untimed |
struct Evaluate {
    config: Config,
}

pub(super) fn build(value: &Value, _: &Registry) -> Result<Box<dyn RecipeStep>, ConfigError> {
    let config: Config = value.parse()?;
    if config.latency_runs == 0 || config.latency_runs > 100_000 {
        let error = ConfigError::new("`latency_runs` must be in 1..=100000");
        return Err(error.at(value.get("latency_runs").unwrap_or(value)));
    }
    Ok(Box::new(Evaluate { config }))
}

impl RecipeStep for Evaluate {
    fn title(&self) -> String {
        "evaluate".into()
    }

    fn check(&self, plan: &mut Plan, _: &Bench<'_>) -> Result<()> {
        self.config.models.iter().flatten().try_for_each(|name| plan.need(name))
    }

    fn run(&self, bench: &mut Bench<'_>) -> Result<()> {
        for name in bench.chosen(self.config.models.as_deref()) {
            let figures = self.measure(bench, &name)?;
            bench.figures.insert(name, figures);
        }
        Ok(())
    }
}

impl Evaluate {
    fn measure(&self, bench: &mut Bench<'_>, name: &str) -> Result<ModelFigures> {
        let product = bench.product(name)?.clone();
        let mut accuracies = Vec::new();
        let mut first = None;
        for run in &product.runs {
            let mut runner = export::load(bench, run)?;
            let metrics = runner.test()?;
            let value = metrics.get(&self.config.metric).copied().ok_or_else(|| {
                let known: Vec<&str> = metrics.keys().map(String::as_str).collect();
                let message =
                    format!("test_evaluator gives no `{}`, but {}", self.config.metric, known.join(", "));
                Error::Config(ConfigError::new(message))
            })?;
            accuracies.push(value);
            if first.is_none() {
                first = Some(self.cost(&runner)?);
            }
            bench.return_reporter(runner.into_reporter());
        }
        let Some((macs, params, latency_ms)) = first else {
            return Err(Error::Other(format!("`{name}` was never trained")));
        };
        let path = product.runs.first().and_then(|r| r.onnx.clone());
        let bytes = match &path {
            None => None,
            Some(path) => Some(
                std::fs::metadata(path).map_err(|source| Error::Io { path: path.clone(), source })?.len(),
            ),
        };
        let (mean, std) = mean_std(&accuracies);
        Ok(ModelFigures {
            name: name.into(),
            file: path.map(|p| bench.relative(&p)),
            files: product.runs.iter().filter_map(|r| Some(bench.relative(r.onnx.as_deref()?))).collect(),
            top1: accuracies.first().copied().unwrap_or(f64::NAN),
            macs,
            params,
            bytes,
            latency_ms,
            seeds: product.runs.iter().map(|r| r.seed).collect(),
            top1_seeds: accuracies,
            top1_mean: mean,
            top1_std: std,
        })
    }

    /// Multiply-accumulates, parameters and median milliseconds of one image.
    fn cost(&self, runner: &Runner) -> Result<(u64, u64, f64)> {
        let model = runner.algorithm().architecture();
        let [c, h, w] = runner.image_size()?;
        let bindings = Bindings::from([("N".into(), 1), ("H".into(), h), ("W".into(), w)]);
        let cost = model.graph().cost(&bindings)?;
        let executor = Executor::new(model.graph().clone())?;
        let params = model.params.constants();
        let image = Tensor::full(&[1, c, h, w], 0.5, model.device());
        let mut times = Vec::new();
        let runs = self.config.latency_runs;
        for i in 0..runs + runs.div_ceil(10) {
            let started = Instant::now();
            executor.run(&params, std::slice::from_ref(&image), &Request::default())?;
            if i >= runs.div_ceil(10) {
                times.push(started.elapsed().as_secs_f64() * 1000.0);
            }
        }
        times.sort_by(f64::total_cmp);
        let median = times.get(times.len() / 2).copied().unwrap_or(f64::NAN);
        Ok((cost.total.macs, cost.params, (median * 1000.0).round() / 1000.0))
    }
}

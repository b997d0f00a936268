//! Figures from predictions.

mod accuracy;

use indexmap::IndexMap;
use occam_config::{Build, Error as ConfigError, Registry, Value};

pub use accuracy::{Accuracy, Thresholds, label_rank};

use crate::{DataSample, Error, Result};

/// A figure, or several, over all samples of a data set.
pub trait Metric: Send {
    /// Takes in the predictions of one batch.
    ///
    /// # Errors
    /// A sample lacks what the metric needs, or does not fit the others.
    fn process(&mut self, samples: &[DataSample]) -> Result<()>;

    /// The figures by name (`accuracy/top1`), over all that was processed; then starts anew.
    ///
    /// # Errors
    /// Nothing was processed.
    fn compute(&mut self) -> Result<IndexMap<String, f64>>;
}

/// Metrics together: the `val_evaluator` or `test_evaluator` of a config.
#[derive(Default)]
pub struct Evaluator {
    metrics: Vec<Box<dyn Metric>>,
}

impl Evaluator {
    /// An evaluator of `metrics`.
    pub fn new(metrics: Vec<Box<dyn Metric>>) -> Self {
        Self { metrics }
    }

    /// Builds the metric, or list of metrics, that `value` describes.
    ///
    /// # Errors
    /// A metric cannot be built.
    pub fn from_config(value: &Value, registry: &Registry) -> Result<Self> {
        let items = value.as_list().unwrap_or(std::slice::from_ref(value));
        let metrics = items.iter().map(|item| registry.build::<dyn Metric>(item));
        Ok(Self { metrics: metrics.collect::<Result<_, _>>()? })
    }

    /// Takes in the predictions of one batch.
    ///
    /// # Errors
    /// As [`Metric::process`].
    pub fn process(&mut self, samples: &[DataSample]) -> Result<()> {
        self.metrics.iter_mut().try_for_each(|metric| metric.process(samples))
    }

    /// The figures of all metrics, in their order; then starts anew.
    ///
    /// # Errors
    /// As [`Metric::compute`], or two metrics give a figure of one name.
    pub fn compute(&mut self) -> Result<IndexMap<String, f64>> {
        let mut figures = IndexMap::new();
        for metric in &mut self.metrics {
            for (name, figure) in metric.compute()? {
                if figures.contains_key(&name) {
                    return Err(Error::argument(
                        "evaluator",
                        format!("two metrics give {name:?}; set a different `prefix` for one of them"),
                    ));
                }
                figures.insert(name, figure);
            }
        }
        Ok(figures)
    }
}

pub(crate) fn register(registry: &mut Registry) {
    let table: [(&str, Build<dyn Metric>); 1] = [("Accuracy", |value, _| {
        let metric: Accuracy = value.parse()?;
        metric.check().map_err(|error| ConfigError::from(error).at(value))?;
        Ok(Box::new(metric))
    })];
    registry.register_all("metric", &table);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evaluators_refuse_figures_of_one_name() {
        let sample = DataSample { gt_label: vec![1], pred_label: Some(1), ..Default::default() };
        let metrics = |prefix: &str| -> Vec<Box<dyn Metric>> {
            let mut other = Accuracy::default();
            other.prefix = Some(prefix.to_owned());
            vec![Box::new(Accuracy::default()), Box::new(other)]
        };
        let mut evaluator = Evaluator::new(metrics("other"));
        evaluator.process(std::slice::from_ref(&sample)).unwrap();
        let names: Vec<_> = evaluator.compute().unwrap().into_keys().collect();
        assert_eq!(names, ["accuracy/top1", "other/top1"]);

        let mut evaluator = Evaluator::new(metrics("accuracy"));
        evaluator.process(&[sample]).unwrap();
        assert!(evaluator.compute().is_err());
    }
}

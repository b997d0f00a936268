//! Figures from predictions.

mod accuracy;
mod average_precision;
mod confusion;
mod multi_label;
mod single_label;
mod targets;

use indexmap::IndexMap;
use occam_config::{Build, Error as ConfigError, Registry, Value};

pub use accuracy::{Accuracy, Thresholds, label_rank};
pub use average_precision::AveragePrecision;
pub use confusion::{Average, Item};
pub use multi_label::MultiLabelMetric;
pub use single_label::SingleLabelMetric;

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
    let table: [(&str, Build<dyn Metric>); 6] = [
        ("Accuracy", |value, _| {
            let metric: Accuracy = value.parse()?;
            metric.check().map_err(|error| ConfigError::from(error).at(value))?;
            Ok(Box::new(metric))
        }),
        ("AveragePrecision", |value, _| build_average_precision(value, false)),
        ("MultiLabelMetric", |value, _| build_multi_label(value, false)),
        ("SingleLabelMetric", |value, _| {
            let metric: SingleLabelMetric = value.parse()?;
            metric.check()?;
            Ok(Box::new(metric))
        }),
        ("VOCAveragePrecision", |value, _| build_average_precision(value, true)),
        ("VOCMultiLabelMetric", |value, _| build_multi_label(value, true)),
    ];
    registry.register_all("metric", &table);
}

fn build_multi_label(value: &Value, voc: bool) -> Result<Box<dyn Metric>, ConfigError> {
    let metric = MultiLabelMetric { voc, ..value.parse()? };
    metric.check()?;
    Ok(Box::new(metric))
}

fn build_average_precision(value: &Value, voc: bool) -> Result<Box<dyn Metric>, ConfigError> {
    let metric = AveragePrecision { voc, ..value.parse()? };
    metric.check()?;
    Ok(Box::new(metric))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::streams::formula;

    const SAMPLES: usize = 30;
    const CLASSES: usize = 5;

    /// Samples by formula, with one class each or with any number.
    fn samples(single: bool) -> Vec<DataSample> {
        let scores = formula("scores", SAMPLES * CLASSES);
        let labels = formula("single", SAMPLES);
        let (many, hard) = (formula("many", SAMPLES * CLASSES), formula("hard", SAMPLES * CLASSES));
        let below = |row: &[f64], bound| {
            (0..).zip(row).filter(|(_, u)| **u < bound).map(|(class, _)| class).collect::<Vec<i64>>()
        };
        let rows = scores.chunks(CLASSES).zip(labels).zip(many.chunks(CLASSES).zip(hard.chunks(CLASSES)));
        rows.map(|((scores, label), (many, hard))| DataSample {
            gt_label: if single { vec![(label * CLASSES as f64) as i64] } else { below(many, 0.35) },
            gt_label_difficult: if single { vec![] } else { below(hard, 0.3) },
            pred_score: Some(scores.iter().map(|&u| u as f32).collect()),
            ..DataSample::default()
        })
        .collect()
    }

    /// `tools/golden/data_batches.py`.
    #[test]
    fn agree_with_mmcls() {
        #[derive(serde::Deserialize)]
        struct Case {
            metric: String,
            args: serde_json::Value,
            result: IndexMap<String, f64>,
        }
        let text = std::fs::read_to_string(crate::golden::folder().join("metrics.json")).unwrap();
        for case in serde_json::from_str::<Vec<Case>>(&text).unwrap() {
            let args = case.args.clone();
            let voc = case.metric.starts_with("VOC");
            let mut metric: Box<dyn Metric> = match case.metric.trim_start_matches("VOC") {
                "SingleLabelMetric" => Box::new(serde_json::from_value::<SingleLabelMetric>(args).unwrap()),
                "MultiLabelMetric" => {
                    Box::new(MultiLabelMetric { voc, ..serde_json::from_value(args).unwrap() })
                }
                _ => Box::new(AveragePrecision { voc, ..serde_json::from_value(args).unwrap() }),
            };
            for batch in samples(case.metric == "SingleLabelMetric").chunks(7) {
                metric.process(batch).unwrap();
            }
            let result = metric.compute().unwrap();
            let name = format!("{} {}", case.metric, case.args);
            assert_eq!(result.keys().collect::<Vec<_>>(), case.result.keys().collect::<Vec<_>>(), "{name}");
            for (key, found) in &result {
                let expected = case.result[key];
                assert!((found - expected).abs() < 1e-4, "{name} {key}: {found} {expected}");
            }
            assert!(metric.compute().is_err());
        }
    }

    #[test]
    fn say_what_does_not_fit() {
        let sample = |label, scores: &[f32]| DataSample {
            gt_label: vec![label],
            pred_score: Some(scores.to_vec()),
            ..Default::default()
        };
        let wrong = [vec![sample(2, &[0.5, 0.5])], vec![sample(0, &[0.5]), sample(0, &[0.5, 0.5])]];
        for samples in &wrong {
            assert!(SingleLabelMetric::default().process(samples).is_err());
            assert!(MultiLabelMetric::default().process(samples).is_err());
            assert!(AveragePrecision::default().process(samples).is_err());
        }
        let unpredicted = [DataSample { gt_label: vec![0], ..Default::default() }];
        assert!(SingleLabelMetric::default().process(&unpredicted).is_err());
        assert!(AveragePrecision::default().process(&unpredicted).is_err());
        let top = MultiLabelMetric { topk: Some(3), ..Default::default() };
        assert!({ top }.process(&[sample(0, &[0.5, 0.5])]).is_err());
        let labelled = [DataSample { gt_label: vec![1], pred_label: Some(1), ..Default::default() }];
        assert!(SingleLabelMetric::default().process(&labelled).is_err());
        let mut counted = SingleLabelMetric { num_classes: Some(2), ..Default::default() };
        counted.process(&labelled).unwrap();
        assert_eq!(counted.compute().unwrap()["single-label/recall"], 50.0);
        assert!(
            MultiLabelMetric { difficult_as_positive: Some(true), ..Default::default() }.check().is_err()
        );
        assert!(AveragePrecision { average: Some(Average::Micro), ..Default::default() }.check().is_err());
    }

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

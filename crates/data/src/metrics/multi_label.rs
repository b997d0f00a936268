//! Precision, recall and their kin where samples have any number of classes.

use indexmap::IndexMap;
use serde::Deserialize;

use super::Metric;
use super::confusion::{Average, Counts, Item};
use super::targets::{Difficult, Target, targets};
use crate::{DataSample, Error, Result};

/// Precision, recall, F1-score and support of the classes whose score reaches a threshold, or of the best ones.
///
/// Gives `multi-label/{item}` as a mean over the classes, `.._micro` from sums, or `.._classwise_{class}` for each class
/// with `average=None`, where MMClassification has a list; the item is followed by `_thr-{thr:.2}` unless `thr` is 0.5, or
/// by `_top{k}`.
///
/// `VOCMultiLabelMetric` is the same with `difficult_as_positive`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MultiLabelMetric {
    /// Scores from here on are predictions. 0.5 by default where there is no `topk`; goes before `topk`.
    pub thr: Option<f64>,
    /// So many classes of highest score are predictions.
    pub topk: Option<usize>,
    /// What to report. Precision, recall and F1-score by default.
    pub items: Vec<Item>,
    /// How classes become one figure. The mean by default.
    pub average: Option<Average>,
    /// Goes before the names of figures. `multi-label` by default.
    pub prefix: Option<String>,
    /// Accepted without effect: where processes exchange results.
    pub collect_device: String,
    /// In `VOCMultiLabelMetric`, what classes are that only have difficult objects: ignored by default.
    pub difficult_as_positive: Option<bool>,
    #[serde(skip)]
    pub(super) voc: bool,
    #[serde(skip)]
    pub(super) counts: Option<Counts>,
}

const NAME: &str = "MultiLabelMetric";

impl Default for MultiLabelMetric {
    fn default() -> Self {
        Self {
            thr: None,
            topk: None,
            items: Item::default_items(),
            average: Some(Average::Macro),
            prefix: None,
            collect_device: "cpu".to_owned(),
            difficult_as_positive: None,
            voc: false,
            counts: None,
        }
    }
}

impl MultiLabelMetric {
    /// Checks the arguments.
    ///
    /// # Errors
    /// `topk` is 0, or `difficult_as_positive` is given outside VOC.
    pub fn check(&self) -> Result<()> {
        if self.topk == Some(0) {
            return Err(Error::argument(NAME, "`topk` must be above 0"));
        }
        Difficult::check(NAME, self.voc, self.difficult_as_positive)
    }

    /// Whether each class is predicted.
    fn predictions(&self, scores: &[f32]) -> Result<Vec<bool>> {
        let topk = match (self.thr, self.topk) {
            (None, Some(topk)) => topk,
            (thr, _) => {
                let thr = thr.unwrap_or(0.5) as f32;
                return Ok(scores.iter().map(|&score| score >= thr).collect());
            }
        };
        if topk > scores.len() {
            let detail = format!("top-{topk} of {} classes; lower `topk`", scores.len());
            return Err(Error::Metric { metric: NAME, detail });
        }
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
        let mut predicted = vec![false; scores.len()];
        for class in order.into_iter().take(topk) {
            predicted[class] = true;
        }
        Ok(predicted)
    }
}

impl Metric for MultiLabelMetric {
    fn process(&mut self, samples: &[DataSample]) -> Result<()> {
        self.check()?;
        let difficult = Difficult::new(self.voc, self.difficult_as_positive);
        for sample in samples {
            let (scores, targets) = targets(NAME, sample, difficult)?;
            let predicted = self.predictions(scores)?;
            let counts = self.counts.get_or_insert_default();
            counts.fit(NAME, scores.len())?;
            for (class, (predicted, target)) in predicted.into_iter().zip(targets).enumerate() {
                if target != Target::Ignored {
                    counts.add(class, predicted, target == Target::Positive);
                }
            }
        }
        Ok(())
    }

    fn compute(&mut self) -> Result<IndexMap<String, f64>> {
        let counts = self
            .counts
            .take()
            .ok_or_else(|| Error::Metric { metric: NAME, detail: "no sample was processed".to_owned() })?;
        let prefix = self.prefix.as_deref().filter(|prefix| !prefix.is_empty()).unwrap_or("multi-label");
        let suffix = match (self.thr, self.topk) {
            (None, Some(topk)) => format!("_top{topk}"),
            (None, None) | (Some(0.5), _) => String::new(),
            (Some(thr), _) => format!("_thr-{thr:.2}"),
        };
        Ok(counts.figures(prefix, &suffix, &self.items, self.average))
    }
}

//! Precision, recall and their kin where each sample has one class.

use indexmap::IndexMap;
use serde::Deserialize;

use super::confusion::{Average, Counts, Item};
use super::{Metric, Thresholds};
use crate::{DataSample, Error, Result};

/// Precision, recall, F1-score and support of the class of highest score, where that exceeds the threshold.
///
/// Gives `single-label/{item}` as a mean over the classes, `.._micro` from sums, or `.._classwise_{class}` for each class
/// with `average=None`, where MMClassification has a list; with several thresholds the item is followed by
/// `_thr-{threshold:.2}` or `_no-thr`. Of equal scores, the first counts; a score that is not a number counts as above
/// all others, and as below every threshold.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SingleLabelMetric {
    /// Scores that the prediction must exceed. 0 by default.
    pub thrs: Thresholds,
    /// What to report. Precision, recall and F1-score by default.
    pub items: Vec<Item>,
    /// How classes become one figure. The mean by default.
    pub average: Option<Average>,
    /// Number of classes, needed where samples carry `pred_label` and no `pred_score`.
    pub num_classes: Option<usize>,
    /// Goes before the names of figures. `single-label` by default.
    pub prefix: Option<String>,
    /// Accepted without effect: where processes exchange results.
    pub collect_device: String,
    /// One for each threshold.
    #[serde(skip)]
    pub(super) counts: Vec<Counts>,
}

const NAME: &str = "SingleLabelMetric";

fn misfit(detail: String) -> Error {
    Error::Metric { metric: NAME, detail }
}

impl Default for SingleLabelMetric {
    fn default() -> Self {
        Self {
            thrs: Thresholds::One(Some(0.0)),
            items: Item::default_items(),
            average: Some(Average::Macro),
            num_classes: None,
            prefix: None,
            collect_device: "cpu".to_owned(),
            counts: vec![],
        }
    }
}

impl SingleLabelMetric {
    /// Checks the arguments.
    ///
    /// # Errors
    /// `thrs` is empty.
    pub fn check(&self) -> Result<()> {
        match self.thrs.as_slice().is_empty() {
            true => Err(Error::argument(NAME, "`thrs` is empty; use None for no threshold")),
            false => Ok(()),
        }
    }

    fn add(&mut self, sample: &DataSample) -> Result<()> {
        let &[label] = sample.gt_label.as_slice() else {
            let found = sample.gt_label.len();
            return Err(misfit(format!("sample {} has {found} labels, not one", sample.index)));
        };
        let (classes, predicted, score) = match (&sample.pred_score, sample.pred_label) {
            (Some(scores), _) => {
                let (class, score) =
                    best(scores).ok_or_else(|| misfit(format!("sample {} has no score", sample.index)))?;
                (scores.len(), class, Some(score))
            }
            (None, Some(predicted)) => {
                let classes = self.num_classes.ok_or_else(|| {
                    misfit("`num_classes` is needed where predictions are labels without scores".to_owned())
                })?;
                (classes, index(predicted, classes, sample)?, None)
            }
            (None, None) => return Err(misfit(format!("sample {} has no prediction", sample.index))),
        };
        let label = index(label, classes, sample)?;
        let thrs = self.thrs.as_slice();
        self.counts.resize_with(thrs.len(), Counts::default);
        for (counts, thr) in self.counts.iter_mut().zip(thrs) {
            counts.fit(NAME, classes)?;
            let counted = match (thr, score) {
                (Some(thr), Some(score)) => score > *thr as f32,
                _ => true,
            };
            counts.add(label, counted && predicted == label, true);
            if counted && predicted != label {
                counts.add(predicted, true, false);
            }
        }
        Ok(())
    }
}

/// The class of highest score, and the score.
fn best(scores: &[f32]) -> Option<(usize, f32)> {
    let ahead = |a: f32, b: f32| a > b || (a.is_nan() && !b.is_nan());
    let scores = scores.iter().copied().enumerate();
    scores.reduce(|best, next| if ahead(next.1, best.1) { next } else { best })
}

/// A label as a position.
fn index(label: i64, classes: usize, sample: &DataSample) -> Result<usize> {
    usize::try_from(label)
        .ok()
        .filter(|&label| label < classes)
        .ok_or_else(|| misfit(format!("sample {} has the label {label}, of {classes} classes", sample.index)))
}

impl Metric for SingleLabelMetric {
    fn process(&mut self, samples: &[DataSample]) -> Result<()> {
        self.check()?;
        samples.iter().try_for_each(|sample| self.add(sample))
    }

    fn compute(&mut self) -> Result<IndexMap<String, f64>> {
        let counts = std::mem::take(&mut self.counts);
        if counts.is_empty() {
            return Err(misfit("no sample was processed".to_owned()));
        }
        let prefix = self.prefix.as_deref().filter(|prefix| !prefix.is_empty()).unwrap_or("single-label");
        let thrs = self.thrs.as_slice();
        let mut figures = IndexMap::new();
        for (counts, thr) in counts.iter().zip(thrs) {
            let suffix = match thr {
                _ if thrs.len() == 1 => String::new(),
                Some(thr) => format!("_thr-{thr:.2}"),
                None => "_no-thr".to_owned(),
            };
            figures.extend(counts.figures(prefix, &suffix, &self.items, self.average));
        }
        Ok(figures)
    }
}

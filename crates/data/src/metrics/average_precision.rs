//! The area under precision and recall.

use indexmap::IndexMap;
use serde::Deserialize;

use super::Metric;
use super::confusion::Average;
use super::targets::{Difficult, Target, targets};
use crate::{DataSample, Error, Result};

/// Average precision of each class, in percent: the mean, over its positive samples, of the precision among all samples
/// of at least that score.
///
/// Gives `multi-label/mAP`, the mean over the classes, or with `average=None` `multi-label/AP_classwise_{class}`, where
/// MMClassification has a list. A class without positive samples has 0. Of equal scores, the earlier sample goes first.
///
/// `VOCAveragePrecision` is the same with `difficult_as_positive`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AveragePrecision {
    /// The mean by default; `micro` is not one of this metric.
    pub average: Option<Average>,
    /// Goes before the names of figures. `multi-label` by default.
    pub prefix: Option<String>,
    /// Accepted without effect: where processes exchange results.
    pub collect_device: String,
    /// In `VOCAveragePrecision`, what classes are that only have difficult objects: ignored by default.
    pub difficult_as_positive: Option<bool>,
    #[serde(skip)]
    pub(super) voc: bool,
    /// For each class, the score of each sample and whether it is positive.
    #[serde(skip)]
    pub(super) seen: Vec<Vec<(f32, bool)>>,
}

const NAME: &str = "AveragePrecision";

impl Default for AveragePrecision {
    fn default() -> Self {
        Self {
            average: Some(Average::Macro),
            prefix: None,
            collect_device: "cpu".to_owned(),
            difficult_as_positive: None,
            voc: false,
            seen: vec![],
        }
    }
}

impl AveragePrecision {
    /// Checks the arguments.
    ///
    /// # Errors
    /// `average` is micro, or `difficult_as_positive` is given outside VOC.
    pub fn check(&self) -> Result<()> {
        if self.average == Some(Average::Micro) {
            return Err(Error::argument(NAME, "`average` must be 'macro' or None"));
        }
        Difficult::check(NAME, self.voc, self.difficult_as_positive)
    }
}

/// Average precision of one class.
fn average_precision(samples: &mut [(f32, bool)]) -> f64 {
    samples.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut positives = 0u64;
    let mut sum = 0.0;
    for (rank, _) in (1u64..).zip(samples.iter()).filter(|(_, (_, positive))| *positive) {
        positives += 1;
        sum += positives as f64 / rank as f64;
    }
    if positives == 0 { 0.0 } else { 100.0 * sum / positives as f64 }
}

impl Metric for AveragePrecision {
    fn process(&mut self, samples: &[DataSample]) -> Result<()> {
        self.check()?;
        let difficult = Difficult::new(self.voc, self.difficult_as_positive);
        for sample in samples {
            let (scores, targets) = targets(NAME, sample, difficult)?;
            if self.seen.is_empty() {
                self.seen = vec![vec![]; scores.len()];
            }
            if self.seen.len() != scores.len() {
                let detail =
                    format!("predictions of {} classes after some of {}", scores.len(), self.seen.len());
                return Err(Error::Metric { metric: NAME, detail });
            }
            for ((seen, &score), target) in self.seen.iter_mut().zip(scores).zip(targets) {
                if target != Target::Ignored {
                    seen.push((score, target == Target::Positive));
                }
            }
        }
        Ok(())
    }

    fn compute(&mut self) -> Result<IndexMap<String, f64>> {
        let mut seen = std::mem::take(&mut self.seen);
        if seen.is_empty() {
            return Err(Error::Metric { metric: NAME, detail: "no sample was processed".to_owned() });
        }
        let prefix = self.prefix.as_deref().filter(|prefix| !prefix.is_empty()).unwrap_or("multi-label");
        let classes: Vec<f64> = seen.iter_mut().map(|samples| average_precision(samples)).collect();
        Ok(match self.average {
            Some(_) => {
                let mean = classes.iter().sum::<f64>() / classes.len() as f64;
                IndexMap::from([(format!("{prefix}/mAP"), mean)])
            }
            None => {
                let named = classes.iter().enumerate();
                named.map(|(class, &value)| (format!("{prefix}/AP_classwise_{class}"), value)).collect()
            }
        })
    }
}

//! The share of samples whose class is among the best predictions.

use indexmap::IndexMap;
use serde::Deserialize;

use super::Metric;
use crate::{DataSample, Error, OneOrMany, Result};

/// Percentage of samples whose label is among the `k` classes of highest score, with a score above the threshold.
///
/// Gives `accuracy/top{k}`, or with several thresholds `accuracy/top{k}_thr-{threshold:.2}` and
/// `accuracy/top{k}_no-thr`. Where samples carry `pred_label` and no `pred_score`, it gives `accuracy/top1` from the
/// labels and ignores `topk` and `thrs`.
///
/// Of equal scores, the class of smaller number goes first. A score that is not a number counts as above all others,
/// and as wrong if it is the label's own: a model that has diverged scores 0.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Accuracy {
    /// Numbers of best classes. 1 by default.
    pub topk: OneOrMany<usize>,
    /// Scores that the label's class must exceed. 0 by default, which asks nothing of softmax scores; use `None`
    /// where scores are logits.
    pub thrs: Thresholds,
    /// Goes before the names of figures. `accuracy` by default.
    pub prefix: Option<String>,
    /// Accepted without effect: where processes exchange results.
    pub collect_device: String,
    #[serde(skip)]
    seen: Seen,
}

/// Thresholds of scores.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged, expecting = "None, a number, or a list of these")]
pub enum Thresholds {
    /// One, or none for `None`.
    One(Option<f64>),
    /// Each alone.
    Many(Vec<Option<f64>>),
}

impl Thresholds {
    pub(super) fn as_slice(&self) -> &[Option<f64>] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

/// What has been processed.
#[derive(Debug, Clone, Default)]
struct Seen {
    samples: u64,
    by: Option<By>,
    /// Right predictions for each of `topk` and, inside, each of `thrs`; a single number for labels.
    right: Vec<u64>,
}

/// What predictions are given as.
#[derive(Debug, Clone, Copy, PartialEq)]
enum By {
    Score,
    Label,
}

impl std::fmt::Display for By {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Score => "scores",
            Self::Label => "a label",
        })
    }
}

const NAME: &str = "Accuracy";

fn misfit(detail: String) -> Error {
    Error::Metric { metric: NAME, detail }
}

impl Default for Accuracy {
    fn default() -> Self {
        Self {
            topk: OneOrMany::Many(vec![1]),
            thrs: Thresholds::One(Some(0.0)),
            prefix: None,
            collect_device: "cpu".to_owned(),
            seen: Seen::default(),
        }
    }
}

impl Accuracy {
    /// Top-`k` accuracy for each of `topk`, without a threshold.
    pub fn new(topk: impl Into<Vec<usize>>) -> Self {
        Self { topk: OneOrMany::Many(topk.into()), thrs: Thresholds::One(None), ..Self::default() }
    }

    /// Checks the arguments.
    ///
    /// # Errors
    /// `topk` or `thrs` is empty, or a `k` is 0.
    pub fn check(&self) -> Result<()> {
        if self.topk.as_slice().is_empty() || self.topk.as_slice().contains(&0) {
            return Err(Error::argument(NAME, "`topk` must hold numbers above 0"));
        }
        if self.thrs.as_slice().is_empty() {
            return Err(Error::argument(NAME, "`thrs` is empty; use None for no threshold"));
        }
        Ok(())
    }

    fn add(&mut self, sample: &DataSample) -> Result<()> {
        let &[label] = sample.gt_label.as_slice() else {
            let found = sample.gt_label.len();
            return Err(misfit(format!("sample {} has {found} labels, not one", sample.index)));
        };
        let by = match (&sample.pred_score, sample.pred_label) {
            (Some(_), _) => By::Score,
            (None, Some(_)) => By::Label,
            (None, None) => return Err(misfit(format!("sample {} has no prediction", sample.index))),
        };
        if self.seen.by.is_some_and(|before| before != by) {
            return Err(misfit(format!(
                "sample {} is predicted by {by}, those before were not",
                sample.index
            )));
        }
        self.seen.by = Some(by);
        let (topk, thrs) = (self.topk.as_slice(), self.thrs.as_slice());
        let Some(scores) = &sample.pred_score else {
            self.seen.right.resize(1, 0);
            self.seen.right[0] += u64::from(sample.pred_label == Some(label));
            self.seen.samples += 1;
            return Ok(());
        };
        if let Some(k) = topk.iter().find(|&&k| k > scores.len()) {
            return Err(misfit(format!(
                "top-{k} of {} classes; lower `topk` in `val_evaluator` and `test_evaluator`",
                scores.len()
            )));
        }
        self.seen.right.resize(topk.len() * thrs.len(), 0);
        self.seen.samples += 1;
        let Some((rank, score)) = label_rank(scores, label) else { return Ok(()) };
        let cells = topk.iter().flat_map(|&k| thrs.iter().map(move |&thr| (k, thr)));
        for (right, (k, thr)) in self.seen.right.iter_mut().zip(cells) {
            *right += u64::from(rank < k && thr.is_none_or(|thr| score > thr as f32));
        }
        Ok(())
    }
}

/// How many classes go before `label` by falling score, and its score; `None` for a label without a class or with a score
/// that is not a number. Of equal scores the class of smaller number goes first, and scores that are no numbers go before
/// all others.
pub fn label_rank(scores: &[f32], label: i64) -> Option<(usize, f32)> {
    let label = usize::try_from(label).ok()?;
    let own = *scores.get(label).filter(|score| !score.is_nan())?;
    let before =
        |(class, &score): (usize, &f32)| score > own || score.is_nan() || (score == own && class < label);
    Some((scores.iter().enumerate().filter(|&item| before(item)).count(), own))
}

impl Metric for Accuracy {
    fn process(&mut self, samples: &[DataSample]) -> Result<()> {
        self.check()?;
        samples.iter().try_for_each(|sample| self.add(sample))
    }

    fn compute(&mut self) -> Result<IndexMap<String, f64>> {
        let seen = std::mem::take(&mut self.seen);
        let prefix = self.prefix.as_deref().filter(|prefix| !prefix.is_empty()).unwrap_or("accuracy");
        let thrs = self.thrs.as_slice();
        let names: Vec<String> = match seen.by {
            None => return Err(misfit("no sample was processed".to_owned())),
            Some(By::Label) => vec![format!("{prefix}/top1")],
            Some(By::Score) => self
                .topk
                .as_slice()
                .iter()
                .flat_map(|k| thrs.iter().map(move |thr| (k, thr)))
                .map(|(k, thr)| match thr {
                    _ if thrs.len() == 1 => format!("{prefix}/top{k}"),
                    Some(thr) => format!("{prefix}/top{k}_thr-{thr:.2}"),
                    None => format!("{prefix}/top{k}_no-thr"),
                })
                .collect(),
        };
        let percent = |right: u64| 100.0 * right as f64 / seen.samples as f64;
        Ok(names.into_iter().zip(seen.right.into_iter().map(percent)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scored(label: i64, scores: &[f32]) -> DataSample {
        DataSample { gt_label: vec![label], pred_score: Some(scores.to_vec()), ..Default::default() }
    }

    fn top(mut metric: Accuracy, samples: &[DataSample]) -> Vec<(String, f64)> {
        metric.process(samples).unwrap();
        metric.compute().unwrap().into_iter().collect()
    }

    /// `tests/golden/make.py`: MMClassification's `Accuracy` on the same scores.
    #[test]
    fn agrees_with_mmcls() {
        #[derive(Deserialize)]
        struct Golden {
            labels: Vec<i64>,
            scores: Vec<Vec<f32>>,
            cases: Vec<Case>,
        }
        #[derive(Deserialize)]
        struct Case {
            args: serde_json::Value,
            result: IndexMap<String, f64>,
        }
        let golden = include_str!("../../tests/golden/accuracy.json");
        let [golden]: [Golden; 1] = serde_json::from_str(golden).unwrap();
        let samples = golden.labels.iter().zip(&golden.scores).map(|(&label, scores)| scored(label, scores));
        let samples: Vec<_> = samples.collect();
        assert!(!golden.cases.is_empty());
        for case in golden.cases {
            let metric: Accuracy = serde_json::from_value(case.args.clone()).unwrap();
            let result = top(metric, &samples);
            assert_eq!(result.len(), case.result.len());
            for ((name, found), (expected_name, expected)) in result.iter().zip(&case.result) {
                assert_eq!(name, expected_name);
                assert!((found - expected).abs() < 1e-4, "{}: {name} {found} {expected}", case.args);
            }
        }
    }

    #[test]
    fn ties_go_to_the_first_class_and_nan_is_wrong() {
        let top1 = |label, scores: &[f32]| top(Accuracy::new([1]), &[scored(label, scores)])[0].1;
        assert_eq!(top1(0, &[0.5, 0.5]), 100.0);
        assert_eq!(top1(1, &[0.5, 0.5]), 0.0);
        assert_eq!(top1(0, &[f32::NAN, 0.5]), 0.0);
        assert_eq!(top1(0, &[f32::NAN, f32::NAN]), 0.0);
        assert_eq!(top1(1, &[f32::NAN, 0.5]), 0.0);
        assert_eq!(top1(2, &[0.5, 0.5]), 0.0);
        assert_eq!(top1(-1, &[0.5, 0.5]), 0.0);
        assert_eq!(top1(0, &[-1.0, -2.0]), 100.0);
        assert_eq!(top(Accuracy::default(), &[scored(0, &[-1.0, -2.0])])[0].1, 0.0);
    }

    #[test]
    fn takes_labels_where_there_are_no_scores() {
        let sample =
            |label, pred| DataSample { gt_label: vec![label], pred_label: Some(pred), ..Default::default() };
        let samples = [sample(0, 0), sample(1, 2), sample(2, 1), sample(3, 3)];
        assert_eq!(top(Accuracy::new([1, 5]), &samples), [("accuracy/top1".to_owned(), 50.0)]);
    }

    #[test]
    fn starts_anew_after_computing() {
        let mut metric = Accuracy::new([1]);
        metric.process(&[scored(0, &[0.1, 0.9])]).unwrap();
        assert_eq!(metric.compute().unwrap()["accuracy/top1"], 0.0);
        metric.process(&[scored(1, &[0.1, 0.9])]).unwrap();
        assert_eq!(metric.compute().unwrap()["accuracy/top1"], 100.0);
        assert!(metric.compute().is_err());
    }

    #[test]
    fn refuses_what_it_cannot_count() {
        let unlabelled = DataSample { pred_label: Some(1), ..Default::default() };
        let unpredicted = DataSample { gt_label: vec![1], ..Default::default() };
        for sample in [unlabelled, unpredicted, scored(0, &[0.5; 4])] {
            assert!(Accuracy::new([5]).process(&[sample]).is_err());
        }
        assert!(Accuracy::new([0]).check().is_err());
        assert!(Accuracy::new([]).check().is_err());
        let mut metric = Accuracy::new([1]);
        metric.process(&[scored(0, &[0.5; 4])]).unwrap();
        let labelled = DataSample { gt_label: vec![1], pred_label: Some(1), ..Default::default() };
        assert!(metric.process(&[labelled]).is_err());
    }
}

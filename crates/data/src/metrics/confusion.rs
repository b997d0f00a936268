//! Precision and recall from counts.

use indexmap::IndexMap;
use serde::Deserialize;

use crate::{Error, Result};

/// A figure from counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
pub enum Item {
    /// Right predictions among all predictions, in percent.
    #[serde(rename = "precision")]
    Precision,
    /// Right predictions among all labels, in percent.
    #[serde(rename = "recall")]
    Recall,
    /// The harmonic mean of both.
    #[serde(rename = "f1-score")]
    F1Score,
    /// The number of labels.
    #[serde(rename = "support")]
    Support,
}

impl Item {
    /// In the order in which they are reported.
    const ALL: [(Self, &'static str); 4] = [
        (Self::Precision, "precision"),
        (Self::Recall, "recall"),
        (Self::F1Score, "f1-score"),
        (Self::Support, "support"),
    ];

    /// What is reported by default.
    pub(super) fn default_items() -> Vec<Self> {
        vec![Self::Precision, Self::Recall, Self::F1Score]
    }
}

/// How figures of classes become one; `None` in a config leaves them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Average {
    /// The mean over the classes.
    Macro,
    /// From the sums of all classes' counts.
    Micro,
}

/// Counts of each class.
#[derive(Debug, Clone, Default)]
pub(super) struct Counts {
    right: Vec<u64>,
    predicted: Vec<u64>,
    actual: Vec<u64>,
}

impl Counts {
    /// Makes room for `classes`.
    ///
    /// # Errors
    /// Earlier samples had another number of classes.
    pub(super) fn fit(&mut self, metric: &'static str, classes: usize) -> Result<()> {
        if self.right.is_empty() {
            let zeros = vec![0; classes];
            (self.right, self.predicted, self.actual) = (zeros.clone(), zeros.clone(), zeros);
        }
        match self.right.len() == classes {
            true => Ok(()),
            false => {
                let detail = format!("predictions of {classes} classes after some of {}", self.right.len());
                Err(Error::Metric { metric, detail })
            }
        }
    }

    /// Counts one class of one sample.
    pub(super) fn add(&mut self, class: usize, predicted: bool, actual: bool) {
        let count = |counts: &mut Vec<u64>, counted: bool| {
            if let Some(count) = counts.get_mut(class) {
                *count += u64::from(counted);
            }
        };
        count(&mut self.right, predicted && actual);
        count(&mut self.predicted, predicted);
        count(&mut self.actual, actual);
    }

    /// The figures, each with its name: `{prefix}/{item}{suffix}`, then `_classwise_{class}` or `_micro`.
    pub(super) fn figures(
        &self,
        prefix: &str,
        suffix: &str,
        items: &[Item],
        average: Option<Average>,
    ) -> IndexMap<String, f64> {
        let sum = |counts: &[u64]| vec![counts.iter().sum()];
        let (right, predicted, actual) = match average {
            Some(Average::Micro) => (sum(&self.right), sum(&self.predicted), sum(&self.actual)),
            _ => (self.right.clone(), self.predicted.clone(), self.actual.clone()),
        };
        let counts = right.iter().zip(&predicted).zip(&actual);
        let classes: Vec<[f64; 4]> = counts
            .map(|((&right, &predicted), &actual)| {
                let percent = |of: u64| 100.0 * right as f64 / of.max(1) as f64;
                let (precision, recall) = (percent(predicted), percent(actual));
                let f1 = 2.0 * precision * recall / (precision + recall).max(f64::from(f32::EPSILON));
                [precision, recall, f1, actual as f64]
            })
            .collect();
        let mut figures = IndexMap::new();
        for (at, (_, name)) in Item::ALL.iter().enumerate().filter(|(_, (item, _))| items.contains(item)) {
            let values = classes.iter().filter_map(|class| class.get(at).copied());
            let name = format!("{prefix}/{name}{suffix}");
            match average {
                None => figures.extend(
                    values.enumerate().map(|(class, value)| (format!("{name}_classwise_{class}"), value)),
                ),
                Some(average) => {
                    let sum: f64 = values.sum();
                    let value = if at == 3 { sum } else { sum / classes.len().max(1) as f64 };
                    let micro = if average == Average::Micro { "_micro" } else { "" };
                    figures.insert(format!("{name}{micro}"), value);
                }
            }
        }
        figures
    }
}

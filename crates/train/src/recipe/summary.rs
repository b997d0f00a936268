//! `summary.json`: what a recipe found.

use std::io::Write;
use std::path::Path;

use serde::Serialize;

use super::Bench;
use crate::{Error, Result};

/// Figures of one model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelFigures {
    /// Its name.
    pub name: String,
    /// Its exported file, relative to the work directory; that of the first seed where there are several.
    pub file: Option<String>,
    /// The exported files of all seeds.
    pub files: Vec<String>,
    /// Accuracy in percent on the test data of the weights in `file`, measured in Occam's executor.
    pub top1: f64,
    /// Multiply-accumulates for one image.
    pub macs: u64,
    /// Trainable parameters.
    pub params: u64,
    /// Size of the file.
    pub bytes: Option<u64>,
    /// Median time for one image in Occam's executor on this machine.
    pub latency_ms: f64,
    /// Seeds of all trainings.
    pub seeds: Vec<u64>,
    /// Accuracy of each training.
    pub top1_seeds: Vec<f64>,
    /// Their mean.
    pub top1_mean: f64,
    /// Their standard deviation (of a sample); 0 where there is one.
    pub top1_std: f64,
}

/// What a step did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepRecord {
    /// Its component's name.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it worked on.
    pub name: String,
    /// How long it took.
    pub seconds: f64,
}

/// What a recipe found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Models in the order in which they were made.
    pub models: Vec<ModelFigures>,
    /// Steps in order.
    pub steps: Vec<StepRecord>,
    /// The test data as its config describes it, for those who want to check.
    pub dataset: serde_json::Value,
    /// How its images are normalized.
    pub data_preprocessor: serde_json::Value,
}

impl Summary {
    pub(super) fn of(bench: &Bench<'_>, steps: Vec<StepRecord>) -> Self {
        let part = |path: &str| bench.config.get(path).map_or(serde_json::Value::Null, |v| v.to_json());
        Self {
            models: bench.figures.values().cloned().collect(),
            steps,
            dataset: part("test_dataloader.dataset"),
            data_preprocessor: part("data_preprocessor"),
        }
    }

    pub(super) fn write(&self, work_dir: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).map_err(|e| Error::Other(e.to_string()))?;
        Ok(occam_io::atomic_write(work_dir.join("summary.json"), |f| writeln!(f, "{text}"))?)
    }

    /// By how much, in percentage points, one model is above another: mean and standard deviation of the paired
    /// differences over the seeds that both were trained with. None where there is no such seed.
    pub fn gain(&self, better: &str, than: &str) -> Option<(f64, f64)> {
        let find = |name: &str| self.models.iter().find(|m| m.name == name);
        let (a, b) = (find(better)?, find(than)?);
        let differences: Vec<f64> = a
            .seeds
            .iter()
            .zip(&a.top1_seeds)
            .filter_map(|(seed, x)| {
                let at = b.seeds.iter().position(|s| s == seed)?;
                Some(x - b.top1_seeds.get(at)?)
            })
            .collect();
        if differences.is_empty() { None } else { Some(mean_std(&differences)) }
    }
}

/// Mean and standard deviation of a sample.
pub(super) fn mean_std(values: &[f64]) -> (f64, f64) {
    let n = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / n;
    let square: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    let std = if values.len() > 1 { (square / (n - 1.0)).sqrt() } else { 0.0 };
    (mean, std)
}

//! `--sensitivity`: what each unit alone costs.

use std::path::{Path, PathBuf};

use occam_config::{Loader, Value};
use occam_data::{Batch, Seed};
use occam_engine::Device;
use occam_graph::Bindings;
use occam_prune::importance::observe;
use occam_prune::sensitivity::{Curve, RATIOS, count, curves};
use occam_prune::{Importance, Limits, Solver, picture};
use occam_space::{TraceOptions, trace};
use occam_train::reporter::Progress;
use occam_train::{Env, Error, Model, interrupt};
use serde_json::json;

use super::data::Images;
use crate::cli::Outcome;
use crate::console::{self, print_json, print_line};
use crate::diagnostic::Failure;
use crate::table;

/// Whether and on what sensitivity is measured.
#[derive(clap::Args)]
#[command(next_help_heading = "Sensitivity")]
pub struct SensitivityArgs {
    /// Measure how the accuracy falls as each unit alone loses a tenth to nine tenths of its channels, and draw that into
    /// this file; no target and no output are needed then
    #[arg(long, value_name = "FILE", requires = "data")]
    sensitivity: Option<PathBuf>,
    /// Training images it is measured on, drawn by --seed
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    sensitivity_images: u32,
}

/// What was measured.
struct Found<'a> {
    curves: Vec<Curve>,
    /// Percent, of the whole model.
    whole: f64,
    images: usize,
    /// Whether there are classes; else it is the share of images that the whole model classifies the same.
    labelled: bool,
    importance: &'a str,
}

impl SensitivityArgs {
    /// Whether it is measured.
    pub fn wanted(&self) -> bool {
        self.sensitivity.is_some()
    }

    /// Measures every unit of the classifier in `file`, draws the picture and tells the figures.
    ///
    /// # Errors
    /// It is no classifier, the images cannot be read, the file cannot be written, or somebody asked to stop.
    pub fn run(
        &self,
        file: &Path,
        images: &Images,
        importance: &Importance,
        options: &TraceOptions,
        seed: u64,
        json: bool,
    ) -> Outcome {
        let Some(path) = &self.sensitivity else { return Ok(()) };
        crate::interrupt::listen();
        let registry = occam::registry();
        let env =
            Env { registry: &registry, loader: &Loader::new(), seed: Seed(seed), device: Device::cpu() };
        let config = Value::from_json(&json!({ "type": "OnnxClassifier", "path": file }));
        let mut model = Model::new(env.task_model(&config)?, env.seed, &env.device)?;
        let loader = images.sample(self.sensitivity_images as usize)?;
        let batches: Vec<Batch> = loader.epoch(0, 0).collect::<Result<_, _>>()?;
        let labelled = images.labelled();
        let predict = |model: &Model| -> Result<Vec<Option<i64>>, Error> {
            let mut predicted = Vec::new();
            for batch in &batches {
                if interrupt::requested() {
                    return Err(Error::Interrupted { iter: 0, saved: None });
                }
                predicted.extend(model.predict(batch)?.iter().map(|s| s.pred_label));
            }
            Ok(predicted)
        };
        let first = predict(&model)?;
        let wanted: Vec<Option<i64>> = match labelled {
            true => batches.iter().flat_map(|b| &b.samples).map(|s| s.gt_label.first().copied()).collect(),
            false => first.clone(),
        };
        let score = |predicted: &[Option<i64>]| {
            let right = predicted.iter().zip(&wanted).filter(|(p, w)| p.is_some() && p == w).count();
            100.0 * right as f64 / wanted.len().max(1) as f64
        };
        let graph = model.graph().clone();
        let weights = model.params.to_weights()?;
        let units = trace(&graph, options)?;
        let scores = observe(importance, &model, &units, batches.iter().cloned().map(Ok), seed)?;
        let limits = Limits { round_to: 1, max_ratio: 1.0, ..Limits::default() };
        let [_, height, width] = images.size();
        let bindings = Bindings::from([("N".into(), 1), ("H".into(), height), ("W".into(), width)]);
        let solver = Solver::new(&graph, &units, scores, &limits, &bindings)?;
        let mut reporter = console::reporter(json);
        let total = count(&units) as u64;
        let mut done = 0;
        let curves = curves(&graph, &weights, &units, &solver, |small, sliced| -> Result<f64, Failure> {
            model.reshape(small, &sliced)?;
            let found = score(&predict(&model)?);
            done += 1;
            reporter.progress(&Progress { stage: "units", done, total, loss: None });
            Ok(found)
        })?;
        reporter.finished();
        let found = Found {
            curves,
            whole: score(&first),
            images: wanted.len(),
            labelled,
            importance: importance.name,
        };
        let title = file.file_name().unwrap_or_default().to_string_lossy();
        let text =
            picture::sensitivity(&found.curves, &found.about(&format!("{title}: sensitivity"), &found.how()));
        occam_io::atomic_write(path, |f| std::io::Write::write_all(f, text.as_bytes()))?;
        found.tell(path, json);
        Ok(())
    }
}

impl Found<'_> {
    fn how(&self) -> String {
        format!("{} images, channels chosen by {}, no fine-tuning", self.images, self.importance)
    }

    fn about<'a>(&self, title: &'a str, how: &'a str) -> picture::About<'a> {
        let what = if self.labelled { "accuracy" } else { "agreement with the whole model" };
        picture::About { title, what, how, whole: self.whole }
    }

    fn tell(&self, path: &Path, json: bool) {
        let what = if self.labelled { "accuracy" } else { "agreement" };
        if json {
            let curve = |c: &Curve| {
                let points: Vec<_> = c
                    .points
                    .iter()
                    .map(|p| json!({ "ratio": p.ratio, "width": p.width, "macs": p.macs, what: p.score }))
                    .collect();
                json!({ "unit": c.name, "channels": c.channels, "mean": c.mean(), "points": points })
            };
            print_json(&json!({
                "event": "sensitivity", "svg": path, "measure": what, "images": self.images, "whole": self.whole,
                "importance": self.importance, "units": self.curves.iter().map(curve).collect::<Vec<_>>(),
            }));
            return;
        }
        let rows: Vec<Vec<String>> = self
            .curves
            .iter()
            .map(|c| {
                let mut row = vec![c.name.clone(), c.channels.to_string()];
                for ratio in RATIOS {
                    let near = |p: &&occam_prune::sensitivity::Point| (p.ratio - ratio).abs();
                    let point = c.points.iter().min_by(|a, b| near(a).total_cmp(&near(b)));
                    row.push(point.map_or_else(String::new, |p| format!("{:.1}", p.score)));
                }
                row
            })
            .collect();
        let header: Vec<String> = RATIOS.iter().map(|r| format!("-{:.0} %", 100.0 * r)).collect();
        let header: Vec<&str> =
            ["unit", "channels"].into_iter().chain(header.iter().map(String::as_str)).collect();
        print_line(&table::render(&header, &rows));
        let whole = self.whole;
        print_line(&format!("\n{what} of the whole model {whole:.1} %; {}", self.how()));
        print_line(&format!("{}: the most sensitive units first", path.display()));
    }
}

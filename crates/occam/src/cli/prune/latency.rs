//! Pruning by measured times.

use std::path::PathBuf;

use clap::ValueEnum;
use occam_graph::Bindings;
use occam_io::onnx::Imported;
use occam_prune::latency::{Blocks, Measured, Place, Subject, Table, Tuned, Tuner, cpu, default_file};
use occam_prune::{Outcome as Found, Solver, Target};
use occam_runtime::{Error, Own, Runtime, onnxruntime};
use occam_space::Trace;
use occam_train::reporter::Progress;
use serde_json::json;

use super::Args;
use super::advice::advise;
use crate::console;
use crate::diagnostic::Failure;
use crate::table;

/// Pruning by measured times.
#[derive(clap::Args)]
pub struct LatencyArgs {
    /// Part of the time of a run to leave, measured on this machine with --threads
    #[arg(long, value_name = "PART", group = "target")]
    pub latency: Option<f64>,
    /// Measure the result against the original; where it gains little time, find widths that are faster
    #[arg(long)]
    pub measure: bool,
    /// Where times are measured [default: onnxruntime where its library is found, else occam]
    #[arg(long, value_enum, value_name = "NAME")]
    runtime: Option<RuntimeName>,
    /// The table of measured times, which is added to [default: occam/latency.jsonl in the user's folder of caches]
    #[arg(long, value_name = "FILE")]
    latency_cache: Option<PathBuf>,
}

/// A runtime that tells the times of a model's steps.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum RuntimeName {
    /// ONNX Runtime
    Onnxruntime,
    /// Occam's own executor
    Occam,
}

/// What was measured, and where.
pub struct Timing {
    pub tuned: Tuned,
    runtime: String,
    threads: usize,
    /// The part of the time that was asked for.
    wanted: Option<f64>,
}

impl LatencyArgs {
    /// Whether anything is to be measured.
    pub fn wanted(&self) -> bool {
        self.latency.is_some() || self.measure
    }

    fn runtime(&self) -> Result<&'static dyn Runtime, Failure> {
        match self.runtime {
            Some(RuntimeName::Occam) => Ok(&Own),
            name => match onnxruntime() {
                Ok(runtime) => Ok(runtime),
                Err(Error::Missing { .. }) if name.is_none() => Ok(&Own),
                Err(e) => {
                    let failure = Failure::new(e.to_string());
                    Err(match e.help() {
                        Some(help) => failure.with_help(help),
                        None => failure,
                    })
                }
            },
        }
    }
}

impl Args {
    /// Finds widths by measured times: to leave a part of the time, or from those that were `found` for another target.
    pub(super) fn tune(
        &self,
        model: &Imported,
        units: &Trace,
        bindings: &Bindings,
        solver: &mut Solver<'_>,
        found: Option<(Found, Option<Target>)>,
        json: bool,
    ) -> Result<Timing, Failure> {
        let runtime = self.latency.runtime()?;
        let threads = rayon::current_num_threads();
        let named = format!("{} {}", runtime.name(), runtime.version());
        let place = Place { runtime: named.clone(), cpu: cpu(), threads };
        let mut table = match self.latency.latency_cache.clone().or_else(default_file) {
            Some(file) => Table::open(&file, place)?,
            None => Table::new(place),
        };
        let blocks = Blocks::of(&model.graph, units, bindings)?;
        let subject = Subject {
            file: &self.model,
            graph: &model.graph,
            weights: &model.weights,
            origin: &model.origin,
            trace: units,
            blocks: &blocks,
            bindings,
        };
        let mut reporter = console::terminal(json);
        let mut progress = |done: usize| {
            if let Some(reporter) = &mut reporter {
                let done = done as u64;
                reporter.progress(&Progress { stage: "models", done, total: done.max(16), loss: None });
            }
        };
        let mut tuner = Tuner {
            solver,
            blocks: &blocks,
            table: &mut table,
            clock: Measured::new(subject, runtime, threads)?,
            multiple: self.limits.round_to(),
            progress: &mut progress,
        };
        let tuned = match (self.latency.latency, found) {
            (Some(part), _) => tuner.reach(part),
            (None, Some((found, target))) => tuner.never_slower(found, target),
            (None, None) => return Err(Failure::new("nothing says how small the model is to be")),
        };
        if let Some(reporter) = &mut reporter {
            reporter.finished();
        }
        let tuned = tuned.map_err(|e| advise(e, &self.model))?;
        Ok(Timing { tuned, runtime: named, threads, wanted: self.latency.latency })
    }
}

impl Timing {
    /// For machines.
    pub fn to_json(&self, units: &Trace) -> serde_json::Value {
        let c = &self.tuned.comparison;
        let steps = self.tuned.steps.as_ref().map(|steps| {
            let named = units.units.iter().zip(steps).filter(|(u, _)| u.kept_by.is_none());
            named.map(|(u, s)| (u.name.clone(), json!(s))).collect::<serde_json::Map<_, _>>()
        });
        json!({
            "runtime": self.runtime, "threads": self.threads, "wanted_part": self.wanted,
            "before_ms": c.before, "after_ms": c.after, "part": c.part(), "median_ms": c.medians,
            "speedup": c.speedup.median, "speedup_least": c.speedup.least, "speedup_largest": c.speedup.largest,
            "predicted_part": self.tuned.predicted, "predicted_ms": self.tuned.predicted.map(|p| p * c.before),
            "multiples": steps, "models_profiled": self.tuned.profiled, "models_compared": self.tuned.compared,
            "missed": self.tuned.missed,
        })
    }

    /// For people.
    pub fn to_text(&self) -> String {
        let c = &self.tuned.comparison;
        let ms = |x: f64| format!("{x:.2} ms");
        let times = |ratio: f64| format!("{ratio:.2}x");
        let mut rows = vec![
            vec!["a run".to_owned(), ms(c.before), ms(c.after), times(c.before / c.after)],
            vec!["median".to_owned(), ms(c.medians[0]), ms(c.medians[1]), times(c.speedup.median)],
        ];
        if let Some(part) = self.tuned.predicted {
            rows.push(vec!["predicted".to_owned(), String::new(), ms(part * c.before), times(1.0 / part)]);
        }
        let mut text = table::render(&["", "before", "after", "faster"], &rows);
        text.push_str(&format!(
            "\n\nmeasured by turns in {} with {} threads, {} to {} from round to round; {} models were run",
            self.runtime,
            self.threads,
            times(c.speedup.least),
            times(c.speedup.largest),
            self.tuned.profiled + self.tuned.compared,
        ));
        if let Some(missed) = &self.tuned.missed {
            let part = c.part();
            text.push_str(&match self.wanted {
                Some(wanted) => format!("\n{part:.3} of the time is left, not {wanted}: {missed}"),
                None => format!("\n{part:.3} of the time is left: {missed}"),
            });
        }
        text
    }
}

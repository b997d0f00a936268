//! Where times come from.

use std::path::{Path, PathBuf};
use std::time::Duration;

use occam_graph::{Array, Bindings, Graph, Weights};
use occam_io::onnx::{Origin, export_imported, write_model};
use occam_runtime::inputs::random_inputs;
use occam_runtime::latency::{Candidate, Options, Ratio, Times, measure};
use occam_runtime::{Budget, Runtime, Session};
use occam_space::{Selection, Trace, shrink};

use super::blocks::Blocks;
use crate::{Error, Result};

/// What measures models of other widths.
pub trait Clock {
    /// Microseconds of every block of the model with these channels, each in its place.
    ///
    /// # Errors
    /// The model cannot be made, or not run.
    fn profile(&mut self, selection: &Selection) -> Result<Vec<f64>>;

    /// The model with these channels against the one with all, as wholes and by turns.
    ///
    /// # Errors
    /// As [`Clock::profile`].
    fn compare(&mut self, selection: &Selection) -> Result<Comparison>;
}

/// Times of a run of the whole model with all channels and with fewer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Comparison {
    /// Milliseconds with all channels that a tenth of the runs does not exceed, so that other processes hardly count.
    pub before: f64,
    /// The same with fewer.
    pub after: f64,
    /// Medians of all runs, before and after.
    pub medians: [f64; 2],
    /// How much faster it is, from the medians of each round.
    pub speedup: Ratio,
}

impl Comparison {
    /// From the times of both, measured by turns.
    pub fn of(before: &Times, after: &Times) -> Self {
        Self {
            before: before.quantile(0.1),
            after: after.quantile(0.1),
            medians: [before.median(), after.median()],
            speedup: after.speedup(before),
        }
    }

    /// The part of the time that is left.
    pub fn part(&self) -> f64 {
        self.after / self.before
    }
}

/// The model whose widths change.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// Its file.
    pub file: &'a Path,
    /// Its graph.
    pub graph: &'a Graph,
    /// Its weights.
    pub weights: &'a Weights,
    /// What else its file has.
    pub origin: &'a Origin,
    /// Its units.
    pub trace: &'a Trace,
    /// Its blocks.
    pub blocks: &'a Blocks,
    /// Sizes that the file leaves open.
    pub bindings: &'a Bindings,
}

/// A runtime, in which files of all widths are written, loaded and run.
pub struct Measured<'a> {
    subject: Subject<'a>,
    runtime: &'a dyn Runtime,
    threads: usize,
    folder: tempfile::TempDir,
    original: Option<Original>,
}

/// The file with all channels, loaded, and what it runs on.
type Original = (Box<dyn Session>, Vec<(String, Array)>);

/// Time of a turn of one of two models.
const TURN: Duration = Duration::from_millis(80);

/// Turns of each of two models.
const ROUNDS: usize = 11;

fn failed(error: &occam_runtime::Error) -> Error {
    let help = error.help().map(|h| format!("; {h}")).unwrap_or_default();
    Error::Latency(format!("{error}{help}"))
}

impl<'a> Measured<'a> {
    /// Measures `subject` in `runtime` with so many threads.
    ///
    /// # Errors
    /// There is no room for temporary files.
    pub fn new(subject: Subject<'a>, runtime: &'a dyn Runtime, threads: usize) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("occam-").tempdir();
        let folder = folder.map_err(|e| Error::Latency(format!("no temporary folder can be made: {e}")))?;
        Ok(Self { subject, runtime, threads, folder, original: None })
    }

    /// The file of the model with these channels.
    fn write(&self, selection: &Selection) -> Result<PathBuf> {
        let Subject { graph, weights, origin, trace, .. } = self.subject;
        let file = self.folder.path().join("model.onnx");
        let (graph, weights) = shrink(graph, weights, trace, selection)?;
        let model = export_imported(&graph, &weights, origin).map_err(|e| Error::Latency(e.to_string()))?;
        write_model(&file, &model).map_err(|e| Error::Latency(e.to_string()))?;
        Ok(file)
    }
}

impl Clock for Measured<'_> {
    fn profile(&mut self, selection: &Selection) -> Result<Vec<f64>> {
        let file = self.write(selection)?;
        let steps = self.runtime.profile(&file, self.threads, self.subject.bindings, &Budget::default());
        let seconds = self.subject.blocks.attribute(&steps.map_err(|e| failed(&e))?);
        Ok(seconds.into_iter().map(|s| s * 1e6).collect())
    }

    fn compare(&mut self, selection: &Selection) -> Result<Comparison> {
        let file = self.write(selection)?;
        let mut run = || -> occam_runtime::Result<Comparison> {
            let bindings = self.subject.bindings;
            let mut small = self.runtime.load(&file, self.threads)?;
            let (full, inputs) = match &mut self.original {
                Some(original) => original,
                none => {
                    let session = self.runtime.load(self.subject.file, self.threads)?;
                    let inputs = random_inputs(session.inputs(), bindings, 0)?;
                    none.insert((session, inputs))
                }
            };
            full.time(inputs)?;
            let once = full.time(inputs)?.as_secs_f64();
            let runs = (TURN.as_secs_f64() / once.max(1e-6)).clamp(3.0, 200.0) as usize;
            let options = Options { warmup: 2, rounds: ROUNDS, runs };
            let mut both =
                [Candidate { session: &mut **full, inputs }, Candidate { session: &mut *small, inputs }];
            let times = measure(&mut both, &options)?;
            match times.as_slice() {
                [before, after] => Ok(Comparison::of(before, after)),
                _ => Err(occam_runtime::Error::Other("two models were measured, not two came back".into())),
            }
        };
        run().map_err(|e| failed(&e))
    }
}

//! Integers only where they are faster.

use occam_graph::Bindings;
use occam_io::onnx::Origin;
use occam_quant::Kind;
use occam_quant::guard::{Guard, Guarded};
use occam_quant::ptq::{Calibrated, Options, Quantized};
use occam_runtime::{Error, latency, onnxruntime};

use super::{Args, Bar};
use crate::diagnostic::Failure;

/// How the result is measured.
#[derive(clap::Args)]
#[command(next_help_heading = "Measuring")]
pub struct MeasureArgs {
    /// Do not measure: everything becomes integers that can, faster or not
    #[arg(long)]
    no_measure: bool,
    /// Rounds of each comparison
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
}

impl MeasureArgs {
    /// Whether a result is to be measured where that can be done.
    pub(super) fn wanted(&self, model: &Quantized) -> bool {
        !self.no_measure
            && model.backend.name == "onnxruntime"
            && model.placed.placement.points.iter().any(|p| p.kind == Kind::Activation)
    }

    /// The fastest variant of `calibrated`, measured in ONNX Runtime with as many threads as are computed with; none where
    /// nothing is to be or can be measured.
    ///
    /// # Errors
    /// A variant cannot be run, or integers are not faster at all.
    pub(super) fn run(
        &self,
        args: &Args,
        calibrated: &Calibrated,
        options: &Options,
        origin: &Origin,
        bindings: &Bindings,
        bar: &mut Bar,
    ) -> Result<Option<Guarded>, Failure> {
        if self.no_measure || args.weights_only || calibrated.backend.name != "onnxruntime" {
            return Ok(None);
        }
        let runtime = match onnxruntime() {
            Ok(runtime) => runtime,
            Err(Error::Missing { .. }) => return Ok(None),
            Err(error) => return Err(crate::cli::runtimes::advised(error)),
        };
        let guard = Guard {
            runtime,
            threads: rayon::current_num_threads(),
            float: &args.model,
            origin,
            bindings,
            pack: args.pack,
            measure: latency::Options { rounds: self.rounds as usize, ..latency::Options::default() },
        };
        let mut done = 0;
        let guarded = guard.run(calibrated, options, |_| {
            done += 1;
            bar.at("variants", done, done.max(6));
        })?;
        Ok(Some(guarded))
    }
}

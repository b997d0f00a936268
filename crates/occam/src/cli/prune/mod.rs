//! `occam prune`

mod limits;
mod report;

use std::path::PathBuf;
use std::time::Instant;

use occam_graph::recognize::recognize;
use occam_io::onnx::{ImportOptions, Imported, export_imported, import, write_model};
use occam_prune::importance::Subject;
use occam_prune::{Importance, Normalizer, Outcome as Found, Solver, Target, TargetKind, picture};
use occam_space::{Divide, Trace, TraceOptions, shrink, subnet, trace};

use self::limits::LimitArgs;
use super::{Outcome, sizes};
use crate::diagnostic::Failure;

/// Remove the channels of an ONNX model that matter least, and write the smaller model
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    occam prune model.onnx --macs 0.5 -o small.onnx\n  \
    occam prune model.onnx --params 0.25 --importance l1 -o small.onnx --svg widths.svg\n  \
    occam prune model.onnx --macs 0.5 --keep 'layer4.*' --round-to 16 -o small.onnx\n  \
    occam prune model.onnx --subnet widths.json -o small.onnx\n\n\
    The result is an ordinary file: weights are sliced, nothing is masked. What channels can go and why others cannot: \
    occam inspect model.onnx --units")]
pub struct Args {
    /// The ONNX file
    model: PathBuf,
    /// Where the smaller model goes
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Part of the multiply-accumulates to leave
    #[arg(long, value_name = "PART", group = "target")]
    macs: Option<f64>,
    /// Part of the parameters to leave
    #[arg(long, value_name = "PART", group = "target")]
    params: Option<f64>,
    /// Part of the elements that layers write to leave
    #[arg(long, value_name = "PART", group = "target")]
    activations: Option<f64>,
    /// Widths of units from a subnet file in place of a target: {\"UNIT\": WIDTH, ..} or a mutator's config
    #[arg(long, value_name = "FILE", group = "target")]
    subnet: Option<PathBuf>,
    /// How much a channel matters
    #[arg(long, value_name = "NAME", default_value = "group-l2")]
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(Importance::all().iter().map(|i| clap::builder::PossibleValue::new(i.name).help(i.about))))]
    importance: String,
    /// How scores of different units are made comparable
    #[arg(long, value_name = "NAME", default_value = "mean")]
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(Normalizer::ALL.iter().map(|(name, _)| *name)))]
    normalizer: String,
    #[command(flatten)]
    limits: LimitArgs,
    /// Remove whole attention heads, not dimensions of all heads
    #[arg(long)]
    heads: bool,
    /// Sizes that the file leaves open, for what it costs [default: 1]: `batch=8`
    #[arg(long, value_name = "NAME=N", value_parser = super::run::parse_dim)]
    dim: Vec<(String, usize)>,
    /// Seed of `--importance random`
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Draw the widths before and after into this file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Write the widths into this file, for `--subnet` and for configs
    #[arg(long, value_name = "FILE")]
    dump_subnet: Option<PathBuf>,
}

impl Args {
    pub fn run(self, json: bool) -> Outcome {
        let started = Instant::now();
        if self.target().is_none() && self.subnet.is_none() {
            return Err(Failure::new("nothing says how small the model is to be")
                .with_help("give a part to leave: --macs 0.5, --params 0.5 or --activations 0.5, or widths by --subnet FILE"));
        }
        let mut model = import(&self.model, &ImportOptions::default())?;
        recognize(&mut model.graph, &mut model.weights)?;
        let divide = if self.heads { Divide::Outermost } else { Divide::Finest };
        let units = trace(&model.graph, &TraceOptions { divide })?;
        let found = self.solve(&model, &units)?;
        let (graph, weights) = shrink(&model.graph, &model.weights, &units, &found.selection)?;
        let seconds = started.elapsed().as_secs_f64();
        write_model(&self.output, &export_imported(&graph, &weights, &model.origin)?)?;
        let widths = found.selection.widths();
        if let Some(path) = &self.dump_subnet {
            let mut text =
                serde_json::to_string_pretty(&subnet::choices(&units, &widths)).unwrap_or_default();
            text.push('\n');
            occam_io::atomic_write(path, |f| std::io::Write::write_all(f, text.as_bytes()))?;
        }
        if let Some(path) = &self.svg {
            let title = self.model.file_name().unwrap_or_default().to_string_lossy();
            let text = picture::widths(&units, &found.selection, &title);
            occam_io::atomic_write(path, |f| std::io::Write::write_all(f, text.as_bytes()))?;
        }
        self.tell(&units, &found, seconds, json);
        Ok(())
    }

    fn target(&self) -> Option<Target> {
        [
            (TargetKind::Macs, self.macs),
            (TargetKind::Params, self.params),
            (TargetKind::Activations, self.activations),
        ]
        .into_iter()
        .find_map(|(kind, part)| Some(Target { kind, part: part? }))
    }

    fn solve(&self, model: &Imported, units: &Trace) -> Result<Found, Failure> {
        let subject = Subject { graph: &model.graph, weights: &model.weights, trace: units, seed: self.seed };
        let Some(importance) = Importance::find(&self.importance) else {
            return Err(Failure::new(format!("there is no importance `{}`", self.importance)));
        };
        let mut scores = importance.score(&subject)?;
        if let Some((_, normalizer)) = Normalizer::ALL.iter().find(|(name, _)| *name == self.normalizer) {
            normalizer.apply(&mut scores);
        }
        let bindings = sizes::open(&model.graph, &self.dim)?;
        let solver =
            Solver::new(&model.graph, units, scores, &self.limits.limits(units, &self.model)?, &bindings)?;
        match (self.target(), &self.subnet) {
            (_, Some(path)) => {
                let at = |message: String| Failure::new(format!("{}: {message}", path.display()));
                let text = std::fs::read_to_string(path).map_err(|e| at(e.to_string()))?;
                let choices = subnet::parse(&text).map_err(|e| at(e.to_string()))?;
                let widths = subnet::widths(units, &choices).map_err(|e| at(e.to_string()))?;
                Ok(solver.at(&widths)?)
            }
            (Some(target), None) => Ok(solver.solve(target)?),
            (None, None) => Err(Failure::new("nothing says how small the model is to be")),
        }
    }
}

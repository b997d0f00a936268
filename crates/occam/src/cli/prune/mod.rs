//! `occam prune`

mod advice;
pub mod data;
mod finetune;
mod latency;
mod limits;
mod report;
mod score;
mod sensitivity;
mod sparsity;
mod stages;

use std::path::PathBuf;

use occam_graph::recognize::recognize;
use occam_io::onnx::{ImportOptions, Imported, export_imported, import, write_model};
use occam_prune::importance::Subject;
use occam_prune::{Importance, Normalizer, Outcome as Found, Solver, Target, TargetKind, picture};
use occam_space::{Divide, Trace, TraceOptions, shrink, subnet, trace};

use self::advice::{advise, widths};
use self::data::{DataArgs, Images};
use self::finetune::FinetuneArgs;
use self::latency::{LatencyArgs, Timing};
use self::limits::LimitArgs;
use self::report::Report;
use self::score::ScoreArgs;
use self::sensitivity::SensitivityArgs;
use self::stages::Stages;
use super::{Outcome, sizes};
use crate::diagnostic::Failure;

/// Options that say how channels go, and what is told of them: they mean nothing to single weights.
const OF_CHANNELS: [&str; 12] = [
    "importance",
    "importance_images",
    "normalizer",
    "round_to",
    "max_ratio",
    "ratio",
    "heads",
    "dim",
    "svg",
    "dump_subnet",
    "data",
    "measure",
];

/// Remove the channels of an ONNX model that matter least, and write the smaller model
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    occam prune model.onnx --macs 0.5 -o small.onnx\n  \
    occam prune model.onnx --latency 0.5 --threads 2 -o fast.onnx\n  \
    occam prune model.onnx --params 0.25 --importance l1 -o small.onnx --svg widths.svg\n  \
    occam prune model.onnx --macs 0.5 --importance fisher --data DIR -o small.onnx\n  \
    occam prune model.onnx --macs 0.5 --keep 'layer4.*' --round-to 16 -o small.onnx\n  \
    occam prune model.onnx --subnet widths.json -o small.onnx\n  \
    occam prune model.onnx --macs 0.5 --data DIR --finetune-epochs 10 --distill -o small.onnx\n  \
    occam prune model.onnx --sensitivity curves.svg --data DIR\n  \
    occam prune model.onnx --sparsity 2:4 -o sparse.onnx\n\n\
    The result is an ordinary file: weights are sliced, nothing is masked (but for --sparsity). What channels can go and why \
    others cannot: occam inspect model.onnx --units")]
pub struct Args {
    /// The ONNX file
    model: PathBuf,
    /// Where the smaller model goes
    #[arg(short, long, value_name = "FILE", required_unless_present_any = ["dry_run", "sensitivity"])]
    output: Option<PathBuf>,
    /// Tell the widths and what the smaller model would need, and write no model
    #[arg(long, conflicts_with = "output")]
    dry_run: bool,
    /// Part of the multiply-accumulates to leave
    #[arg(long, value_name = "PART", group = "target")]
    macs: Option<f64>,
    /// Part of the parameters to leave
    #[arg(long, value_name = "PART", group = "target")]
    params: Option<f64>,
    /// Part of the elements that layers write to leave
    #[arg(long, value_name = "PART", group = "target")]
    activations: Option<f64>,
    /// Make weights 0 in place of removing channels: a part of all (0.5), or of each run along the inputs all but N of M (2:4);
    /// with --uniform the part is that of each layer
    #[arg(long, value_name = "PART|N:M", group = "target", requires = "output")]
    #[arg(conflicts_with_all = OF_CHANNELS)]
    sparsity: Option<occam_prune::sparsity::Pattern>,
    /// Widths of units from a subnet file in place of a target: {\"UNIT\": WIDTH, ..} or a mutator's config
    #[arg(long, value_name = "FILE", group = "target")]
    subnet: Option<PathBuf>,
    #[command(flatten)]
    latency: LatencyArgs,
    /// How much a channel matters
    #[arg(long, value_name = "NAME", default_value = "group-l2")]
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(Importance::all().iter().map(|i| clap::builder::PossibleValue::new(i.name).help(i.about))))]
    importance: String,
    #[command(flatten)]
    score: ScoreArgs,
    /// How scores of different units are made comparable
    #[arg(long, value_name = "NAME", default_value = "mean")]
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(Normalizer::ALL.iter().map(|(name, _)| *name)))]
    normalizer: String,
    #[command(flatten)]
    limits: LimitArgs,
    /// Remove whole attention heads, not dimensions of all heads
    #[arg(long)]
    heads: bool,
    /// Sizes that the file leaves open, and those that only running tells, for what it costs [default: 1]: `batch=8`
    #[arg(long, value_name = "NAME=N", value_parser = super::run::parse_dim)]
    dim: Vec<(String, usize)>,
    /// Seed of all chance: what is held out of --data, order and augmentation, `--importance random`
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Draw the widths before and after into this file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Write the widths into this file, for `--subnet` and for configs
    #[arg(long, value_name = "FILE")]
    dump_subnet: Option<PathBuf>,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    finetune: FinetuneArgs,
    #[command(flatten)]
    sensitivity: SensitivityArgs,
}

impl Args {
    pub fn run(self, json: bool) -> Outcome {
        if let (Some(pattern), Some(output)) = (self.sparsity, &self.output) {
            let (uniform, keep) = (self.limits.uniform(), self.limits.keep());
            return sparsity::run(&self.model, output, pattern, uniform, keep, json);
        }
        if let (Some(_), false, Some(option)) =
            (&self.subnet, self.latency.wanted(), self.limits.beside_widths())
        {
            return Err(Failure::new(format!(
                "--subnet says the width of every unit: {option} does nothing"
            ))
            .with_help(format!("leave {option} away, or change the file")));
        }
        let mut stages = Stages::new();
        let sized = self.target().is_some() || self.subnet.is_some() || self.latency.latency.is_some();
        self.look(json)?;
        if !sized {
            if self.sensitivity.wanted() && self.output.is_none() {
                return Ok(());
            }
            return Err(Failure::new("nothing says how small the model is to be")
                .with_help("give a part to leave: --macs 0.5, --params 0.5, --activations 0.5 or --latency 0.5, or widths by --subnet FILE"));
        }
        if self.output.is_none() && !self.dry_run {
            return Err(Failure::new("-o FILE says where the smaller model goes"));
        }
        let mut model = import(&self.model, &ImportOptions::default())?;
        recognize(&mut model.graph, &mut model.weights)?;
        stages.end("read");
        let images = self.data.open(&model.graph, self.seed)?;
        let tuning = match &images {
            Some(images) if self.finetune.wanted() || images.need_labels("accuracy").is_ok() => {
                Some(self.finetune.on(images, self.seed, json)?)
            }
            _ => None,
        };
        let units = trace(&model.graph, &self.options())?;
        stages.end("trace");
        let (found, timing) = self.solve(&model, images.as_ref(), &units, &mut stages, json)?;
        let (graph, weights) = shrink(&model.graph, &model.weights, &units, &found.selection)?;
        let small = export_imported(&graph, &weights, &model.origin)?;
        stages.end("shrink");
        let mut accuracy = None;
        if let Some(output) = &self.output {
            match &tuning {
                Some(tuning) => accuracy = Some(tuning.run(&self.model, &small, output)?),
                None => write_model(output, &small)?,
            }
            stages.end("write");
        }
        if let Some(path) = &self.dump_subnet {
            let widths = found.selection.widths();
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
        let report = Report {
            units: &units,
            found: &found,
            accuracy: accuracy.as_ref(),
            timing: timing.as_ref(),
            stages: &stages,
        };
        self.tell(&report, json);
        Ok(())
    }

    fn options(&self) -> TraceOptions {
        TraceOptions { divide: if self.heads { Divide::Outermost } else { Divide::Finest } }
    }

    /// Measures sensitivity, if that is wanted.
    fn look(&self, json: bool) -> Outcome {
        if !self.sensitivity.wanted() {
            return Ok(());
        }
        let model = import(&self.model, &ImportOptions::default())?;
        let images = self.data.open(&model.graph, self.seed)?;
        let Some(images) = images else { return Err(Failure::new("--sensitivity needs --data")) };
        self.sensitivity.run(&self.model, &images, self.importance()?, &self.options(), self.seed, json)
    }

    fn importance(&self) -> Result<&'static Importance, Failure> {
        Importance::find(&self.importance)
            .ok_or_else(|| Failure::new(format!("there is no importance `{}`", self.importance)))
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

    /// The channels that stay, and where times are wanted those of the model with them.
    fn solve(
        &self,
        model: &Imported,
        images: Option<&Images>,
        units: &Trace,
        stages: &mut Stages,
        json: bool,
    ) -> Result<(Found, Option<Timing>), Failure> {
        let subject = Subject { graph: &model.graph, weights: &model.weights, trace: units, seed: self.seed };
        let advise = |e| advise(e, &self.model);
        let importance = self.importance()?;
        let mut scores = match importance.needs() {
            None => importance.score(&subject).map_err(advise)?,
            Some(_) => {
                self.score.scores(&self.model, images, importance, units, &self.options(), self.seed)?
            }
        };
        if let Some((_, normalizer)) = Normalizer::ALL.iter().find(|(name, _)| *name == self.normalizer) {
            normalizer.apply(&mut scores);
        }
        stages.end("importance");
        let (bindings, inner) = sizes::all(&model.graph, &self.dim)?;
        stages.inner = inner;
        let limits = self.limits.limits(units, &self.model)?;
        let mut solver = Solver::new(&model.graph, units, scores, &limits, &bindings).map_err(advise)?;
        stages.fixed = solver.fixed();
        let found = match (self.target(), &self.subnet) {
            (_, Some(path)) => Some((solver.at(&widths(path, units, &self.model)?).map_err(advise)?, None)),
            (Some(target), None) => Some((solver.solve(target).map_err(advise)?, Some(target))),
            (None, None) => None,
        };
        let outcome = match found {
            Some((found, _)) if !self.latency.wanted() => (found, None),
            found => {
                let timing = self.tune(model, units, &bindings, &mut solver, found, json)?;
                (timing.tuned.outcome.clone(), Some(timing))
            }
        };
        stages.end("solve");
        Ok(outcome)
    }
}

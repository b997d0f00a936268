//! `occam prune`

pub mod data;
mod finetune;
mod limits;
mod report;
mod sensitivity;

use std::path::PathBuf;
use std::time::Instant;

use occam_graph::recognize::recognize;
use occam_io::onnx::{ImportOptions, Imported, export_imported, import, write_model};
use occam_prune::importance::Subject;
use occam_prune::{Importance, Normalizer, Outcome as Found, Solver, Target, TargetKind, picture};
use occam_space::{Divide, Trace, TraceOptions, shrink, subnet, trace};

use self::data::DataArgs;
use self::finetune::FinetuneArgs;
use self::limits::LimitArgs;
use self::sensitivity::SensitivityArgs;
use super::{Outcome, sizes};
use crate::diagnostic::Failure;

/// Remove the channels of an ONNX model that matter least, and write the smaller model
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    occam prune model.onnx --macs 0.5 -o small.onnx\n  \
    occam prune model.onnx --params 0.25 --importance l1 -o small.onnx --svg widths.svg\n  \
    occam prune model.onnx --macs 0.5 --keep 'layer4.*' --round-to 16 -o small.onnx\n  \
    occam prune model.onnx --subnet widths.json -o small.onnx\n  \
    occam prune model.onnx --macs 0.5 --data DIR --finetune-epochs 10 --distill -o small.onnx\n  \
    occam prune model.onnx --sensitivity curves.svg --data DIR\n\n\
    The result is an ordinary file: weights are sliced, nothing is masked. What channels can go and why others cannot: \
    occam inspect model.onnx --units")]
pub struct Args {
    /// The ONNX file
    model: PathBuf,
    /// Where the smaller model goes
    #[arg(short, long, value_name = "FILE", required_unless_present = "sensitivity")]
    output: Option<PathBuf>,
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
        let started = Instant::now();
        let sized = self.target().is_some() || self.subnet.is_some();
        let Some(output) = self.output.as_deref() else {
            return if sized {
                Err(Failure::new("-o FILE says where the smaller model goes"))
            } else {
                self.look(json)
            };
        };
        if !sized {
            return Err(Failure::new("nothing says how small the model is to be")
                .with_help("give a part to leave: --macs 0.5, --params 0.5 or --activations 0.5, or widths by --subnet FILE"));
        }
        self.look(json)?;
        let mut model = import(&self.model, &ImportOptions::default())?;
        recognize(&mut model.graph, &mut model.weights)?;
        let images = self.data.open(&model.graph, self.seed)?;
        let tuning = match &images {
            Some(images) if self.finetune.wanted() || images.need_labels("accuracy").is_ok() => {
                Some(self.finetune.on(images, self.seed, json)?)
            }
            _ => None,
        };
        let units = trace(&model.graph, &self.options())?;
        let found = self.solve(&model, &units)?;
        let (graph, weights) = shrink(&model.graph, &model.weights, &units, &found.selection)?;
        let seconds = started.elapsed().as_secs_f64();
        let proto = export_imported(&graph, &weights, &model.origin)?;
        let accuracy = match &tuning {
            None => {
                write_model(output, &proto)?;
                None
            }
            Some(tuning) => Some(tuning.run(&self.model, &proto, output)?),
        };
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
        self.tell(output, &units, &found, accuracy.as_ref(), seconds, json);
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

    fn solve(&self, model: &Imported, units: &Trace) -> Result<Found, Failure> {
        let subject = Subject { graph: &model.graph, weights: &model.weights, trace: units, seed: self.seed };
        let mut scores = self.importance()?.score(&subject)?;
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

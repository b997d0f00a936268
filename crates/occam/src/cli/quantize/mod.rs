//! `occam quantize`

mod measure;
mod quality;
mod report;
mod rounding;

use std::path::PathBuf;
use std::time::Instant;

use occam_engine::{Device, Tensor};
use occam_graph::recognize::recognize;
use occam_graph::{Dim, Graph};
use occam_io::onnx::{ImportOptions, Imported, export_imported, import, write_model};
use occam_quant::backends::{ALL, Backend, Wishes};
use occam_quant::observers::{Calibration, Rule};
use occam_quant::ptq::{Options, Quantizing};
use occam_train::reporter::Progress;

use self::measure::MeasureArgs;
use self::quality::QualityArgs;
use self::report::Report;
use self::rounding::{Repeated, RoundingArgs};
use super::convert::raise;
use super::prune::data::{DataArgs, Images};
use super::{Outcome, sizes};
use crate::console;
use crate::diagnostic::Failure;

/// The operator set that brought scales of groups and integers of 4 bits.
const SINCE_BLOCKS: i64 = 21;

/// Images that are run at once while ranges are observed, where the model leaves it open.
const BATCH: usize = 8;

/// Make the weights and activations of an ONNX model integers, and write the model that runtimes compute with them
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    occam quantize model.onnx --data images -o int8.onnx\n  \
    occam quantize model.onnx --data images --backend openvino -o int8.onnx\n  \
    occam quantize model.onnx --data images --max-drop 0.5 --svg layers.svg -o int8.onnx\n  \
    occam quantize model.onnx --weights-only --bits 4 --group-size 32 --pack -o small.onnx\n  \
    occam quantize model.onnx --data images --bits 4 --rounding adaround -o w4.onnx\n  \
    occam quantize model.onnx --data images --skip 'head.*' --skip Add -o int8.onnx\n\n\
    The result holds pairs of QuantizeLinear and DequantizeLinear, and weights as integers. --data is any folder of images; \
    classes are not needed. For ONNX Runtime the result is measured where its library is found, and operators whose integers \
    cost time stay in floats. How good it is: occam test --model int8.onnx --against model.onnx --data images")]
pub struct Args {
    /// The ONNX file
    model: PathBuf,
    /// Where the quantized model goes
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// The runtime that is to compute with the integers
    #[arg(long, value_name = "NAME", default_value = "onnxruntime")]
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(ALL.iter().map(|b| b.name)))]
    backend: String,
    /// Bits of weights [default: 8]
    #[arg(long, visible_alias = "weight-bits", value_name = "N")]
    bits: Option<u32>,
    /// Bits of activations [default: 8]
    #[arg(long, value_name = "N")]
    activation_bits: Option<u32>,
    /// Make weights integers and leave activations floats; needs no images
    #[arg(long)]
    weights_only: bool,
    /// Store integers of 4 bits as such, two in a byte; files have those from operator set 21 on
    #[arg(long)]
    pack: bool,
    /// One scale for a whole weight, not one for every output channel
    #[arg(long)]
    per_tensor: bool,
    /// One scale for so many inputs of a channel, with --weights-only: of linear layers and 1x1 convolutions whose inputs are a
    /// multiple; files have such scales from operator set 21 on
    #[arg(long, value_name = "N", requires = "weights_only", conflicts_with = "per_tensor")]
    #[arg(value_parser = clap::value_parser!(u32).range(2..))]
    group_size: Option<u32>,
    /// ONNX operator set of the result, not older than the file's [default: the file's; 21 with --group-size and --pack]
    #[arg(long, value_name = "N")]
    opset: Option<i64>,
    /// Activations as signed integers around 0
    #[arg(long)]
    symmetric: bool,
    /// Leave these in floats: names of nodes, with *, or kinds of operators such as Add
    #[arg(long, value_name = "NAME,..", value_delimiter = ',')]
    skip: Vec<String>,
    /// Bits of the weights of single layers: `head.*=8`
    #[arg(long, value_name = "NAME=N", value_parser = parse_bits)]
    layer_bits: Vec<(String, u32)>,
    /// Images that ranges are observed on, drawn by --seed
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..))]
    samples: u32,
    /// How ranges follow from what is seen
    #[arg(long, value_name = "NAME", default_value = "minmax")]
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(Calibration::ALL.iter().map(|(name, _, about)| clap::builder::PossibleValue::new(name).help(about))))]
    calibration: String,
    /// The part of the elements that --calibration percentile keeps within the range [default: 99.99]
    #[arg(long, value_name = "PERCENT", value_parser = parse_percent)]
    percentile: Option<f64>,
    /// Leave biases as they are; else they make up for what rounding the weights adds on average
    #[arg(long)]
    no_bias_correction: bool,
    /// Seed of the choice of images
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Draw what rounding does to each value into this file: ranges, errors and histograms, the worst first
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Sizes that the file leaves open, for measuring [default: 1]: `batch=8`
    #[arg(long, value_name = "NAME=N", value_parser = super::run::parse_dim)]
    dim: Vec<(String, usize)>,
    #[command(flatten)]
    rounding: RoundingArgs,
    #[command(flatten)]
    quality: QualityArgs,
    #[command(flatten)]
    measure: MeasureArgs,
    #[command(flatten)]
    data: DataArgs,
}

fn parse_percent(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(part) if part > 0.0 && part <= 100.0 => Ok(part),
        _ => Err("a percentage above 0 and at most 100 is wanted".into()),
    }
}

fn parse_bits(text: &str) -> Result<(String, u32), String> {
    let wanted = || "a name and bits are wanted, such as head.*=8".to_owned();
    let (name, bits) = text.rsplit_once('=').ok_or_else(wanted)?;
    Ok((name.to_owned(), bits.trim().parse().map_err(|_| wanted())?))
}

/// A bar for what takes long, on a terminal.
struct Bar(Option<Box<dyn occam_train::reporter::Reporter>>);

impl Bar {
    fn at(&mut self, stage: &str, done: usize, total: usize) {
        if let Some(reporter) = &mut self.0 {
            let (done, total) = (done as u64, total.max(done) as u64);
            reporter.progress(&Progress { stage, done, total, loss: None });
        }
    }

    fn end(&mut self) {
        if let Some(reporter) = &mut self.0 {
            reporter.finished();
        }
    }
}

impl Args {
    pub fn run(self, json: bool) -> Outcome {
        let started = Instant::now();
        let Some(backend) = Backend::find(&self.backend) else {
            return Err(Failure::new(format!("there is no backend `{}`", self.backend)));
        };
        let mut model = import(&self.model, &ImportOptions::default())?;
        recognize(&mut model.graph, &mut model.weights)?;
        self.raise(&mut model)?;
        let images = self.data.open(&model.graph, self.seed)?;
        if images.is_none() && !self.weights_only {
            return Err(Failure::new("ranges of activations come from images, and none are given").with_help(
                "give some with --data DIR, any folder of images like those the model is for, without classes; \
                 --weights-only needs none",
            ));
        }
        let mut bar = Bar(console::terminal(json));
        let samples = self.samples as usize;
        let data = images.as_ref().map(|images| Repeated::of(images, &model.graph, samples));
        self.rounding.prepare(&mut model.graph, &mut model.weights, data.as_ref())?;
        let calibration = self.calibration()?;
        let observer = |scheme| calibration.observer(scheme);
        let (graph, weights) = (model.graph.clone(), model.weights.clone());
        let quantizing = Quantizing::new(backend, graph, weights, &self.wishes(), &observer, &Device::cpu())?;
        let mut used = 0;
        if let Some(images) = images.as_ref().filter(|_| !self.weights_only) {
            used = observe(&quantizing, &model.graph, images, samples, &mut bar)?;
        }
        let correct = !self.no_bias_correction;
        let options = Options { bias_correction: correct && self.rounding.nearest() };
        let mut calibrated = quantizing.finish()?;
        let mut quantized = calibrated.quantize(&options)?;
        let kept = self.quality.keep(&calibrated, &options, images.as_ref(), &mut bar)?;
        if let Some(kept) = &kept {
            calibrated.wishes = kept.wishes.clone();
            quantized = kept.quantized.clone();
        }
        let bindings = sizes::all(&model.graph, &self.dim)?.0;
        let guarded = self.measure.run(&self, &calibrated, &options, &model.origin, &bindings, &mut bar)?;
        bar.end();
        if let Some(guarded) = &guarded {
            quantized = guarded.quantized.clone();
        }
        let rounded =
            self.rounding.round(&mut quantized, &calibrated.weights, data.as_ref(), correct, self.seed)?;
        let (graph, weights) = quantized.lower(model.origin.opset(), self.pack)?;
        let file = export_imported(&graph, &weights, &model.origin)?;
        write_model(&self.output, &file)?;
        let roundings = quality::roundings(&quantized, images.as_ref(), self.svg.is_some())?;
        if let (Some(path), Some(list)) = (&self.svg, &roundings) {
            let title = self.model.file_name().unwrap_or_default().to_string_lossy();
            let text = occam_quant::picture::roundings(list, &title);
            occam_io::atomic_write(path, |f| std::io::Write::write_all(f, text.as_bytes()))?;
        }
        let report = Report {
            args: &self,
            quantized: &quantized,
            kept: kept.as_ref(),
            guarded: guarded.as_ref(),
            roundings: roundings.as_deref(),
            rounded: rounded.as_ref(),
            used,
            seconds: started.elapsed().as_secs_f64(),
        };
        report.tell(json)
    }

    /// How ranges are chosen.
    fn calibration(&self) -> Result<Calibration, Failure> {
        match (Calibration::find(&self.calibration), self.percentile) {
            (Some(Calibration::Ranged(Rule::Percentile(_))), Some(part)) => {
                Ok(Calibration::Ranged(Rule::Percentile(part)))
            }
            (Some(_), Some(_)) => Err(Failure::new("--percentile is for --calibration percentile")),
            (Some(found), None) => Ok(found),
            (None, _) => Err(Failure::new(format!("there is no calibration `{}`", self.calibration))),
        }
    }

    /// Takes the model to the operator set that is asked for, or that what is asked for needs.
    fn raise(&self, model: &mut Imported) -> Outcome {
        let own = model.origin.opset();
        let needed = if self.group_size.is_some() || self.pack { own.max(SINCE_BLOCKS) } else { own };
        let wanted = self.opset.unwrap_or(needed);
        if wanted < needed && wanted >= own {
            return Err(Failure::new(format!(
                "--opset {wanted} has no scales of groups and no integers of 4 bits"
            ))
            .with_help(format!("operator sets from {SINCE_BLOCKS} on have them")));
        }
        raise(model, wanted)
    }

    fn wishes(&self) -> Wishes {
        Wishes {
            weight_bits: self.bits,
            activation_bits: self.activation_bits,
            per_tensor: self.per_tensor,
            symmetric: self.symmetric,
            skip: self.skip.clone(),
            layer_bits: self.layer_bits.clone(),
            floats: Vec::new(),
            weights_only: self.weights_only,
            group_size: self.group_size.map(|n| n as usize),
        }
    }
}

/// How many images a model takes at once; none where that is open.
fn fixed_batch(graph: &Graph) -> Option<usize> {
    let first = graph.inputs().first()?;
    graph.value(*first).ok()?.fact.shape.first().and_then(Dim::known)
}

/// Observes on images, and says on how many.
fn observe(
    quantizing: &Quantizing,
    graph: &Graph,
    images: &Images,
    samples: usize,
    bar: &mut Bar,
) -> Result<usize, Failure> {
    let fixed = fixed_batch(graph);
    let loader = images.sample_by(samples, fixed.unwrap_or(BATCH))?;
    let device = Device::cpu();
    let mut used = 0;
    for batch in loader.epoch(0, 0) {
        let batch = batch?;
        // A model of a fixed batch takes whole ones alone.
        if fixed.is_some_and(|n| n != batch.len()) {
            continue;
        }
        quantizing.observe(&[Tensor::from_array(&batch.inputs, &device)?])?;
        used += batch.len();
        bar.at("images", used, samples);
    }
    if used == 0 {
        let need = fixed.unwrap_or(1);
        return Err(Failure::new(format!("there are not {need} images for a batch of the model")));
    }
    Ok(used)
}

//! What is done to weights before they are rounded, and which way they are.

use std::cell::RefCell;

use clap::ValueEnum;
use occam_engine::{Device, Tensor};
use occam_graph::{Graph, Weights};
use occam_quant::passes::{
    Batches, Equalize, Report, Smooth, Statistics, correct_biases_by_means, equalize, fold_batch_norm,
    free_relu6, smooth,
};
use occam_quant::ptq::Quantized;
use occam_quant::rounding::{
    AdaRound, Gptq, GridRule, Reconstruct, Schedule, ada_round, gptq, reconstruct_blocks,
};

use super::{BATCH, fixed_batch};
use crate::cli::prune::data::Images;
use crate::diagnostic::Failure;

/// Which way weights are rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum How {
    /// To the nearest integer
    Nearest,
    /// Learned layer by layer, so that what each gives changes least (AdaRound)
    Adaround,
    /// Learned block by block, residual blocks as a whole (BRECQ)
    Blocks,
    /// One input after the other, those left making up for it (GPTQ)
    Gptq,
}

/// What is done to weights.
#[derive(clap::Args)]
#[command(next_help_heading = "Weights")]
pub struct RoundingArgs {
    /// Which way weights are rounded; other than nearest needs images and time, and is for few bits
    #[arg(long, value_enum, value_name = "HOW", default_value = "nearest")]
    rounding: How,
    /// Steps that roundings learn for, of each layer or block [default: 10000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    iterations: Option<u32>,
    /// Make ranges of channels equal between layers first: what the model computes stays the same (cross-layer equalization)
    #[arg(long)]
    equalize: bool,
    /// Move this part of the ranges of what layer normalizations give into the weights that read it (SmoothQuant; 0.5 is usual)
    #[arg(long, value_name = "ALPHA", value_parser = parse_part)]
    smooth: Option<f32>,
}

fn parse_part(text: &str) -> Result<f32, String> {
    match text.parse() {
        Ok(part) if (0.0..=1.0).contains(&part) => Ok(part),
        _ => Err("the part must be from 0 to 1".into()),
    }
}

/// Elements of images that are kept for the next time; more are read and decoded again.
const KEPT: usize = 64 << 20;

/// Images as batches of a model, again and again in the same order.
pub(super) struct Repeated<'a> {
    images: &'a Images,
    count: usize,
    fixed: Option<usize>,
    /// All batches, once they were read and if they are few enough.
    kept: RefCell<Option<Vec<Tensor>>>,
}

impl<'a> Repeated<'a> {
    pub(super) fn of(images: &'a Images, graph: &Graph, count: usize) -> Self {
        Self { images, count, fixed: fixed_batch(graph), kept: RefCell::default() }
    }
}

impl Batches for Repeated<'_> {
    fn each(&self, f: &mut dyn FnMut(&[Tensor]) -> occam_quant::Result<()>) -> occam_quant::Result<()> {
        if let Some(kept) = &*self.kept.borrow() {
            return kept.iter().try_for_each(|batch| f(std::slice::from_ref(batch)));
        }
        let failed = |e: &dyn std::fmt::Display| occam_quant::Error::Other(e.to_string());
        let loader =
            self.images.sample_by(self.count, self.fixed.unwrap_or(BATCH)).map_err(|e| failed(&e))?;
        let (mut kept, mut elements) = (Vec::new(), 0);
        for batch in loader.epoch(0, 0) {
            let batch = batch.map_err(|e| failed(&e))?;
            if self.fixed.is_none_or(|n| n == batch.len()) {
                let tensor = Tensor::from_array(&batch.inputs, &Device::cpu())?;
                f(std::slice::from_ref(&tensor))?;
                elements += tensor.len();
                if elements <= KEPT {
                    kept.push(tensor);
                } else {
                    kept.clear();
                }
            }
        }
        if elements <= KEPT {
            self.kept.replace(Some(kept));
        }
        Ok(())
    }
}

impl RoundingArgs {
    /// Whether biases are corrected by what is observed anyway; else after weights were rounded.
    pub(super) fn nearest(&self) -> bool {
        self.rounding == How::Nearest
    }

    fn needs(&self, data: Option<&Repeated<'_>>, what: &str) -> Result<(), Failure> {
        match data {
            Some(_) => Ok(()),
            None => Err(Failure::new(format!("{what} needs images, and none are given"))
                .with_help("give some with --data DIR, any folder of images like those the model is for")),
        }
    }

    /// Prepares a float model: its function stays the same.
    ///
    /// # Errors
    /// A pass needs images and there are none, or the model cannot be run.
    pub(super) fn prepare(
        &self,
        graph: &mut Graph,
        weights: &mut Weights,
        data: Option<&Repeated<'_>>,
    ) -> Result<Vec<(&'static str, Report)>, Failure> {
        let (_, mut statistics): (_, Statistics) = fold_batch_norm(graph, weights)?;
        let mut done = Vec::new();
        if let Some(alpha) = self.smooth {
            self.needs(data, "--smooth")?;
            if let Some(data) = data {
                done.push(("smooth", smooth(graph, weights, data, Smooth { alpha })?));
            }
        }
        if self.equalize {
            if let Some(data) = data {
                done.push(("relu6", free_relu6(graph, weights, data, 1.0)?));
            }
            done.push(("equalize", equalize(graph, weights, &mut statistics, Equalize::default())?));
        }
        Ok(done)
    }

    /// Chooses which way the weights of `model` are rounded; `reference` has those of the float model. Biases are corrected
    /// then, where that is wanted.
    ///
    /// # Errors
    /// There are no images, or the model cannot be run.
    pub(super) fn round(
        &self,
        model: &mut Quantized,
        reference: &Weights,
        data: Option<&Repeated<'_>>,
        correct: bool,
        seed: u64,
    ) -> Result<Option<Report>, Failure> {
        if self.nearest() {
            return Ok(None);
        }
        self.needs(data, "--rounding")?;
        let Some(data) = data else { return Ok(None) };
        let (graph, weights) = (&mut model.graph, &mut model.weights);
        let mut schedule = Schedule::default();
        if let Some(n) = self.iterations {
            schedule.iterations = n as usize;
        }
        let report = match self.rounding {
            How::Nearest => return Ok(None),
            How::Adaround => {
                let options = AdaRound { schedule, seed, ..AdaRound::default() };
                ada_round(graph, weights, reference, data, &options)?
            }
            How::Blocks => {
                let options = Reconstruct { schedule, seed, ..Reconstruct::default() };
                reconstruct_blocks(graph, weights, reference, data, &options)?
            }
            How::Gptq => {
                let bits = model.placed.placement.points.iter().find(|p| p.kind == occam_quant::Kind::Weight);
                let rule = GridRule { bits: bits.map_or(8, |p| p.scheme.bit), ..GridRule::per_row() };
                let options = Gptq { rule, actorder: true, ..Gptq::default() };
                gptq(graph, weights, data, &options)?.1
            }
        };
        if correct {
            correct_biases_by_means(graph, weights, reference, data)?;
        }
        Ok(Some(report))
    }
}

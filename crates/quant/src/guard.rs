//! Integers only where they are faster: variants of a quantized model are measured in the runtime, by turns.

use std::path::{Path, PathBuf};

use occam_graph::onnx::Onnx;
use occam_graph::{Bindings, NodeId, Op};
use occam_io::onnx::{ModelProto, Origin, export_imported, write_model};
use occam_runtime::latency::{self, Candidate, Times};
use occam_runtime::{Runtime, Session, inputs::random_inputs};

use crate::Result;
use crate::backends::{Use, Wishes, kind};
use crate::ptq::{Calibrated, Options, Quantized};

/// What a variant must gain for its operators to stay in floats.
const GAIN: f64 = 1.015;

/// Where and how variants are measured.
pub struct Guard<'a> {
    /// The runtime.
    pub runtime: &'a dyn Runtime,
    /// Threads of it.
    pub threads: usize,
    /// The float model.
    pub float: &'a Path,
    /// What the file says beside its graph.
    pub origin: &'a Origin,
    /// Sizes that the file leaves open; 1 where not named.
    pub bindings: &'a Bindings,
    /// Whether integers of at most 4 bits are stored as such.
    pub pack: bool,
    /// How much is measured.
    pub measure: latency::Options,
}

/// Operators that were tried in floats.
#[derive(Debug, Clone, PartialEq)]
pub struct Tried {
    /// What they are: a kind of operators, or a kind of layers.
    pub what: String,
    /// How many.
    pub count: usize,
    /// How much faster the model is with them in floats: below 1 they stay integers.
    pub gain: f64,
    /// Whether they stay in floats.
    pub float: bool,
}

/// The fastest model that was found.
#[derive(Debug)]
pub struct Guarded {
    /// The model.
    pub quantized: Quantized,
    /// As a file.
    pub model: ModelProto,
    /// What is wished for to get it.
    pub wishes: Wishes,
    /// What was tried.
    pub tried: Vec<Tried>,
    /// Milliseconds of the float model.
    pub float: Times,
    /// Milliseconds of the quantized one, measured by turns with the float one.
    pub integers: Times,
}

/// A variant in the runtime.
struct Loaded {
    quantized: Quantized,
    model: ModelProto,
    wishes: Wishes,
    session: Box<dyn Session>,
    /// The file lives as long as its session: weights may be mapped from it.
    _file: tempfile::TempDir,
}

impl Guard<'_> {
    /// Goes through groups of operators that could as well be computed in floats, and leaves those there whose integers cost
    /// time.
    ///
    /// # Errors
    /// A variant cannot be made or run.
    pub fn run(
        &self,
        calibrated: &Calibrated,
        options: &Options,
        mut told: impl FnMut(&str),
    ) -> Result<Guarded> {
        let mut best = self.load(calibrated, calibrated.wishes.clone(), options)?;
        let mut tried = Vec::new();
        for (what, nodes) in groups(calibrated, &best.quantized)? {
            told(&what);
            let mut wishes = best.wishes.clone();
            let why = format!("{what} in integers cost time");
            wishes.floats.extend(nodes.iter().map(|&n| (n, why.clone())));
            let mut variant = match self.load(calibrated, wishes, options) {
                Ok(variant) => variant,
                // Nothing would be left.
                Err(crate::Error::Nothing { .. }) => continue,
                Err(error) => return Err(error),
            };
            let (before, after) = self.compare(&mut *best.session, &mut *variant.session)?;
            let gain = after.speedup(&before);
            // Every round but the slowest must agree: noise is not a reason.
            let float = gain.median > GAIN && gain.least > 0.97;
            tried.push(Tried { what, count: nodes.len(), gain: gain.median, float });
            if float {
                best = variant;
            }
        }
        told("the float model");
        let mut float = self.runtime.load(self.float, self.threads)?;
        let (float, integers) = self.compare(&mut *float, &mut *best.session)?;
        let Loaded { quantized, model, wishes, .. } = best;
        Ok(Guarded { quantized, model, wishes, tried, float, integers })
    }

    fn load(&self, calibrated: &Calibrated, wishes: Wishes, options: &Options) -> Result<Loaded> {
        let quantized = calibrated.quantize_by(&wishes, options)?;
        let (graph, weights) = quantized.lower(self.origin.opset(), self.pack)?;
        let model = export_imported(&graph, &weights, self.origin)?;
        let folder = tempfile::tempdir().map_err(|e| crate::Error::Other(e.to_string()))?;
        let path: PathBuf = folder.path().join("model.onnx");
        write_model(&path, &model)?;
        let session = self.runtime.load(&path, self.threads)?;
        Ok(Loaded { quantized, model, wishes, session, _file: folder })
    }

    fn compare(&self, a: &mut dyn Session, b: &mut dyn Session) -> Result<(Times, Times)> {
        let (of_a, of_b) =
            (random_inputs(a.inputs(), self.bindings, 0)?, random_inputs(b.inputs(), self.bindings, 0)?);
        let mut both = [Candidate { session: a, inputs: &of_a }, Candidate { session: b, inputs: &of_b }];
        let mut times = latency::measure(&mut both, &self.measure)?.into_iter();
        match (times.next(), times.next()) {
            (Some(a), Some(b)) => Ok((a, b)),
            _ => Err(crate::Error::Other("nothing was measured".into())),
        }
    }
}

/// Groups of nodes that are integers now: kinds of operators without weights, and kinds of layers.
fn groups(calibrated: &Calibrated, quantized: &Quantized) -> Result<Vec<(String, Vec<NodeId>)>> {
    let mut list: Vec<(String, Vec<NodeId>)> = Vec::new();
    let mut add = |what: &str, node: NodeId| match list.iter_mut().find(|(name, _)| name == what) {
        Some((_, nodes)) => nodes.push(node),
        None => list.push((what.to_owned(), vec![node])),
    };
    let graph = &calibrated.graph;
    let left = |id: NodeId| quantized.placed.left.iter().any(|l| l.node == id);
    for id in graph.order()? {
        let node = graph.node(id)?;
        if quantized.backend.how(&node.op) == Some(Use::Integer) && !left(id) {
            add(kind(&node.op), id);
        }
    }
    for layer in &quantized.placed.layers {
        let node = graph.node(layer.node)?;
        let channels =
            |i: usize| node.inputs.get(i).and_then(|&v| graph.value(v).ok()?.fact.shape.get(1)?.known());
        match &node.op {
            Op::Conv(conv) if conv.groups > 1 && channels(1) == Some(1) => {
                add("depthwise convolutions", layer.node);
            }
            Op::Conv(conv) if conv.groups > 1 => add("grouped convolutions", layer.node),
            Op::Conv(_) if channels(0).is_some_and(|c| c < 4) => add("the first convolution", layer.node),
            Op::Linear(_) | Op::MatMul(_) => add("linear layers", layer.node),
            Op::Onnx(Onnx { op_type, .. }) => add(op_type, layer.node),
            _ => {}
        }
    }
    Ok(list)
}

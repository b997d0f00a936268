//! Post-training quantization of a graph: where it is rounded, by what, and the file that follows.

mod bias;

use std::collections::HashMap;

use occam_engine::{Device, Tensor};
use occam_graph::ops::FakeQuant;
use occam_graph::{Array, Graph, Op, Source, ValueId, Weights};

use crate::backends::{Backend, Placed, Wishes};
use crate::calibrate::{Calibrator, Means, Seen};
use crate::lower::{LowerOptions, lower};
use crate::observers::{MinMax, Observer};
use crate::passes::{Layer, shift_of_means};
use crate::rounding::{RangeRule, grid_of};
use crate::{Error, Kind, Point, QParams, QScheme, Quant, Result};

/// A float model whose activations are being observed.
pub struct Quantizing {
    backend: &'static Backend,
    graph: Graph,
    weights: Weights,
    wishes: Wishes,
    placed: Placed,
    quants: Vec<Quant>,
    calibrator: Calibrator,
}

/// What data said of activations, by value of the float graph.
#[derive(Debug, Clone, Default)]
pub struct Calibration {
    grids: HashMap<ValueId, (QScheme, QParams)>,
    ranges: HashMap<ValueId, (f32, f32)>,
    means: HashMap<ValueId, Vec<f32>>,
}

/// A float model with what data said of it: any choice of what is rounded can be made of it, without data.
#[derive(Debug, Clone)]
pub struct Calibrated {
    /// The backend it is for.
    pub backend: &'static Backend,
    /// The float graph.
    pub graph: Graph,
    /// Its weights.
    pub weights: Weights,
    /// What is wished for beside the backend's table.
    pub wishes: Wishes,
    calibration: Calibration,
}

/// A quantized model: a graph that rounds, for simulation, and what [`Quantized::lower`] needs.
#[derive(Debug, Clone)]
pub struct Quantized {
    /// The backend it is for.
    pub backend: &'static Backend,
    /// The graph with its [`FakeQuant`] nodes.
    pub graph: Graph,
    /// Its weights, grids included.
    pub weights: Weights,
    /// Where it is rounded.
    pub placed: Placed,
    /// The nodes that round, in the order of the placement's points.
    pub quants: Vec<Quant>,
    /// Least and largest element seen, by point; of activations alone.
    pub ranges: Vec<Option<(f32, f32)>>,
    /// Names of layers whose biases were corrected.
    pub corrected: Vec<String>,
}

/// What is done beside rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Whether biases make up for the mean error that rounding a layer's weight adds to its result.
    pub bias_correction: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { bias_correction: true }
    }
}

impl Quantizing {
    /// Finds where `graph` is rounded.
    ///
    /// `observer` makes the observer of an activation.
    ///
    /// # Errors
    /// The graph breaks a rule, a weight is missing, a wish cannot be met, or nothing can be quantized.
    pub fn new(
        backend: &'static Backend,
        graph: Graph,
        weights: Weights,
        wishes: &Wishes,
        observer: &dyn Fn(QScheme) -> Box<dyn Observer>,
        device: &Device,
    ) -> Result<Self> {
        let placed = backend.place(&graph, wishes)?;
        if placed.placement.points.is_empty() {
            let why = placed.left.first().map(|l| format!("`{}`: {}", l.name, l.why));
            let why = why.unwrap_or_else(|| "it has no layers".into());
            return Err(Error::Nothing { backend: backend.name, why });
        }
        let (mut watched, mut all) = (graph.clone(), weights.clone());
        let quants = placed.placement.insert(&mut watched, &mut all)?;
        let mut means = HashMap::new();
        for layer in &placed.layers {
            let node = graph.node(layer.node)?;
            let rank = match node.inputs.first() {
                Some(&x) => graph.value(x)?.fact.rank(),
                None => 0,
            };
            let axis = if matches!(node.op, Op::Conv(_)) { 1 } else { rank.saturating_sub(1) };
            if let Some(input) = layer.input {
                means.insert(input, axis);
            }
        }
        let mut seen = Vec::new();
        for (i, (point, quant)) in placed.placement.points.iter().zip(&quants).enumerate() {
            if point.kind == Kind::Activation && point.fixed.is_none() {
                // Who shares a grid is not asked; means are of the value itself.
                let means = means.get(&i).map(|&axis| Means::along(axis));
                if point.shares.is_none() || means.is_some() {
                    seen.push((quant.name.clone(), Seen { observer: observer(point.scheme), means }));
                }
            }
        }
        let calibrator = Calibrator::new(&watched, &all, seen, device)?;
        Ok(Self { backend, graph, weights, wishes: wishes.clone(), placed, quants, calibrator })
    }

    /// Takes a batch into account, and gives the outputs of the float model on it.
    ///
    /// # Errors
    /// The inputs do not fit, or a value is not finite.
    pub fn observe(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        self.calibrator.observe(inputs)
    }

    /// What was observed, with the model.
    ///
    /// # Errors
    /// A value was never observed.
    pub fn finish(self) -> Result<Calibrated> {
        let Self { backend, graph, weights, wishes, placed, quants, calibrator } = self;
        let mut calibration = Calibration::default();
        for (i, (point, quant)) in placed.placement.points.iter().zip(&quants).enumerate() {
            if point.kind == Kind::Weight || point.fixed.is_some() {
                continue;
            }
            let from = quants.get(placed.placement.root(i)).unwrap_or(quant);
            let mut grid = calibrator.qparams(&from.name)?;
            if let Some((min, max)) = calibrator.range(&from.name) {
                calibration.ranges.insert(point.value, (min, max));
                // A grid that does not follow from the range was chosen by what lies in it.
                if grid == QParams::of(&point.scheme, &[min], &[max]) {
                    grid = grid_of_range(&graph, point, (min, max))?;
                }
            }
            calibration.grids.insert(point.value, (point.scheme, grid));
            if let Some(means) = calibrator.means(&quant.name) {
                calibration.means.insert(point.value, means);
            }
        }
        Ok(Calibrated { backend, graph, weights, wishes, calibration })
    }
}

impl Calibration {
    /// The grid of an activation.
    fn grid(&self, point: &Point, graph: &Graph) -> Result<QParams> {
        if let Some(grid) = &point.fixed {
            return Ok(grid.clone());
        }
        match (self.grids.get(&point.value), self.ranges.get(&point.value)) {
            (Some((scheme, grid)), _) if *scheme == point.scheme => Ok(grid.clone()),
            (_, Some(&range)) => grid_of_range(graph, point, range),
            _ => Err(Error::Unobserved { name: graph.value(point.value)?.name.clone() }),
        }
    }
}

/// The grid of an activation's range. Inputs are often images, whose few values are not to lie between its integers; see
/// [`QScheme::off_ties`].
fn grid_of_range(graph: &Graph, point: &Point, (min, max): (f32, f32)) -> Result<QParams> {
    let input = matches!(graph.value(point.value)?.source, Source::Input);
    let (min, max) = if input { point.scheme.off_ties(min, max) } else { (min, max) };
    Ok(QParams::of(&point.scheme, &[min], &[max]))
}

impl Calibrated {
    /// The model with roundings as it was wished for.
    ///
    /// # Errors
    /// As [`Calibrated::quantize_by`].
    pub fn quantize(&self, options: &Options) -> Result<Quantized> {
        self.quantize_by(&self.wishes, options)
    }

    /// The model with other roundings: what stays in floats and bits may be others than those it was observed with.
    ///
    /// # Errors
    /// A wish cannot be met, a weight is not finite, or a value is to be rounded that was never observed.
    pub fn quantize_by(&self, wishes: &Wishes, options: &Options) -> Result<Quantized> {
        let backend = self.backend;
        let placed = backend.place(&self.graph, wishes)?;
        let (mut graph, mut weights) = (self.graph.clone(), self.weights.clone());
        let quants = placed.placement.insert(&mut graph, &mut weights)?;
        let mut ranges = vec![None; quants.len()];
        for (i, (point, quant)) in placed.placement.points.iter().zip(&quants).enumerate() {
            let grid = match point.kind {
                Kind::Weight => weight_grid(&graph, &weights, quant, &point.scheme)?,
                Kind::Activation => {
                    let root = placed.placement.points.get(placed.placement.root(i)).unwrap_or(point);
                    if let Some(range) = ranges.get_mut(i) {
                        *range = self.calibration.ranges.get(&point.value).copied();
                    }
                    self.calibration.grid(root, &self.graph)?
                }
            };
            quant.set(&graph, &mut weights, &grid)?;
        }
        let mut corrected = Vec::new();
        for layer in &placed.layers {
            let (Some(weight), Some(input)) = (quants.get(layer.weight), layer.input) else { continue };
            let value = placed.placement.points.get(input).map(|p| p.value);
            if options.bias_correction
                && let Some(means) = value.and_then(|v| self.calibration.means.get(&v))
                && let Some(mut layer) = Layer::of(&graph, layer.node)?
                && let Some(shift) = shift_of_means(&graph, &weights, &weights, &layer, means)?
            {
                let bias = layer.bias(&graph, &weights)?.iter().zip(&shift).map(|(b, s)| b - s).collect();
                layer.set_bias(&mut graph, &mut weights, bias)?;
                corrected.push(layer.name);
            }
            if let Some(input) = quants.get(input).filter(|_| backend.integer_bias) {
                let step = input.get(&graph, &weights)?.scale.first().copied().unwrap_or(1.0);
                bias::widen(&graph, &mut weights, layer.node, weight, step)?;
            }
        }
        Ok(Quantized { backend, graph, weights, placed, quants, ranges, corrected })
    }
}

impl Quantized {
    /// The graph and the weights with integers in them, for a file of ONNX's operator set `opset`. Before 13 biases are integers
    /// for all backends: ONNX Runtime 1.32 makes them so by itself otherwise, with an attribute that these sets do not have.
    ///
    /// # Errors
    /// As [`lower`].
    pub fn lower(&self, opset: i64, pack: bool) -> Result<(Graph, Weights)> {
        let options = LowerOptions { opset, integer_bias: self.backend.integer_bias || opset < 13, pack };
        lower(&self.graph, &self.weights, options)
    }
}

/// The array behind a value that is a parameter or a constant.
pub(crate) fn known<'a>(graph: &'a Graph, weights: &'a Weights, v: ValueId) -> Result<&'a Array> {
    let value = graph.value(v)?;
    let found = if value.role().is_some() { weights.get(&value.name) } else { value.constant() };
    found.ok_or_else(|| Error::Other(format!("`{}` is not among the weights", value.name)))
}

/// The grid of a weight: of its least and largest elements, below 8 bits that of the least squared error.
fn weight_grid(graph: &Graph, weights: &Weights, quant: &Quant, scheme: &QScheme) -> Result<QParams> {
    let x = graph.node(quant.node)?.inputs.first().copied();
    let x = x.ok_or_else(|| Error::Other(format!("`{}` reads nothing", quant.name)))?;
    let array = known(graph, weights, x)?;
    let name = || graph.value(x).map_or_else(|_| quant.name.clone(), |v| v.name.clone());
    if scheme.bit < 8 {
        // Few integers cover a range badly: the least squared error chooses it.
        return grid_of(scheme, array.as_f32()?, array.shape(), RangeRule::mse()).map_err(|e| match e {
            Error::NotFinite { what, .. } => Error::NotFinite { name: name(), what },
            other => other,
        });
    }
    let mut observer = MinMax::new(*scheme);
    observer.observe(array.as_f32()?, array.shape()).map_err(|e| match e {
        Error::NotFinite { what, .. } => Error::NotFinite { name: name(), what },
        other => other,
    })?;
    observer.qparams().ok_or_else(|| Error::Unobserved { name: name() })
}

/// How many bits a [`FakeQuant`] has: those of the smallest range of a whole number of bits that holds its own.
pub fn bits(op: &FakeQuant) -> u32 {
    let steps = (i64::from(op.high) - i64::from(op.low)).max(1) as u64;
    (64 - steps.leading_zeros()).max(1)
}

//! Factors of 1 on what layers read: their gradients tell how much the loss depends on each channel.
//!
//! With a gate `g = 1` on a value `x`, `∂L/∂g_c = Σ_hw x_c · ∂L/∂x_c`, where `∂L/∂x` is what comes back from the layers that
//! read `x` through the gate. So no value has to be kept, nor any gradient of one, and a sum over the layers that read a
//! channel is the gradient of one gate that they share.

use std::collections::HashMap;

use occam_data::Batch;
use occam_engine::{Bound, Executor, Gradients, Outputs, Request, Tensor};
use occam_graph::ops::Binary;
use occam_graph::{Bindings, Dim, Fact, Graph, Patch, ValueId};
use occam_space::Trace;
use occam_train::Model;

use crate::layers::layers;
use crate::shaped::failed;
use crate::{Error, Result};

/// A value behind a gate.
#[derive(Debug, Clone)]
struct Gate {
    value: ValueId,
    /// The axis of its channels.
    axis: usize,
    /// One factor a row and channel: the value's shape with 1 for all other axes. Rows are samples, or several in a row are
    /// of one, as those of a model that divides images into windows.
    fact: Fact,
}

/// A graph with gates.
pub(crate) struct Gates {
    executor: Executor,
    gates: Vec<Gate>,
}

/// What one gate says of a batch.
#[derive(Debug, Clone)]
pub(crate) struct GateGradient {
    /// By sample and element of the axis of channels, the gradient of the loss of the batch.
    pub of: Vec<f32>,
    /// Elements of the axis.
    pub elements: usize,
}

/// Where a unit is read through a gate.
#[derive(Debug, Clone)]
pub(crate) struct Reader {
    /// Which gate.
    pub gate: usize,
    /// By channel that the unit still has: its elements on the gated axis.
    pub elements: Vec<Vec<u32>>,
}

impl Gates {
    /// Gates between all layers of `graph` and those channel axes that they read and that `wanted` says.
    ///
    /// # Errors
    /// The graph is broken.
    pub fn new(graph: &Graph, wanted: impl Fn(ValueId, usize) -> bool) -> Result<Self> {
        let mut gated = graph.clone();
        let mut gates: Vec<Gate> = Vec::new();
        let mut inputs: HashMap<(ValueId, usize), ValueId> = HashMap::new();
        let mut patch = Patch::new("gates");
        for layer in layers(graph) {
            let (value, axis) = layer.input;
            if !wanted(value, axis) {
                continue;
            }
            let (name, fact) = {
                let value = graph.value(value)?;
                (value.name.clone(), value.fact.clone())
            };
            let gate = match inputs.get(&(value, axis)) {
                Some(&gate) => gate,
                None => {
                    let keeps = |i: usize| i == 0 || i == axis;
                    let one = Dim::Known(1);
                    let shape = fact.shape.iter().enumerate();
                    let shape = shape.map(|(i, d)| if keeps(i) { d.clone() } else { one.clone() });
                    let fact = Fact::new(fact.dtype, shape.collect::<Vec<_>>());
                    let gate = gated.add_input(&format!("{name}.gate.{axis}"), fact.clone())?;
                    gates.push(Gate { value, axis, fact });
                    inputs.insert((value, axis), gate);
                    gate
                }
            };
            // A product for each layer would be one too many copies of the value.
            let product = format!("{name}.gated.{axis}");
            let wire = match gated.find(&product) {
                Some(wire) => wire,
                None => *gated
                    .add_node(&product, Binary::Mul.into(), &[value, gate])?
                    .first()
                    .ok_or_else(|| occam_graph::Error::Graph(format!("`{product}` has no output")))?,
            };
            patch.rewire(layer.node, layer.slot, wire);
        }
        if !patch.is_empty() {
            patch.apply(&mut gated)?;
        }
        let executor = Executor::new(gated.into()).map_err(|e| Error::Run(e.to_string()))?;
        Ok(Self { executor, gates })
    }

    /// The values behind gates, with the axes of their channels.
    pub fn places(&self) -> impl Iterator<Item = (ValueId, usize)> {
        self.gates.iter().map(|g| (g.value, g.axis))
    }

    /// Runs `model`, of whose graph these are gates, on a batch: its outputs, and the gates as leaves of the tape.
    ///
    /// # Errors
    /// The batch does not fit.
    pub fn run(
        &self,
        model: &Model,
        params: &Bound,
        batch: &Batch,
        request: &Request,
    ) -> occam_train::Result<(Outputs, Vec<Tensor>)> {
        let bindings = bind(self.executor.graph(), batch.inputs.shape());
        let mut inputs = vec![Tensor::from_array(&batch.inputs, model.device())?];
        let mut leaves = Vec::with_capacity(self.gates.len());
        for gate in &self.gates {
            let shape = gate.fact.eval_shape(&bindings)?;
            leaves.push(Tensor::full(&shape, 1.0, model.device()).require_grad());
        }
        inputs.extend(leaves.iter().cloned());
        let request = Request { autocast: model.autocast(), ..request.clone() };
        Ok((self.executor.run(params, &inputs, &request)?, leaves))
    }

    /// Takes the gradients of the gates of a batch of `samples` samples.
    ///
    /// # Errors
    /// A value has no rows of its own for each sample, or the device failed.
    pub fn gradients(
        &self,
        leaves: &[Tensor],
        gradients: &mut Gradients,
        samples: usize,
    ) -> occam_train::Result<Vec<GateGradient>> {
        self.gates
            .iter()
            .zip(leaves)
            .map(|(gate, leaf)| {
                let shape = leaf.shape();
                let (rows, elements) = (
                    if gate.axis == 0 { 1 } else { shape.first().copied().unwrap_or(1) },
                    shape.get(gate.axis).copied().unwrap_or(0),
                );
                if samples == 0 || rows % samples != 0 {
                    let name = self.executor.graph().value(gate.value)?.name.clone();
                    return Err(failed(Error::Run(format!(
                        "`{name}` has {rows} rows for {samples} images, so that none belong to one of them"
                    ))));
                }
                let each = rows / samples;
                let mut of = vec![0f32; samples * elements];
                // What the loss does not depend on has no gradient.
                if let Some(found) = gradients.take(leaf) {
                    let found = found.to_f32()?;
                    for (row, values) in found.chunks_exact(elements.max(1)).enumerate() {
                        let sums = of.iter_mut().skip(row / each * elements);
                        sums.zip(values).for_each(|(sum, x)| *sum += x);
                    }
                }
                Ok(GateGradient { of, elements })
            })
            .collect()
    }

    /// By unit of `trace`, which is one of the graph with all its channels, the gates through which it is read; of each unit
    /// the graph has the first `widths` channels.
    pub fn readers(&self, graph: &Graph, trace: &Trace, widths: &[usize]) -> Vec<Vec<Reader>> {
        let mut readers = vec![Vec::new(); trace.units.len()];
        for (number, gate) in self.gates.iter().enumerate() {
            let size = graph.value(gate.value).ok().and_then(|v| v.fact.shape.get(gate.axis)?.known());
            let places = places(trace, widths, gate, size.unwrap_or(0));
            for ((unit, &width), own) in trace.units.iter().zip(widths).zip(&mut readers) {
                let members = unit.members.iter().filter(|m| (m.value, m.axis) == (gate.value, gate.axis));
                for member in members {
                    let of = |c| member.of(c).iter().filter_map(|&e| places.get(e as usize).copied());
                    let elements = (0..width).map(|c| of(c).collect()).collect();
                    own.push(Reader { gate: number, elements });
                }
            }
        }
        readers
    }
}

/// By element that an axis has with all channels its place among those that are left.
fn places(trace: &Trace, widths: &[usize], gate: &Gate, size: usize) -> Vec<u32> {
    let mut gone = vec![false; size];
    for (unit, &width) in trace.units.iter().zip(widths) {
        for member in unit.members.iter().filter(|m| (m.value, m.axis) == (gate.value, gate.axis)) {
            for &e in (width..unit.channels).flat_map(|c| member.of(c)) {
                if let Some(g) = gone.get_mut(e as usize) {
                    *g = true;
                }
            }
        }
    }
    let mut next = 0;
    gone.into_iter()
        .map(|gone| {
            let place = next;
            next += u32::from(!gone);
            place
        })
        .collect()
}

/// By sample and channel of a unit of `channels` channels, the gradient of a gate on that channel wherever it is read.
pub(crate) fn by_channel(readers: &[Reader], gradients: &[GateGradient], channels: usize) -> Vec<Vec<f64>> {
    let gate = |reader: &Reader| gradients.get(reader.gate);
    let samples = readers.first().and_then(gate).map_or(0, |g| g.of.len() / g.elements.max(1));
    let mut sums = vec![vec![0f64; channels]; samples];
    for (reader, gradient) in readers.iter().filter_map(|r| Some((r, gate(r)?))) {
        for (sums, row) in sums.iter_mut().zip(gradient.of.chunks_exact(gradient.elements.max(1))) {
            for (sum, elements) in sums.iter_mut().zip(&reader.elements) {
                *sum +=
                    elements.iter().filter_map(|&e| row.get(e as usize)).map(|&x| f64::from(x)).sum::<f64>();
            }
        }
    }
    sums
}

/// What the symbols of a graph's first input are for an input of `shape`.
pub(crate) fn bind(graph: &Graph, shape: &[usize]) -> Bindings {
    let fact = graph.inputs().first().and_then(|&v| graph.value(v).ok()).map(|v| v.fact.shape.as_slice());
    let symbols = fact.unwrap_or_default().iter().zip(shape);
    symbols
        .filter_map(|(d, &n)| if let Dim::Symbol(s) = d { Some((s.to_string(), n)) } else { None })
        .collect()
}

/// The channel axes of units that may lose channels, to gate them alone.
pub(crate) fn of_units(trace: &Trace, wanted: impl Fn(usize) -> bool) -> impl Fn(ValueId, usize) -> bool {
    let units = trace.units.iter().enumerate().filter(|(i, u)| u.kept_by.is_none() && wanted(*i));
    let axes: std::collections::HashSet<(ValueId, usize)> =
        units.flat_map(|(_, u)| u.members.iter().map(|m| (m.value, m.axis))).collect();
    move |value, axis| axes.contains(&(value, axis))
}

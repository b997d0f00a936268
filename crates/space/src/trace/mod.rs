//! Which channels of a model belong together, followed through the axis maps of its nodes.
//!
//! Every element of every axis is an element of a union-find; what a node links is joined, so that a class is what can only
//! be removed as one. Where an axis is divided or joined, one of the parts carries the classes. An axis that a node neither
//! links nor lets go keeps its classes from being removed, and the node is the reason. No model is run.

mod elements;
mod reason;
mod regroup;
mod units;
mod zeros;

use occam_graph::{Axis, AxisMap, Correspondence, Graph, Node, Op, Port, Source, ValueId};

pub(crate) use elements::Slots;
use elements::{Classes, FREE};
pub use reason::Reason;

use crate::Result;
use crate::unit::Unit;

/// What a divided axis loses, where several of its parts could go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Divide {
    /// Elements of the part with the most: dimensions of attention heads, positions in the groups of a shuffle.
    #[default]
    Finest,
    /// Elements of the outermost part: whole attention heads.
    Outermost,
}

/// How to trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TraceOptions {
    /// What divided axes lose.
    pub divide: Divide,
}

/// The channel units of a graph.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// In order of the graph.
    pub units: Vec<Unit>,
}

impl Trace {
    /// The units that can be pruned.
    pub fn prunable(&self) -> impl Iterator<Item = &Unit> {
        self.units.iter().filter(|u| u.kept_by.is_none())
    }

    /// The position of the unit called `name`.
    ///
    /// # Errors
    /// There is none.
    pub fn find(&self, name: &str) -> Result<usize> {
        self.units.iter().position(|u| u.name == name).ok_or_else(|| {
            let near = self.units.iter().max_by_key(|u| common_prefix(&u.name, name));
            let hint = near.filter(|u| 2 * common_prefix(&u.name, name) > name.len()).map(|u| u.name.clone());
            crate::Error::UnknownUnit { name: name.into(), hint }
        })
    }
}

fn common_prefix(a: &str, b: &str) -> usize {
    a.bytes().zip(b.bytes()).take_while(|(x, y)| x == y).count()
}

/// Finds the channel units of `graph`.
///
/// # Errors
/// The graph is broken, or its axes have more elements than can be followed.
pub fn trace(graph: &Graph, options: &TraceOptions) -> Result<Trace> {
    let slots = Slots::of(graph)?;
    let mut tracer = Tracer { graph, classes: Classes::new(slots.elements), slots, reasons: Vec::new() };
    tracer.keep_ends();
    let mut divided = Vec::new();
    let mut statistics = vec![false; tracer.slots.all.len()];
    let zeros = zeros::Zeros::of(graph)?;
    for id in graph.order()? {
        let node = graph.node(id)?;
        let (inputs, outputs) = (graph.known(&node.inputs)?, graph.facts(&node.outputs)?);
        let map = node.op.family().axes_known(&inputs, &outputs);
        tracer.link(node, &map);
        for axis in map.statistics.iter().copied().chain(zeros.summed(node, &map)) {
            if let Some(s) = tracer.slot(node, axis).and_then(|s| statistics.get_mut(s)) {
                *s = true;
            }
        }
        divided.extend(map.regroups.into_iter().map(|r| (id, r)));
    }
    for (id, group) in divided {
        tracer.divide(graph.node(id)?, &group, options.divide);
    }
    tracer.units(&statistics)
}

struct Tracer<'a> {
    graph: &'a Graph,
    slots: Slots,
    classes: Classes,
    reasons: Vec<Reason>,
}

impl Tracer<'_> {
    fn reason(&mut self, reason: Reason) -> u32 {
        self.reasons.push(reason);
        (self.reasons.len() - 1) as u32
    }

    /// The number of the slot of an axis of a node.
    fn slot(&self, node: &Node, axis: Axis) -> Option<usize> {
        let value = match axis.port {
            Port::Input(i) => node.inputs.get(i),
            Port::Output(i) => node.outputs.get(i),
        };
        self.slots.index(*value?, axis.axis)
    }

    fn keep_slot(&mut self, slot: usize, reason: u32) {
        if let Some(&s) = self.slots.get(slot) {
            (s.start..s.start + s.len).for_each(|e| self.classes.keep(e, reason));
        }
    }

    fn keep_ends(&mut self) {
        let graph = self.graph;
        for &v in graph.inputs() {
            let name = graph.value(v).map(|v| v.name.clone()).unwrap_or_default();
            let reason = self.reason(Reason::Input(name));
            self.slots.range(v).for_each(|s| self.keep_slot(s, reason));
        }
        for (name, v) in graph.outputs() {
            let reason = self.reason(Reason::Output(name.clone()));
            self.slots.range(*v).for_each(|s| self.keep_slot(s, reason));
        }
    }

    /// Joins what a node links, and keeps the axes that it does not name.
    fn link(&mut self, node: &Node, map: &AxisMap) {
        let mut named: Vec<usize> = Vec::with_capacity(map.links.len() * 2);
        for link in &map.links {
            let (Some(a), Some(b)) = (self.slot(node, link.a), self.slot(node, link.b)) else { continue };
            if self.join(a, b, &link.map) {
                named.extend([a, b]);
            }
        }
        named.extend(map.sizes.iter().filter_map(|&axis| self.slot(node, axis)));
        for group in &map.regroups {
            let parts = group.parts.iter().filter_map(|p| p.axis).chain([group.whole]);
            named.extend(parts.filter_map(|axis| self.slot(node, axis)));
        }
        let mut seen: Vec<ValueId> = Vec::new();
        for &value in node.inputs.iter().chain(&node.outputs) {
            if seen.contains(&value) {
                continue;
            }
            seen.push(value);
            for (axis, slot) in self.slots.range(value).enumerate() {
                let len = self.slots.get(slot).map_or(0, |s| s.len);
                if len > 0 && !named.contains(&slot) {
                    let reason = self.needs(node, value, axis);
                    self.keep_slot(slot, reason);
                }
            }
        }
    }

    fn needs(&mut self, node: &Node, value: ValueId, axis: usize) -> u32 {
        let value = self.graph.value(value).map(|v| v.name.clone()).unwrap_or_default();
        let op = node.op.family().name().to_owned();
        self.reason(Reason::Node { node: node.name.clone(), op, value, axis })
    }

    /// Joins two axes as `map` says; whether they could be.
    fn join(&mut self, a: usize, b: usize, map: &Correspondence) -> bool {
        let (Some(&a), Some(&b)) = (self.slots.get(a), self.slots.get(b)) else { return false };
        match map {
            Correspondence::Same if a.len == b.len => {
                (0..a.len).for_each(|i| self.classes.join(a.start + i, b.start + i));
                true
            }
            Correspondence::Same => false,
            Correspondence::Blocks(blocks) => {
                for block in blocks {
                    for k in 0..block.count {
                        let (from, to) = (block.a_start + k * block.a_step, block.b_start + k * block.b_step);
                        let first = (a.start as usize + from) as u32;
                        let a_run = (from..from + block.a_step).filter(|&i| i < a.len as usize);
                        let b_run = (to..to + block.b_step).filter(|&i| i < b.len as usize);
                        a_run.skip(1).for_each(|i| self.classes.join(first, a.start + i as u32));
                        if from < a.len as usize {
                            b_run.for_each(|i| self.classes.join(first, b.start + i as u32));
                        }
                    }
                }
                true
            }
        }
    }
}

/// The axis of a layer's input and output that its channels are on; none for nodes without learned channels.
fn channel_axis(graph: &Graph, node: &Node, rank: usize) -> Option<usize> {
    let last = rank.checked_sub(1);
    let axis = match &node.op {
        Op::Conv(_) | Op::BatchNorm(_) | Op::Scale(_) => Some(1),
        Op::Linear(_) | Op::LayerNorm(_) => last,
        Op::MatMul(_) => last,
        Op::Onnx(op) => match op.op_type.as_str() {
            "Conv"
            | "ConvTranspose"
            | "ConvInteger"
            | "QLinearConv"
            | "DeformConv"
            | "BatchNormalization"
            | "InstanceNormalization"
            | "GroupNormalization"
            | "PRelu" => Some(1),
            "Gemm" | "MatMul" | "MatMulInteger" | "QLinearMatMul" | "LayerNormalization"
            | "RMSNormalization" => last,
            _ => None,
        },
        _ => None,
    }?;
    let learned = |v: &ValueId| {
        graph
            .value(*v)
            .is_ok_and(|v| matches!(v.source, Source::Param(_) | Source::Const) && v.fact.rank() > 0)
    };
    (axis < rank && node.inputs.iter().any(learned)).then_some(axis)
}

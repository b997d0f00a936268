//! Plans: the steps of a run, and after which of them each value is let go.

use std::collections::{HashMap, HashSet};

use occam_graph::ops::{Binary, Conv, PoolKind};
use occam_graph::{Graph, NodeId, Op, ValueId};

use crate::eval::fused;
use crate::kernels::Activation;
use crate::{Mode, Result};

/// What one step computes.
#[derive(Debug, Clone)]
pub(super) enum Work {
    /// The node itself.
    Node,
    /// A batch normalization (`nodes[0]`) and the activation after it.
    NormActivate(Activation),
    /// A sum and the activation after it.
    AddActivate(Activation),
    /// A convolution and what of the others follows it, in this order.
    Conv {
        conv: Conv,
        biased: bool,
        /// ε of a batch normalization.
        norm: Option<f64>,
        residual: bool,
        activation: Activation,
    },
}

/// Element type of a step's operands under mixed precision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cast {
    /// The low one: tensor cores are for these operators.
    Low,
    /// `f32`: they add up many elements, or magnify differences.
    Single,
    /// The low one if all have it, else `f32`.
    Widest,
}

impl Cast {
    fn of(op: &Op) -> Self {
        match op {
            Op::Conv(_) | Op::Linear(_) | Op::MatMul(_) => Self::Low,
            Op::Pool(pool) if pool.kind == PoolKind::Max => Self::Widest,
            Op::Activation(_)
            | Op::Binary(_)
            | Op::ChannelShuffle(_)
            | Op::Concat(_)
            | Op::Flatten(_)
            | Op::Scale(_)
            | Op::Transpose(_)
            | Op::Unflatten(_)
            | Op::AdaptivePad(_)
            | Op::ExpandBatch(_)
            | Op::Slice(_) => Self::Widest,
            _ => Self::Single,
        }
    }
}

/// Nodes that are computed together.
#[derive(Debug, Clone)]
pub(super) struct Step {
    /// The node whose place in the order the step takes: the last.
    pub(super) node: NodeId,
    /// The first.
    pub(super) head: NodeId,
    pub(super) work: Work,
    pub(super) cast: Cast,
    /// Operands, node by node, without the values that the step keeps to itself.
    pub(super) inputs: Vec<ValueId>,
    pub(super) outputs: Vec<ValueId>,
}

/// Steps in order.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    /// By step: the values that nothing after it reads.
    pub(super) last_reads: Vec<Vec<ValueId>>,
    /// Values that are never there as such.
    pub(super) hidden: HashSet<ValueId>,
}

impl Plan {
    /// One step a node.
    pub(super) fn plain(graph: &Graph, order: &[NodeId]) -> Result<Self> {
        let mut steps = Vec::with_capacity(order.len());
        for &id in order {
            let node = graph.node(id)?;
            let (inputs, outputs) = (node.inputs.clone(), node.outputs.clone());
            let cast = Cast::of(&node.op);
            steps.push(Step { node: id, head: id, work: Work::Node, cast, inputs, outputs });
        }
        Ok(Self::of(graph, steps, HashSet::new()))
    }

    /// Nodes that one kernel computes become one step.
    pub(super) fn fused(graph: &Graph, order: &[NodeId], mode: Mode) -> Result<Self> {
        let mut finder = Finder::new(graph, order)?;
        let mut steps = Vec::new();
        for &id in order {
            let found = match (&graph.node(id)?.op, mode) {
                (Op::Conv(conv), Mode::Eval) => finder.conv(id, *conv)?,
                (Op::BatchNorm(bn), Mode::Train) if !bn.frozen => finder.norm(id)?,
                (Op::Binary(Binary::Add), _) => finder.add(id)?,
                _ => None,
            };
            steps.extend(found);
        }
        let taken = finder.taken;
        let mut at: HashMap<NodeId, Step> = steps.into_iter().map(|s| (s.node, s)).collect();
        let plain = Self::plain(graph, order)?;
        let steps = plain
            .steps
            .into_iter()
            .filter_map(|s| at.remove(&s.node).or_else(|| (!taken.contains(&s.node)).then_some(s)))
            .collect();
        Ok(Self::of(graph, steps, finder.hidden))
    }

    fn of(graph: &Graph, steps: Vec<Step>, hidden: HashSet<ValueId>) -> Self {
        let mut last: HashMap<ValueId, usize> = HashMap::new();
        for (i, step) in steps.iter().enumerate() {
            for &v in step.inputs.iter().chain(&step.outputs) {
                last.insert(v, i);
            }
        }
        let mut last_reads = vec![Vec::new(); steps.len()];
        for (v, i) in last {
            let kept = graph.outputs().iter().any(|(_, o)| *o == v);
            if let (false, Some(list)) = (kept, last_reads.get_mut(i)) {
                list.push(v);
            }
        }
        Self { steps, last_reads, hidden }
    }
}

/// Looks for nodes whose results only one other node reads.
struct Finder<'a> {
    graph: &'a Graph,
    /// By value: its only reader, none where there are several or the graph returns it.
    reader: HashMap<ValueId, Option<NodeId>>,
    taken: HashSet<NodeId>,
    hidden: HashSet<ValueId>,
}

impl<'a> Finder<'a> {
    fn new(graph: &'a Graph, order: &[NodeId]) -> Result<Self> {
        let mut reader: HashMap<ValueId, Option<NodeId>> = HashMap::new();
        for &id in order {
            for &v in &graph.node(id)?.inputs {
                reader.entry(v).and_modify(|r| *r = None).or_insert(Some(id));
            }
        }
        for (_, v) in graph.outputs() {
            reader.insert(*v, None);
        }
        Ok(Self { graph, reader, taken: HashSet::new(), hidden: HashSet::new() })
    }

    /// The only reader of `v`, if it is not part of another step, and its operator.
    fn next(&self, v: ValueId) -> Result<Option<(NodeId, &'a Op)>> {
        let Some(&Some(id)) = self.reader.get(&v) else { return Ok(None) };
        if self.taken.contains(&id) {
            return Ok(None);
        }
        Ok(Some((id, &self.graph.node(id)?.op)))
    }

    /// Takes the reader `id` of `hidden` into a step, and gives its result.
    fn take(&mut self, step: &mut Step, id: NodeId, hidden: ValueId) -> Result<Option<ValueId>> {
        let node = self.graph.node(id)?;
        step.inputs.extend(node.inputs.iter().copied().filter(|&v| v != hidden));
        step.outputs = node.outputs.clone();
        step.node = id;
        self.taken.insert(id);
        self.hidden.insert(hidden);
        Ok(node.outputs.first().copied())
    }

    fn start(&self, id: NodeId, work: Work) -> Result<(Step, Option<ValueId>)> {
        let node = self.graph.node(id)?;
        let (inputs, outputs) = (node.inputs.clone(), node.outputs.clone());
        let result = outputs.first().copied();
        Ok((Step { node: id, head: id, work, cast: Cast::of(&node.op), inputs, outputs }, result))
    }

    fn activation(&mut self, step: &mut Step, v: ValueId) -> Result<Option<Activation>> {
        let Some((id, Op::Activation(op))) = self.next(v)? else { return Ok(None) };
        let Some(activation) = fused::activation(*op) else { return Ok(None) };
        self.take(step, id, v)?;
        Ok(Some(activation))
    }

    fn norm(&mut self, id: NodeId) -> Result<Option<Step>> {
        let (mut step, Some(v)) = self.start(id, Work::Node)? else { return Ok(None) };
        let Some(activation) = self.activation(&mut step, v)? else { return Ok(None) };
        self.taken.insert(id);
        step.work = Work::NormActivate(activation);
        Ok(Some(step))
    }

    fn add(&mut self, id: NodeId) -> Result<Option<Step>> {
        if self.taken.contains(&id) {
            return Ok(None);
        }
        let (mut step, Some(v)) = self.start(id, Work::Node)? else { return Ok(None) };
        if !self.same_shapes(&step.inputs)? {
            return Ok(None);
        }
        let Some(activation) = self.activation(&mut step, v)? else { return Ok(None) };
        self.taken.insert(id);
        step.work = Work::AddActivate(activation);
        Ok(Some(step))
    }

    fn same_shapes(&self, values: &[ValueId]) -> Result<bool> {
        let facts = self.graph.facts(values)?;
        Ok(facts.windows(2).all(|pair| matches!(pair, [a, b] if a.shape == b.shape)))
    }

    fn conv(&mut self, id: NodeId, conv: Conv) -> Result<Option<Step>> {
        let (mut step, Some(mut v)) = self.start(id, Work::Node)? else { return Ok(None) };
        let biased = step.inputs.len() == 3;
        let (mut norm, mut residual) = (None, false);
        if let Some((next, Op::BatchNorm(bn))) = self.next(v)?
            && self.graph.node(next)?.inputs.first() == Some(&v)
        {
            norm = Some(bn.eps);
            let Some(result) = self.take(&mut step, next, v)? else { return Ok(None) };
            v = result;
        }
        // Evaluation leaves nothing out.
        while let Some((next, Op::Dropout(_))) = self.next(v)? {
            let Some(result) = self.take(&mut step, next, v)? else { return Ok(None) };
            v = result;
        }
        if let Some((next, Op::Binary(Binary::Add))) = self.next(v)? {
            let inputs = &self.graph.node(next)?.inputs;
            let others = inputs.iter().filter(|&&i| i != v).count();
            if others == 1 && self.same_shapes(inputs)? {
                residual = true;
                let Some(result) = self.take(&mut step, next, v)? else { return Ok(None) };
                v = result;
            }
        }
        let activation = self.activation(&mut step, v)?;
        if !biased && norm.is_none() && !residual && activation.is_none() {
            return Ok(None);
        }
        self.taken.insert(id);
        let activation = activation.unwrap_or(Activation::None);
        step.work = Work::Conv { conv, biased, norm, residual, activation };
        Ok(Some(step))
    }
}

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
    /// A batch normalization, the step's head, and the activation after it.
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

/// A step that grows; nothing is taken before it is finished.
struct Draft {
    step: Step,
    /// Result of its last node.
    result: ValueId,
    nodes: Vec<NodeId>,
    /// Values between its nodes.
    hidden: Vec<ValueId>,
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

    /// Begins a step at `id`; none where the node has no result.
    fn start(&self, id: NodeId) -> Result<Option<Draft>> {
        let node = self.graph.node(id)?;
        let (inputs, outputs) = (node.inputs.clone(), node.outputs.clone());
        let Some(&result) = outputs.first() else { return Ok(None) };
        let step = Step { node: id, head: id, work: Work::Node, cast: Cast::of(&node.op), inputs, outputs };
        Ok(Some(Draft { step, result, nodes: vec![id], hidden: Vec::new() }))
    }

    /// Takes the reader `id` of the draft's result into it; whether it has a result of its own.
    fn take(&self, draft: &mut Draft, id: NodeId) -> Result<bool> {
        let node = self.graph.node(id)?;
        let Some(&result) = node.outputs.first() else { return Ok(false) };
        let step = &mut draft.step;
        step.inputs.extend(node.inputs.iter().copied().filter(|&v| v != draft.result));
        step.outputs = node.outputs.clone();
        step.node = id;
        draft.nodes.push(id);
        draft.hidden.push(draft.result);
        draft.result = result;
        Ok(true)
    }

    /// Takes an activation that kernels compute in passing, where one follows.
    fn activation(&self, draft: &mut Draft) -> Result<Option<Activation>> {
        let Some((id, Op::Activation(op))) = self.next(draft.result)? else { return Ok(None) };
        let Some(activation) = fused::activation(*op) else { return Ok(None) };
        Ok(self.take(draft, id)?.then_some(activation))
    }

    /// The draft is a step: its nodes are part of no other.
    fn finish(&mut self, draft: Draft, work: Work) -> Step {
        self.taken.extend(draft.nodes);
        self.hidden.extend(draft.hidden);
        Step { work, ..draft.step }
    }

    fn norm(&mut self, id: NodeId) -> Result<Option<Step>> {
        let Some(mut draft) = self.start(id)? else { return Ok(None) };
        let Some(activation) = self.activation(&mut draft)? else { return Ok(None) };
        Ok(Some(self.finish(draft, Work::NormActivate(activation))))
    }

    fn add(&mut self, id: NodeId) -> Result<Option<Step>> {
        if self.taken.contains(&id) {
            return Ok(None);
        }
        let Some(mut draft) = self.start(id)? else { return Ok(None) };
        if !self.same_shapes(&draft.step.inputs)? {
            return Ok(None);
        }
        let Some(activation) = self.activation(&mut draft)? else { return Ok(None) };
        Ok(Some(self.finish(draft, Work::AddActivate(activation))))
    }

    fn same_shapes(&self, values: &[ValueId]) -> Result<bool> {
        let facts = self.graph.facts(values)?;
        Ok(facts.windows(2).all(|pair| matches!(pair, [a, b] if a.shape == b.shape)))
    }

    fn conv(&mut self, id: NodeId, conv: Conv) -> Result<Option<Step>> {
        let Some(mut draft) = self.start(id)? else { return Ok(None) };
        let biased = draft.step.inputs.len() == 3;
        let (mut norm, mut residual) = (None, false);
        if let Some((next, Op::BatchNorm(bn))) = self.next(draft.result)?
            && self.graph.node(next)?.inputs.first() == Some(&draft.result)
            && self.take(&mut draft, next)?
        {
            norm = Some(bn.eps);
        }
        // Evaluation leaves nothing out.
        while let Some((next, Op::Dropout(_))) = self.next(draft.result)?
            && self.take(&mut draft, next)?
        {}
        if let Some((next, Op::Binary(Binary::Add))) = self.next(draft.result)? {
            let inputs = &self.graph.node(next)?.inputs;
            let others = inputs.iter().filter(|&&i| i != draft.result).count();
            if others == 1 && self.same_shapes(inputs)? {
                residual = self.take(&mut draft, next)?;
            }
        }
        let activation = self.activation(&mut draft)?;
        if !biased && norm.is_none() && !residual && activation.is_none() {
            return Ok(None);
        }
        let activation = activation.unwrap_or(Activation::None);
        Ok(Some(self.finish(draft, Work::Conv { conv, biased, norm, residual, activation })))
    }
}

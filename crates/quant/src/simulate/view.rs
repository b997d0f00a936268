//! Pairs of `QuantizeLinear` and `DequantizeLinear` in a graph.

use std::collections::HashMap;

use occam_graph::onnx::{MICROSOFT, Onnx};
use occam_graph::{Array, DType, Data, Graph, Node, NodeId, Op, Source, ValueId, Weights};

/// A `QuantizeLinear` or a `DequantizeLinear`.
#[derive(Debug, Clone)]
pub(super) struct Pair {
    pub node: NodeId,
    /// What it reads.
    pub x: ValueId,
    /// What it makes of it.
    pub y: ValueId,
    pub scale: ValueId,
    pub zero: Option<ValueId>,
    /// The operator, for others like it.
    pub op: Onnx,
}

/// A graph with its weights and who reads what.
pub(super) struct View<'a> {
    pub graph: &'a Graph,
    pub weights: &'a Weights,
    readers: HashMap<ValueId, Vec<(NodeId, usize)>>,
}

/// The operator of a node, where it is one of ONNX's own set.
pub(super) fn own(node: &Node) -> Option<&Onnx> {
    match &node.op {
        Op::Onnx(op) if op.domain.is_empty() || op.domain == "ai.onnx" => Some(op),
        _ => None,
    }
}

fn linear<'a>(node: &'a Node, name: &str) -> Option<&'a Onnx> {
    match &node.op {
        Op::Onnx(op) if op.op_type == name && (op.domain == MICROSOFT || op.domain.is_empty()) => Some(op),
        _ => None,
    }
}

impl<'a> View<'a> {
    pub fn new(graph: &'a Graph, weights: &'a Weights) -> Self {
        let mut readers: HashMap<ValueId, Vec<(NodeId, usize)>> = HashMap::new();
        for (id, node) in graph.nodes() {
            for (slot, &v) in node.inputs.iter().enumerate() {
                readers.entry(v).or_default().push((id, slot));
            }
        }
        Self { graph, weights, readers }
    }

    pub fn readers(&self, v: ValueId) -> &[(NodeId, usize)] {
        self.readers.get(&v).map_or(&[], Vec::as_slice)
    }

    pub fn is_output(&self, v: ValueId) -> bool {
        self.graph.outputs().iter().any(|(_, o)| *o == v)
    }

    /// The elements of a constant or a parameter.
    pub fn known(&self, v: ValueId) -> Option<&'a Array> {
        let value = self.graph.value(v).ok()?;
        match value.source {
            Source::Param(_) => self.weights.get(&value.name),
            _ => value.constant(),
        }
    }

    pub fn dtype(&self, v: ValueId) -> Option<DType> {
        Some(self.graph.value(v).ok()?.fact.dtype)
    }

    /// The node that makes a value.
    pub fn maker(&self, v: ValueId) -> Option<(NodeId, &'a Node)> {
        match self.graph.value(v).ok()?.source {
            Source::Node(id, _) => Some((id, self.graph.node(id).ok()?)),
            _ => None,
        }
    }

    fn pair(&self, id: NodeId, name: &str) -> Option<Pair> {
        let node = self.graph.node(id).ok()?;
        let op = linear(node, name)?;
        let at = |slot: usize| op.position(slot).and_then(|i| node.inputs.get(i)).copied();
        Some(Pair {
            node: id,
            x: at(0)?,
            y: *node.outputs.first()?,
            scale: at(1)?,
            zero: at(2),
            op: op.clone(),
        })
    }

    pub fn quantize(&self, id: NodeId) -> Option<Pair> {
        self.pair(id, "QuantizeLinear")
    }

    pub fn dequantize(&self, id: NodeId) -> Option<Pair> {
        self.pair(id, "DequantizeLinear")
    }

    /// The `DequantizeLinear` that makes a value.
    pub fn dequantized(&self, v: ValueId) -> Option<Pair> {
        self.dequantize(self.maker(v)?.0)
    }

    /// The only reader of a value that is no output.
    pub fn only_reader(&self, v: ValueId) -> Option<NodeId> {
        match self.readers(v) {
            &[(id, _)] if !self.is_output(v) => Some(id),
            _ => None,
        }
    }

    /// The `QuantizeLinear` that alone reads a value.
    pub fn quantized(&self, v: ValueId) -> Option<Pair> {
        self.quantize(self.only_reader(v)?).filter(|q| q.x == v)
    }

    /// Whether a `QuantizeLinear` is among those that read a value.
    pub fn some_quantized(&self, v: ValueId) -> bool {
        self.readers(v).iter().any(|(id, slot)| *slot == 0 && self.quantize(*id).is_some())
    }

    /// The only scale.
    pub fn scale(&self, pair: &Pair) -> Option<f32> {
        match self.known(pair.scale)?.data() {
            Data::F32(v) if v.len() == 1 => v.first().copied(),
            _ => None,
        }
    }

    /// The only zero point.
    pub fn zero(&self, pair: &Pair) -> Option<i32> {
        let Some(zero) = pair.zero else { return Some(0) };
        match self.known(zero)?.data() {
            Data::U8(v) if v.len() == 1 => v.first().map(|&z| z.into()),
            Data::I8(v) if v.len() == 1 => v.first().map(|&z| z.into()),
            Data::U16(v) if v.len() == 1 => v.first().map(|&z| z.into()),
            Data::I16(v) if v.len() == 1 => v.first().map(|&z| z.into()),
            _ => None,
        }
    }

    /// Whether two pairs have the same integers for the same numbers.
    pub fn same(&self, a: &Pair, b: &Pair, integers: [ValueId; 2]) -> bool {
        let scale = self.scale(a);
        scale.is_some()
            && scale == self.scale(b)
            && self.zero(a).is_some()
            && self.zero(a) == self.zero(b)
            && self.dtype(integers[0]) == self.dtype(integers[1])
    }

    /// A node's operand by ONNX input.
    pub fn operand(node: &Node, op: &Onnx, slot: usize) -> Option<ValueId> {
        op.position(slot).and_then(|i| node.inputs.get(i)).copied()
    }
}

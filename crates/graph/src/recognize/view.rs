//! A graph as patterns look at it.

use std::collections::HashMap;

use crate::onnx::Onnx;
use crate::{Array, DType, Data, Fact, Graph, Node, NodeId, Op, Result, Source, ValueId};

/// A graph with the readers of every value.
pub(super) struct View<'a> {
    pub graph: &'a Graph,
    readers: HashMap<ValueId, Vec<NodeId>>,
}

/// A node that is an operator of ONNX.
#[derive(Clone, Copy)]
pub(super) struct Found<'a> {
    pub id: NodeId,
    pub node: &'a Node,
    pub op: &'a Onnx,
}

impl Found<'_> {
    /// The operand at an ONNX input.
    pub fn input(&self, index: usize) -> Option<ValueId> {
        self.node.inputs.get(self.op.position(index)?).copied()
    }

    /// The first result.
    pub fn output(&self) -> Option<ValueId> {
        self.node.outputs.first().copied()
    }
}

impl<'a> View<'a> {
    pub fn new(graph: &'a Graph) -> Result<Self> {
        let mut readers: HashMap<ValueId, Vec<NodeId>> = HashMap::new();
        for (id, node) in graph.nodes() {
            for &v in &node.inputs {
                readers.entry(v).or_default().push(id);
            }
        }
        Ok(Self { graph, readers })
    }

    /// All operators of ONNX's own set with one of `names`, in order of creation.
    pub fn all(&self, names: &[&str]) -> Vec<Found<'a>> {
        let found = |(id, node): (NodeId, &'a Node)| match &node.op {
            Op::Onnx(op) if op.domain.is_empty() && names.contains(&op.op_type.as_str()) => {
                Some(Found { id, node, op })
            }
            _ => None,
        };
        self.graph.nodes().filter_map(found).collect()
    }

    /// The operator called `name` that computes `v`.
    pub fn from(&self, v: ValueId, name: &str) -> Option<Found<'a>> {
        let Source::Node(id, 0) = self.graph.value(v).ok()?.source else { return None };
        let node = self.graph.node(id).ok()?;
        match &node.op {
            Op::Onnx(op) if op.domain.is_empty() && op.op_type == name => Some(Found { id, node, op }),
            _ => None,
        }
    }

    /// The operator called `name` that alone reads `v`, which the graph does not return.
    pub fn only_reader(&self, v: ValueId, name: &str) -> Option<Found<'a>> {
        let [id] = self.readers.get(&v)?.as_slice() else { return None };
        if self.graph.outputs().iter().any(|(_, o)| *o == v) {
            return None;
        }
        let node = self.graph.node(*id).ok()?;
        match &node.op {
            Op::Onnx(op) if op.domain.is_empty() && op.op_type == name => Some(Found { id: *id, node, op }),
            _ => None,
        }
    }

    /// How many nodes read `v`, and how often the graph returns it.
    pub fn uses(&self, v: ValueId) -> usize {
        let returned = self.graph.outputs().iter().filter(|(_, o)| *o == v).count();
        self.readers.get(&v).map_or(0, Vec::len) + returned
    }

    /// The elements of a constant.
    pub fn constant(&self, v: ValueId) -> Option<&'a Array> {
        self.graph.value(v).ok()?.constant()
    }

    /// The only element of a constant.
    pub fn scalar(&self, v: ValueId) -> Option<f64> {
        let array = self.constant(v)?;
        if array.len() != 1 {
            return None;
        }
        match array.data() {
            Data::F32(v) => v.first().map(|&x| x.into()),
            Data::F64(v) => v.first().copied(),
            Data::I64(v) => v.first().map(|&x| x as f64),
            _ => None,
        }
    }

    /// The other operand of a node with two, one of which is a constant with one element.
    pub fn with_scalar(&self, found: &Found<'_>) -> Option<(ValueId, f64)> {
        let (a, b) = (found.input(0)?, found.input(1)?);
        match (self.scalar(a), self.scalar(b)) {
            (None, Some(x)) => Some((a, x)),
            (Some(x), None) => Some((b, x)),
            _ => None,
        }
    }

    /// The other operand of a node with two, one of which is `v`.
    pub fn other(&self, found: &Found<'_>, v: ValueId) -> Option<ValueId> {
        match (found.input(0)?, found.input(1)?) {
            (a, b) if a == v => Some(b),
            (a, b) if b == v => Some(a),
            _ => None,
        }
    }

    pub fn fact(&self, v: ValueId) -> Option<&'a Fact> {
        self.graph.value(v).ok().map(|v| &v.fact)
    }

    /// Whether `v` is of the type that the families compute in.
    pub fn is_f32(&self, v: ValueId) -> bool {
        self.fact(v).is_some_and(|f| f.dtype == DType::F32)
    }
}

/// Whether two numbers are the same but for rounding to `f32`.
pub(super) fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-4 * b.abs().max(1e-30)
}

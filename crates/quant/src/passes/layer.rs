//! Layers as passes see them: a matrix of weights and a bias, behind a rounding or not.

use occam_graph::ops::{Conv, FakeQuant};
use occam_graph::{Array, DType, Fact, Graph, NodeId, Op, Patch, Role, Source, ValueId, Weights, Wire};

use crate::ptq::known;
use crate::{Error, QParams, Quant, Result};

/// A convolution or linear layer whose weight is known.
#[derive(Debug, Clone)]
pub(crate) struct Layer {
    pub(crate) node: NodeId,
    pub(crate) name: String,
    /// How it moves, where it is a convolution.
    pub(crate) conv: Option<Conv>,
    /// What it reads, rounded or not.
    pub(crate) x: ValueId,
    /// What it gives.
    pub(crate) y: ValueId,
    /// The weight, before it is rounded.
    pub(crate) weight: ValueId,
    /// What rounds the weight.
    pub(crate) quant: Option<Quant>,
    /// The bias.
    pub(crate) bias: Option<ValueId>,
    /// Of the weight: `[O, I / groups, ..]`.
    pub(crate) shape: Vec<usize>,
}

impl Layer {
    /// The layer that a node is; none where it is another operator, or its weight is computed or of open shape.
    pub(crate) fn of(graph: &Graph, id: NodeId) -> Result<Option<Self>> {
        let node = graph.node(id)?;
        let conv = match &node.op {
            Op::Conv(conv) => Some(*conv),
            Op::Linear(_) => None,
            _ => return Ok(None),
        };
        let (&[x, read, ..], &[y]) = (node.inputs.as_slice(), node.outputs.as_slice()) else {
            return Ok(None);
        };
        let mut weight = read;
        let mut quant = None;
        if let Source::Node(from, _) = graph.value(read)?.source {
            let rounding = graph.node(from)?;
            let (Op::FakeQuant(_), &[w, scale, zero_point]) = (&rounding.op, rounding.inputs.as_slice())
            else {
                return Ok(None);
            };
            weight = w;
            quant = Some(Quant { node: from, name: rounding.name.clone(), scale, zero_point });
        }
        let value = graph.value(weight)?;
        let is_known = value.role().is_some() || value.constant().is_some();
        let Some(shape) = value.fact.known_shape().filter(|_| is_known && value.fact.dtype == DType::F32)
        else {
            return Ok(None);
        };
        if shape.len() < 2 || shape.contains(&0) {
            return Ok(None);
        }
        let bias = node.inputs.get(2).copied();
        Ok(Some(Self { node: id, name: node.name.clone(), conv, x, y, weight, quant, bias, shape }))
    }

    /// All layers of a graph, in its order.
    pub(crate) fn all(graph: &Graph) -> Result<Vec<Self>> {
        graph.order()?.into_iter().filter_map(|id| Self::of(graph, id).transpose()).collect()
    }

    pub(crate) fn groups(&self) -> usize {
        self.conv.map_or(1, |c| c.groups.max(1))
    }

    /// Output channels.
    pub(crate) fn outputs(&self) -> usize {
        self.shape.first().copied().unwrap_or(0)
    }

    /// Input channels of a group.
    pub(crate) fn inputs(&self) -> usize {
        self.shape.get(1).copied().unwrap_or(0)
    }

    /// Positions of the window.
    pub(crate) fn taps(&self) -> usize {
        self.shape.iter().skip(2).product()
    }

    /// Weights of an output channel.
    pub(crate) fn row(&self) -> usize {
        self.inputs() * self.taps()
    }

    /// The axis of channels in what it reads and gives.
    pub(crate) fn axis(&self, graph: &Graph) -> Result<usize> {
        let rank = graph.value(self.y)?.fact.rank();
        Ok(if self.conv.is_some() { 1 } else { rank.saturating_sub(1) })
    }

    /// Its weight, in row-major order.
    pub(crate) fn floats(&self, graph: &Graph, weights: &Weights) -> Result<Vec<f32>> {
        Ok(known(graph, weights, self.weight)?.as_f32()?.to_vec())
    }

    /// Its bias; zeros where it has none.
    pub(crate) fn bias(&self, graph: &Graph, weights: &Weights) -> Result<Vec<f32>> {
        match self.bias {
            Some(b) => Ok(known(graph, weights, b)?.as_f32()?.to_vec()),
            None => Ok(vec![0.0; self.outputs()]),
        }
    }

    /// What rounds its weight, with the grid.
    pub(crate) fn grid(&self, graph: &Graph, weights: &Weights) -> Result<Option<(FakeQuant, QParams)>> {
        let Some(quant) = &self.quant else { return Ok(None) };
        match &graph.node(quant.node)?.op {
            Op::FakeQuant(op) => Ok(Some((*op, quant.get(graph, weights)?))),
            _ => Ok(None),
        }
    }

    /// Gives it another weight of the same shape. A parameter that others read, too, becomes one of its own.
    pub(crate) fn set_weight(&mut self, graph: &mut Graph, weights: &mut Weights, w: Vec<f32>) -> Result<()> {
        let array = Array::from_f32(self.shape.clone(), w)?;
        let (node, slot) = match &self.quant {
            Some(quant) => (quant.node, 0),
            None => (self.node, 1),
        };
        let name = format!("{}.weight", self.name);
        self.weight = set_operand(graph, weights, (node, slot), &name, array)?;
        Ok(())
    }

    /// Gives it another bias, also where it had none. A parameter that others read, too, becomes one of its own.
    pub(crate) fn set_bias(&mut self, graph: &mut Graph, weights: &mut Weights, b: Vec<f32>) -> Result<()> {
        let array = Array::from_f32([b.len()], b)?;
        let name = format!("{}.bias", self.name);
        self.bias = Some(set_operand(graph, weights, (self.node, 2), &name, array)?);
        Ok(())
    }
}

/// Gives an operand of a node other elements; where it is no parameter that this node alone reads it becomes one, of the
/// name `name` or a similar one. The operand may be one behind the last.
pub(crate) fn set_operand(
    graph: &mut Graph,
    weights: &mut Weights,
    (node, slot): (NodeId, usize),
    name: &str,
    array: Array,
) -> Result<ValueId> {
    let inputs = graph.node(node)?.inputs.clone();
    if let Some(&v) = inputs.get(slot) {
        let value = graph.value(v)?;
        let given = graph.outputs().iter().any(|(_, o)| *o == v);
        if value.role().is_some()
            && !given
            && graph.readers(v).len() == 1
            && value.fact.known_shape().as_deref() == Some(array.shape())
        {
            weights.insert(value.name.clone(), array);
            return Ok(v);
        }
    }
    let mut name = name.to_owned();
    while graph.find(&name).is_some() || weights.contains_key(&name) {
        name.push('_');
    }
    let mut patch = Patch::new("operand");
    let fact = Fact::f32(array.shape().iter().copied());
    let own = patch.param(&name, fact, Role::Weight);
    if slot < inputs.len() {
        patch.rewire(node, slot, own);
    } else {
        let op = graph.node(node)?.op.clone();
        patch.set_node(node, op, inputs.iter().map(|&v| Wire::from(v)).chain([own]));
    }
    patch.apply(graph)?;
    weights.insert(name.clone(), array);
    graph.find(&name).ok_or_else(|| Error::Other(format!("`{name}` was not added")))
}

/// The only node that reads a value, with the operand's index; none where there are several or none, or the graph gives it.
pub(crate) fn sole_reader(graph: &Graph, v: ValueId) -> Option<(NodeId, usize)> {
    match graph.readers(v).as_slice() {
        &[reader] if graph.outputs().iter().all(|(_, o)| *o != v) => Some(reader),
        _ => None,
    }
}

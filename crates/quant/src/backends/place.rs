//! Walking a graph with a backend's table.

use std::collections::{HashMap, HashSet};

use occam_graph::{DType, Graph, Node, NodeId, Op, Source, ValueId, matches};

use super::{Backend, Left, Use, Wishes, kind};
use crate::{Kind, Placement, Point, QScheme, Result};

/// Where a graph is rounded, and what stays in floats.
#[derive(Debug, Clone, Default)]
pub struct Placed {
    /// The points.
    pub placement: Placement,
    /// Layers by node, with the indices of their weight's and their input's points, for biases.
    pub layers: Vec<Layer>,
    /// What could be integers and is not.
    pub left: Vec<Left>,
}

/// A layer that is computed with integers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// Its node.
    pub node: NodeId,
    /// Index of the point of its weight.
    pub weight: usize,
    /// Index of the point of what it reads; none where weights alone are rounded.
    pub input: Option<usize>,
}

/// A walk.
struct Walk<'a> {
    backend: &'a Backend,
    graph: &'a Graph,
    wishes: &'a Wishes,
    /// Readers by value.
    readers: HashMap<ValueId, Vec<(NodeId, usize)>>,
    /// Values that the graph gives.
    given: HashSet<ValueId>,
    /// Point by value.
    points: HashMap<ValueId, usize>,
    /// Values that integers are computed of: all readers see them rounded.
    whole: HashSet<ValueId>,
    /// Values between a node and the activation that is computed with it.
    inner: HashSet<ValueId>,
    placed: Placed,
}

impl Backend {
    /// Where `graph` is rounded.
    ///
    /// # Errors
    /// The graph breaks a rule, or a bit width is wished for that the backend does not store.
    pub fn place(&self, graph: &Graph, wishes: &Wishes) -> Result<Placed> {
        let asked = wishes.weight_bits.iter().chain(&wishes.activation_bits);
        for &bits in asked.chain(wishes.layer_bits.iter().map(|(_, bits)| bits)) {
            self.check_bits(bits)?;
        }
        let mut readers: HashMap<ValueId, Vec<(NodeId, usize)>> = HashMap::new();
        let order = graph.order()?;
        for &id in &order {
            for (i, &v) in graph.node(id)?.inputs.iter().enumerate() {
                readers.entry(v).or_default().push((id, i));
            }
        }
        let mut walk = Walk {
            backend: self,
            graph,
            wishes,
            readers,
            given: graph.outputs().iter().map(|(_, v)| *v).collect(),
            points: HashMap::new(),
            whole: HashSet::new(),
            inner: HashSet::new(),
            placed: Placed::default(),
        };
        for id in order {
            walk.node(id)?;
        }
        walk.finish()
    }
}

impl Walk<'_> {
    fn node(&mut self, id: NodeId) -> Result<()> {
        let node = self.graph.node(id)?;
        let Some(how) = self.backend.how(&node.op) else { return Ok(()) };
        if node.outputs.first().is_some_and(|v| self.inner.contains(v)) {
            return Ok(());
        }
        if let Some(why) = self.refused(id, node)? {
            return self.leave(id, node, why);
        }
        match how {
            Use::Layer | Use::OpenLayer => self.layer(id, node, how),
            Use::Integer => self.integer(id, node),
            Use::Passes => self.passes(id, node),
        }
    }

    fn leave(&mut self, node: NodeId, of: &Node, why: String) -> Result<()> {
        self.placed.left.push(Left { node, name: of.name.clone(), why });
        Ok(())
    }

    /// Why a node stays in floats whatever its operator is.
    fn refused(&self, id: NodeId, node: &Node) -> Result<Option<String>> {
        if let Some((_, why)) = self.wishes.floats.iter().find(|(n, _)| *n == id) {
            return Ok(Some(why.clone()));
        }
        let kind = kind(&node.op);
        let skipped = |p: &&String| p.as_str() == kind || matches(p, &node.name);
        if let Some(pattern) = self.wishes.skip.iter().find(skipped) {
            return Ok(Some(format!("`{pattern}` is to be left")));
        }
        for &v in node.inputs.iter().chain(&node.outputs).take(1) {
            let fact = &self.graph.value(v)?.fact;
            if fact.dtype != DType::F32 {
                return Ok(Some(format!("it reads {fact}")));
            }
        }
        Ok(None)
    }

    /// Whether a value is a parameter or a constant.
    fn is_known(&self, v: ValueId) -> Result<bool> {
        let value = self.graph.value(v)?;
        Ok(matches!(value.source, Source::Param(_)) || value.constant().is_some())
    }

    /// What a node gives in the end: the result of the activation that is computed with it, where there is one.
    fn result(&self, node: &Node) -> Result<(ValueId, Vec<ValueId>)> {
        let Some(&own) = node.outputs.first() else {
            return Err(crate::Error::Other(format!("`{}` gives nothing", node.name)));
        };
        let (mut at, mut inner) = (own, Vec::new());
        while let Some([(reader, _)]) = self.readers.get(&at).map(Vec::as_slice) {
            let next = self.graph.node(*reader)?;
            let &[out] = next.outputs.as_slice() else { break };
            if self.given.contains(&at) || !self.backend.fused.contains(&kind(&next.op)) {
                break;
            }
            inner.push(at);
            at = out;
        }
        Ok((at, inner))
    }

    fn layer(&mut self, id: NodeId, node: &Node, how: Use) -> Result<()> {
        let &[x, w, ..] = node.inputs.as_slice() else { return Ok(()) };
        if self.is_known(x)? {
            return self.leave(id, node, "what it reads does not depend on data".into());
        }
        let product = !self.is_known(w)?;
        if product && (!matches!(node.op, Op::MatMul(_)) || !self.backend.products) {
            let why = match node.op {
                Op::MatMul(_) => "it multiplies two computed values".into(),
                _ => "its weight is computed".into(),
            };
            return self.leave(id, node, why);
        }
        let (result, inner) = self.result(node)?;
        let rounded = how == Use::Layer && !self.wishes.weights_only;
        if rounded && self.given.contains(&result) {
            return self.leave(id, node, "its result is one of the model's outputs".into());
        }
        let input = if self.wishes.weights_only { None } else { Some(self.point(x)?) };
        if let Some(i) = input {
            self.read(i, id, 0);
        }
        if product {
            if !self.wishes.weights_only {
                let i = self.point(w)?;
                self.read(i, id, 1);
            }
            return Ok(());
        }
        let weight = self.weight(id, node, w)?;
        self.placed.layers.push(Layer { node: id, weight, input });
        if rounded {
            self.point(result)?;
            self.whole.insert(result);
        }
        self.inner.extend(inner);
        Ok(())
    }

    fn integer(&mut self, id: NodeId, node: &Node) -> Result<()> {
        if self.wishes.weights_only {
            return Ok(());
        }
        let mut computed = Vec::new();
        for (i, &v) in node.inputs.iter().enumerate() {
            if !self.is_known(v)? {
                computed.push((i, v));
            } else if matches!(kind(&node.op), "Add" | "Mul" | "Concat") {
                return self.leave(id, node, "one of its operands is a constant".into());
            }
        }
        if computed.is_empty() || computed.iter().any(|(_, v)| !self.whole.contains(v)) {
            return self.leave(id, node, "what it reads is computed in floats".into());
        }
        let (result, inner) = self.result(node)?;
        if self.given.contains(&result) {
            return self.leave(id, node, "its result is one of the model's outputs".into());
        }
        for (i, v) in computed {
            let point = self.point(v)?;
            self.read(point, id, i);
        }
        self.point(result)?;
        self.whole.insert(result);
        self.inner.extend(inner);
        Ok(())
    }

    fn passes(&mut self, id: NodeId, node: &Node) -> Result<()> {
        let Some(&x) = node.inputs.first() else { return Ok(()) };
        let all_whole = |walk: &Self, list: &[ValueId]| list.iter().all(|v| walk.whole.contains(v));
        // What joins several must read integers of all.
        let joins = matches!(kind(&node.op), "Concat");
        let reads: &[ValueId] = if joins { &node.inputs } else { std::slice::from_ref(&x) };
        if self.wishes.weights_only || !all_whole(self, reads) {
            return Ok(());
        }
        if node.outputs.iter().any(|v| self.given.contains(v)) {
            return Ok(());
        }
        let Some(&from) = self.points.get(&x) else { return Ok(()) };
        for (i, v) in reads.iter().enumerate() {
            let point = self.point(*v)?;
            self.read(point, id, i);
            if joins && i > 0 && self.placed.placement.root(point) != self.placed.placement.root(from) {
                let (root, other) = (self.placed.placement.root(point), self.placed.placement.root(from));
                if let Some(p) = self.placed.placement.points.get_mut(root) {
                    p.shares = Some(other).filter(|&r| r != root);
                }
            }
        }
        for &v in &node.outputs {
            let i = self.point(v)?;
            if let Some(p) = self.placed.placement.points.get_mut(i) {
                p.shares = Some(from).filter(|&f| f != i);
            }
            self.whole.insert(v);
        }
        Ok(())
    }

    /// The point of a computed value.
    fn point(&mut self, v: ValueId) -> Result<usize> {
        if let Some(&i) = self.points.get(&v) {
            return Ok(i);
        }
        let mut scheme = self.backend.activations;
        if let Some(bits) = self.wishes.activation_bits {
            scheme.bit = bits;
        }
        if self.wishes.symmetric {
            scheme.qdtype = crate::QDtype::Qint8;
            scheme.is_symmetry = true;
        }
        let i = self.add(v, scheme, Kind::Activation);
        self.points.insert(v, i);
        Ok(i)
    }

    fn add(&mut self, value: ValueId, scheme: QScheme, kind: Kind) -> usize {
        let points = &mut self.placed.placement.points;
        points.push(Point { value, readers: Vec::new(), scheme, kind, shares: None, fixed: None });
        points.len() - 1
    }

    fn read(&mut self, point: usize, node: NodeId, input: usize) {
        if let Some(p) = self.placed.placement.points.get_mut(point)
            && !p.readers.contains(&(node, input))
        {
            p.readers.push((node, input));
        }
    }

    /// The point of a layer's weight; layers with one weight share it.
    fn weight(&mut self, id: NodeId, node: &Node, w: ValueId) -> Result<usize> {
        let bits = (self.wishes.layer_bits.iter())
            .find(|(pattern, _)| matches(pattern, &node.name))
            .map(|(_, bits)| *bits)
            .or(self.wishes.weight_bits)
            .unwrap_or(self.backend.weight_bits);
        let rank = self.graph.value(w)?.fact.rank();
        let axis = match &node.op {
            Op::Conv(_) | Op::Linear(_) => Some(0),
            Op::MatMul(m) if !m.transpose_b => rank.checked_sub(1),
            Op::MatMul(_) => rank.checked_sub(2),
            Op::Onnx(op) if op.op_type == "MatMul" => rank.checked_sub(1),
            _ => None,
        };
        let mut scheme = QScheme::weights(bits, axis.filter(|_| !self.wishes.per_tensor));
        scheme.group =
            self.wishes.group_size.filter(|_| self.wishes.weights_only && scheme.ch_axis == Some(0));
        let shape = self.graph.value(w)?.fact.known_shape().unwrap_or_default();
        let matrix = shape.iter().skip(2).all(|&d| d == 1);
        if !matrix || scheme.group.is_some_and(|g| shape.get(1).is_none_or(|&n| n == 0 || n % g != 0)) {
            scheme.group = None;
        }
        let same = |p: &Point| p.value == w && p.scheme == scheme;
        let i = match self.placed.placement.points.iter().position(same) {
            Some(i) => i,
            None => self.add(w, scheme, Kind::Weight),
        };
        self.read(i, id, 1);
        Ok(i)
    }

    /// Lets all readers of what integers are computed of see it rounded.
    fn finish(mut self) -> Result<Placed> {
        for (v, &i) in &self.points {
            if self.whole.contains(v) {
                for &(node, input) in self.readers.get(v).into_iter().flatten() {
                    if let Some(p) = self.placed.placement.points.get_mut(i)
                        && !p.readers.contains(&(node, input))
                    {
                        p.readers.push((node, input));
                    }
                }
            }
        }
        Ok(self.placed)
    }
}

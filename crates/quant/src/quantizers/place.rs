//! Where a graph is rounded: the walk over it with a backend's table.
//!
//! The walk is that of PyTorch's FX quantization, which the original's quantizers run. Differences:
//!
//! - An operator that hands elements on shares the grid of what it reads, which is rounded for it where it was not. In the
//!   original the result of the last block loses its rounding, since `size()` is asked of it, and pooling shares the grid of
//!   some convolution before it: that of the last one in ResNets, before the sum.
//! - A module that does nothing is no operator: what it gives is what it reads, rounded once.
//! - A layer that is called several times has one weight with one grid; the original makes copies, which part in training.

use std::collections::{HashMap, HashSet};

use occam_graph::{Graph, Node, NodeId, Op, Source, ValueId};

use super::rules::Rules;
use super::tables::{IDENTITY, Table, is_layer, name};
use crate::{Kind, Placement, Point, QDtype, QParams, QScheme, Result};

/// A layer with a rounded weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layer {
    /// The convolution or linear layer.
    pub node: NodeId,
    /// The batch normalization that is folded into it.
    pub norm: Option<NodeId>,
    /// Index of its weight's point.
    pub weight: usize,
}

/// Where a graph is rounded.
#[derive(Debug, Clone, Default)]
pub struct Placed {
    /// The points.
    pub placement: Placement,
    /// By point which of [`Rules::configs`] it is rounded by.
    pub rules: Vec<usize>,
    /// Points whose value the model gives rounded.
    pub given: HashSet<usize>,
    /// The layers.
    pub layers: Vec<Layer>,
}

/// Nodes that are computed as one.
struct Group {
    first: NodeId,
    norm: Option<NodeId>,
    last: NodeId,
}

struct Walk<'a> {
    table: &'a Table,
    rules: &'a Rules,
    graph: &'a Graph,
    /// The innermost module that each node is of, by the node.
    types: HashMap<ValueId, String>,
    readers: HashMap<ValueId, Vec<(NodeId, usize)>>,
    outputs: HashSet<ValueId>,
    /// What a module that does nothing was called with.
    passed: HashSet<ValueId>,
    points: HashMap<ValueId, usize>,
    /// Values that all readers see rounded.
    whole: HashSet<ValueId>,
    placed: Placed,
}

/// Where `graph` is rounded.
///
/// # Errors
/// The graph breaks a rule, or bits are asked for that there are no integers of.
pub fn place(graph: &Graph, table: &Table, rules: &Rules) -> Result<Placed> {
    let order = graph.order()?;
    let mut readers: HashMap<ValueId, Vec<(NodeId, usize)>> = HashMap::new();
    for &id in &order {
        for (i, &v) in graph.node(id)?.inputs.iter().enumerate() {
            readers.entry(v).or_default().push((id, i));
        }
    }
    let (mut passed, mut types) = (HashSet::new(), HashMap::new());
    for (path, calls) in graph.modules() {
        for call in calls {
            if let ([x], [y]) = (call.inputs.as_slice(), call.outputs.as_slice())
                && x == y
            {
                passed.insert(*x);
            } else if let &[y] = call.outputs.as_slice() {
                let inner = types.entry(y).or_insert_with(|| path.clone());
                if path.len() > inner.len() {
                    inner.clone_from(path);
                }
            }
        }
    }
    let outputs = graph.outputs().iter().map(|(_, v)| *v).collect();
    let mut walk = Walk {
        table,
        rules,
        graph,
        types,
        readers,
        outputs,
        passed,
        points: HashMap::new(),
        whole: HashSet::new(),
        placed: Placed::default(),
    };
    let mut inner = HashSet::new();
    for id in order {
        if inner.contains(&id) {
            continue;
        }
        let group = walk.group(id)?;
        inner.extend([group.norm, Some(group.last)].into_iter().flatten());
        walk.visit(&group)?;
    }
    walk.finish()
}

impl Walk<'_> {
    fn is_known(&self, v: ValueId) -> Result<bool> {
        let value = self.graph.value(v)?;
        Ok(matches!(value.source, Source::Param(_)) || value.constant().is_some())
    }

    /// The only reader of what a node gives, where it is of that kind.
    fn next(&self, id: NodeId, wanted: impl Fn(&Op) -> bool) -> Result<Option<NodeId>> {
        let Some(&out) = self.graph.node(id)?.outputs.first() else { return Ok(None) };
        let Some(&[(reader, 0)]) = self.readers.get(&out).map(Vec::as_slice) else { return Ok(None) };
        let fits = !self.outputs.contains(&out) && wanted(&self.graph.node(reader)?.op);
        Ok(Some(reader).filter(|_| fits))
    }

    fn group(&self, first: NodeId) -> Result<Group> {
        let op = &self.graph.node(first)?.op;
        let relu = |op: &Op| name(op) == "Relu";
        let norm = |op: &Op| matches!(op, Op::BatchNorm(_));
        let mut group = Group { first, norm: None, last: first };
        if is_layer(op) {
            group.norm = self.next(first, norm)?;
            group.last = group.norm.unwrap_or(first);
        }
        let native_norm = norm(op) && self.table.own.contains(&name(op));
        if is_layer(op) || native_norm || (self.table.arithmetic && matches!(op, Op::Binary(_))) {
            group.last = self.next(group.last, relu)?.unwrap_or(group.last);
        }
        Ok(group)
    }

    /// The name of the module that a node is of, for rules that name modules.
    fn path<'n>(&'n self, node: &'n Node) -> &'n str {
        node.outputs.first().and_then(|v| self.types.get(v)).map_or(node.name.as_str(), String::as_str)
    }

    fn visit(&mut self, group: &Group) -> Result<()> {
        let (graph, table) = (self.graph, self.table);
        let node = graph.node(group.first)?;
        let kind = name(&node.op);
        let path = self.path(node).to_owned();
        let Some(rule) = self.rules.of(kind, &path, &node.name) else { return Ok(()) };
        let Some(&out) = graph.node(group.last)?.outputs.first() else { return Ok(()) };
        let layer = is_layer(&node.op);
        let mut computed = Vec::new();
        for (i, &v) in node.inputs.iter().enumerate() {
            if !self.is_known(v)? {
                computed.push((i, v));
            }
        }
        let two = computed.len() > 1;
        let binary = matches!(node.op, Op::Binary(_));
        let matrices = matches!(node.op, Op::MatMul(_));
        let own = layer || table.own.contains(&kind) || (table.arithmetic && (matrices || (binary && two)));
        // A sum with a number has the grid of what it is added to.
        let passes = table.passes.contains(&kind) || (table.arithmetic && binary && !two);
        let fixed =
            if table.fixed.contains(&kind) { fixed_grid(kind, &self.rules.scheme(rule)) } else { None };
        if computed.is_empty() || !(own || passes || fixed.is_some()) {
            return Ok(());
        }
        if layer {
            let &[x, w, ..] = node.inputs.as_slice() else { return Ok(()) };
            if self.is_known(x)? || !self.is_known(w)? {
                return Ok(());
            }
            let weight = self.weight(group.first, w, rule)?;
            self.placed.layers.push(Layer { node: group.first, norm: group.norm, weight });
        }
        for &(i, v) in &computed {
            if !self.whole.contains(&v) {
                let point = self.point(v, rule)?;
                self.read(point, group.first, i);
            }
        }
        let point = self.point(out, rule)?;
        self.whole.insert(out);
        if let Some((scheme, grid)) = fixed {
            self.set(point, |p| (p.scheme, p.fixed) = (scheme, Some(grid)));
        } else if passes && let Some(&(_, first)) = computed.first() {
            let from = self.points.get(&first).copied().map(|i| self.placed.placement.root(i));
            self.set(point, |p| p.shares = from);
            // All that is joined has one grid.
            for (_, v) in computed.iter().skip(1) {
                let other = self.points.get(v).map(|&i| self.placed.placement.root(i));
                if let (Some(other), Some(from)) = (other, from)
                    && other != from
                {
                    self.set(other, |p| p.shares = Some(from));
                }
            }
        }
        Ok(())
    }

    fn set(&mut self, point: usize, change: impl FnOnce(&mut Point)) {
        if let Some(p) = self.placed.placement.points.get_mut(point) {
            change(p);
        }
    }

    fn read(&mut self, point: usize, node: NodeId, input: usize) {
        self.set(point, |p| {
            if !p.readers.contains(&(node, input)) {
                p.readers.push((node, input));
            }
        });
    }

    fn add(&mut self, value: ValueId, scheme: QScheme, kind: Kind, rule: usize) -> Result<usize> {
        scheme.check()?;
        let points = &mut self.placed.placement.points;
        points.push(Point { value, readers: Vec::new(), scheme, kind, shares: None, fixed: None });
        self.placed.rules.push(rule);
        Ok(points.len() - 1)
    }

    fn point(&mut self, v: ValueId, rule: usize) -> Result<usize> {
        if let Some(&i) = self.points.get(&v) {
            return Ok(i);
        }
        let i = self.add(v, self.rules.scheme(rule), Kind::Activation, rule)?;
        self.points.insert(v, i);
        Ok(i)
    }

    /// The point of a layer's weight; layers with one weight share it.
    fn weight(&mut self, layer: NodeId, w: ValueId, rule: usize) -> Result<usize> {
        let mut scheme = self.rules.weight_scheme(rule);
        let shape = self.graph.value(w)?.fact.known_shape();
        // A first layer has few inputs, and no groups of them.
        if shape.is_none_or(|shape| scheme.runs(&shape).is_err()) {
            scheme.group = None;
        }
        let same = |p: &Point| p.value == w && p.scheme == scheme;
        let i = match self.placed.placement.points.iter().position(same) {
            Some(i) => i,
            None => self.add(w, scheme, Kind::Weight, rule)?,
        };
        self.read(i, layer, 1);
        Ok(i)
    }

    /// Gives values that are rounded everywhere all their readers, and takes back what the table does not want.
    fn finish(mut self) -> Result<Placed> {
        let mut dropped = HashSet::new();
        let values: Vec<(ValueId, usize)> = self.points.iter().map(|(v, i)| (*v, *i)).collect();
        for (v, i) in values {
            let readers = self.readers.get(&v).cloned().unwrap_or_default();
            if self.whole.contains(&v) {
                readers.iter().for_each(|&(node, input)| self.read(i, node, input));
            }
            let passed = self.passed.contains(&v);
            let kinds = readers.iter().map(|(n, _)| Ok(name(&self.graph.node(*n)?.op)));
            let kinds: Vec<&str> = kinds.collect::<Result<_>>()?;
            // Behind the module that does nothing the value is rounded again where that hands elements on.
            let before = kinds.iter().any(|k| self.table.plain_before.contains(k))
                || (passed
                    && self.table.plain_before.contains(&IDENTITY)
                    && !self.table.passes.contains(&IDENTITY));
            let after = match self.graph.value(v)?.source {
                Source::Node(node, _) => self.table.plain_after.contains(&name(&self.graph.node(node)?.op)),
                _ => false,
            };
            let output = self.outputs.contains(&v);
            if before || after || (output && self.table.plain_outputs) {
                dropped.insert(i);
            } else if output && self.whole.contains(&v) {
                self.placed.given.insert(i);
            }
        }
        Ok(self.placed.without(&dropped))
    }
}

impl Placed {
    /// The points that are not in `dropped`; what shared the grid of one of these shares that of the first of its kind.
    fn without(self, dropped: &HashSet<usize>) -> Self {
        let Self { placement, rules, given, layers } = self;
        let mut place = HashMap::new();
        for i in (0..placement.points.len()).filter(|i| !dropped.contains(i)) {
            place.insert(i, place.len());
        }
        // By grid the first point that stays.
        let mut first: HashMap<usize, usize> = HashMap::new();
        for i in (0..placement.points.len()).filter(|i| !dropped.contains(i)) {
            let root = placement.root(i);
            let own = first.entry(root).or_insert(i);
            if i == root {
                *own = i;
            }
        }
        let points = placement.points.iter().enumerate().filter(|(i, _)| !dropped.contains(i));
        let points = points.map(|(i, point)| {
            let shares =
                first.get(&placement.root(i)).filter(|&&f| f != i).and_then(|f| place.get(f)).copied();
            Point { shares, ..point.clone() }
        });
        Self {
            rules: rules.iter().enumerate().filter(|(i, _)| !dropped.contains(i)).map(|(_, r)| *r).collect(),
            given: given.iter().filter_map(|i| place.get(i)).copied().collect(),
            layers: layers
                .into_iter()
                .filter_map(|l| Some(Layer { weight: *place.get(&l.weight)?, ..l }))
                .collect(),
            placement: Placement { points: points.collect() },
        }
    }
}

/// The grid of what lies in 0 to 1, or in -1 to 1, whatever the data: PyTorch's `default_fixed_qparams_range_0to1_observer`
/// and `..neg1to1_observer`, for integers of any width.
fn fixed_grid(kind: &str, scheme: &QScheme) -> Option<(QScheme, QParams)> {
    let grid = QScheme {
        qdtype: QDtype::Quint8,
        is_symmetry: false,
        is_symmetric_range: false,
        ch_axis: None,
        group: None,
        bit: scheme.bit,
    };
    let count = (1u32 << scheme.bit.min(16)) as f32;
    let (scale, zero) = match kind {
        "Sigmoid" | "HardSigmoid" | "Softmax" => (1.0 / count, 0),
        "Tanh" => (2.0 / count, (count / 2.0) as i32),
        _ => return None,
    };
    Some((grid, QParams { scale: vec![scale], zero_point: vec![zero] }))
}

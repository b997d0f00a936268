//! Names of values in the file: one namespace for inputs, weights, outputs and everything between.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use indexmap::IndexMap;
use occam_graph::onnx::Attribute;
use occam_graph::{Array, Graph, Op, Source, ValueId, Weights};

use crate::{Error, Result};

/// Names in use.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// In the graph at hand and those around it.
    seen: HashSet<String>,
    /// Anywhere, those of graphs in nodes that are written already included.
    ever: HashSet<String>,
    /// By name, the number that the last one made from it has.
    numbers: HashMap<String, usize>,
    /// What graphs in nodes took, in order; empty outside of them.
    inner: Vec<String>,
    /// How many graphs in nodes are open.
    depth: usize,
}

impl Names {
    /// Takes `name`; false where it is in use already.
    pub fn take(&mut self, name: &str) -> bool {
        self.ever.insert(name.to_owned());
        let fresh = self.seen.insert(name.to_owned());
        if fresh && self.depth > 0 {
            self.inner.push(name.to_owned());
        }
        fresh
    }

    /// Takes `base`, or the first of `base_1`, `base_2`, .. that is not in use anywhere.
    pub fn fresh(&mut self, base: &str) -> String {
        let mut name = base.to_owned();
        if self.ever.contains(base) {
            // From the last number on: many nodes may have one name.
            let mut n = self.numbers.get(base).copied().unwrap_or(0);
            while self.ever.contains(&name) {
                n += 1;
                name = format!("{base}_{n}");
            }
            self.numbers.insert(base.to_owned(), n);
        }
        self.take(&name);
        name
    }

    /// Takes `name`, or one like it.
    fn near(&mut self, name: &str) -> String {
        match name {
            "" => self.fresh("value"),
            name if self.take(name) => name.to_owned(),
            name => self.fresh(name),
        }
    }

    /// Begins a graph in a node, which sees the names of the graphs around it; [`Names::leave`] takes what this returns.
    pub fn enter(&mut self) -> usize {
        self.depth += 1;
        self.inner.len()
    }

    /// Leaves a graph in a node: what it defines is not seen out here.
    pub fn leave(&mut self, entered: usize) {
        self.depth = self.depth.saturating_sub(1);
        for name in self.inner.drain(entered.min(self.inner.len())..) {
            self.seen.remove(&name);
        }
    }
}

/// What a graph in a node has of the graphs around it.
pub(super) struct Around<'a> {
    /// What the values are called there that are its last inputs.
    pub captured: &'a [String],
    /// Constants that are written there.
    pub shared: &'a Shared,
}

/// Constants that several graphs have under one name, by it: they are written once, in the outermost.
pub(super) type Shared = HashMap<String, Array>;

/// What every value is called.
#[derive(Debug)]
pub(super) struct Plan {
    names: HashMap<ValueId, String>,
    /// Parameters and constants that a node reads or that are outputs, in order of creation; not those that a graph around
    /// has.
    pub params: Vec<ValueId>,
    /// What the outputs are called.
    pub outputs: Vec<String>,
    /// Outputs that need a copy of their value, whose own name is another one.
    pub copies: Vec<(String, ValueId)>,
}

impl Plan {
    /// Inputs and parameters keep their names. A node's value takes the name of the first output that it is, else
    /// keeps its own, unless an output has that name.
    ///
    /// The names of a graph in a node mean nothing outside: inputs, constants and outputs give way there.
    pub fn new(graph: &Graph, around: Option<&Around<'_>>, taken: &mut Names) -> Result<Self> {
        let mut params = read_params(graph);
        let mut names = HashMap::new();
        let captured = around.map_or(&[][..], |a| a.captured);
        let own = graph.inputs().len().saturating_sub(captured.len());
        names.extend(graph.inputs().iter().skip(own).copied().zip(captured.iter().cloned()));
        if let Some(around) = around {
            for &id in &params {
                let value = graph.value(id)?;
                if value.constant().is_some_and(|array| around.shared.get(&value.name) == Some(array)) {
                    names.insert(id, value.name.clone());
                }
            }
            params.retain(|id| !names.contains_key(id));
        }
        for &id in graph.inputs().iter().take(own).chain(&params) {
            let name = &graph.value(id)?.name;
            let written = match around {
                Some(_) => taken.near(name),
                None => take(taken, name, "rename the input or parameter")?,
            };
            names.insert(id, written);
        }
        let (mut outputs, mut copies, mut own_outputs) = (Vec::new(), Vec::new(), HashSet::new());
        for (name, id) in graph.outputs() {
            if around.is_none() && names.get(id) == Some(name) && own_outputs.insert(name) {
                outputs.push(name.clone());
                continue;
            }
            let written = match around {
                Some(_) => taken.near(name),
                None => take(taken, name, "rename the output")?,
            };
            match names.entry(*id) {
                Entry::Occupied(_) => copies.push((written.clone(), *id)),
                Entry::Vacant(e) => {
                    e.insert(written.clone());
                }
            }
            outputs.push(written);
        }
        // All names that can stay are taken before new ones are made up.
        let mut renamed = Vec::new();
        for (id, value) in graph.values().filter(|(_, v)| matches!(v.source, Source::Node(..))) {
            let Entry::Vacant(e) = names.entry(id) else { continue };
            if !value.name.is_empty() && taken.take(&value.name) {
                e.insert(value.name.clone());
            } else {
                renamed.push((id, value.name.as_str()));
            }
        }
        for (id, name) in renamed {
            names.insert(id, taken.fresh(if name.is_empty() { "value" } else { name }));
        }
        Ok(Self { names, params, outputs, copies })
    }

    /// The name of a value that some node defines or reads.
    pub fn name(&self, id: ValueId) -> Result<&str> {
        self.names.get(&id).map(String::as_str).ok_or_else(|| {
            occam_graph::Error::Graph(format!("value #{} belongs to no node", id.index())).into()
        })
    }
}

/// Takes a name that cannot be changed.
fn take(taken: &mut Names, name: &str, advice: &str) -> Result<String> {
    let message = if name.is_empty() {
        format!("in ONNX an empty name stands for a value that is not given; {advice}")
    } else if !taken.take(name) {
        format!("an input or parameter of the graph has it already; {advice}")
    } else {
        return Ok(name.to_owned());
    };
    Err(Error::Name { name: name.into(), message })
}

/// The constants that graphs in nodes have of the graphs around them: under one name the same elements in several graphs.
///
/// Those that `graph` does not write itself come second, in order.
pub(super) fn shared(graph: &Graph, weights: &Weights) -> Result<(Shared, Vec<String>)> {
    let mut found: IndexMap<String, (Array, bool)> = IndexMap::new();
    let mut differ = HashSet::new();
    let mut bodies = bodies(graph);
    while let Some(body) = bodies.pop() {
        for id in read_params(body) {
            let value = body.value(id)?;
            let Some(array) = value.constant() else { continue };
            match found.entry(value.name.clone()) {
                indexmap::map::Entry::Vacant(e) => {
                    e.insert((array.clone(), false));
                }
                indexmap::map::Entry::Occupied(mut e) if e.get().0 == *array => e.get_mut().1 = true,
                indexmap::map::Entry::Occupied(e) => {
                    differ.insert(e.key().clone());
                }
            }
        }
        bodies.extend(self::bodies(body));
    }
    let (mut shared, mut own) = (Shared::new(), Vec::new());
    let written: HashSet<ValueId> = read_params(graph).into_iter().collect();
    for (name, (array, several)) in found {
        match graph.find(&name) {
            Some(id) if written.contains(&id) => {
                let value = graph.value(id)?;
                if value.constant().or_else(|| weights.get(&name)) == Some(&array) {
                    shared.insert(name, array);
                }
            }
            // A constant that only graphs in nodes read.
            Some(id) if !matches!(graph.value(id)?.source, Source::Param(_) | Source::Const) => {}
            _ if graph.outputs().iter().any(|(output, _)| *output == name) => {}
            _ if several && !differ.contains(&name) => {
                own.push(name.clone());
                shared.insert(name, array);
            }
            _ => {}
        }
    }
    Ok((shared, own))
}

/// The graphs in the nodes of a graph.
fn bodies(graph: &Graph) -> Vec<&Graph> {
    let mut all = Vec::new();
    for (_, node) in graph.nodes() {
        let Op::Onnx(op) = &node.op else { continue };
        all.extend(op.attributes.values().filter_map(|a| match a {
            Attribute::Graph(body) => Some(&body.graph),
            _ => None,
        }));
    }
    all
}

fn read_params(graph: &Graph) -> Vec<ValueId> {
    let read: HashSet<ValueId> = graph
        .nodes()
        .flat_map(|(_, node)| node.inputs.iter().copied())
        .chain(graph.outputs().iter().map(|(_, id)| *id))
        .collect();
    let held = |source: Source| matches!(source, Source::Param(_) | Source::Const);
    graph.values().filter(|(id, v)| held(v.source) && read.contains(id)).map(|(id, _)| id).collect()
}

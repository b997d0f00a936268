//! Names of values in the file: one namespace for inputs, weights, outputs and everything between.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use occam_graph::{Graph, Source, ValueId};

use crate::{Error, Result};

/// Names in use.
#[derive(Debug, Default)]
pub(super) struct Names(HashSet<String>);

impl Names {
    /// Takes `name`; false where it is in use already.
    pub fn take(&mut self, name: &str) -> bool {
        self.0.insert(name.to_owned())
    }

    /// Takes `base`, or the first of `base_1`, `base_2`, .. that is not in use.
    pub fn fresh(&mut self, base: &str) -> String {
        let mut name = base.to_owned();
        let mut n = 0;
        while !self.take(&name) {
            n += 1;
            name = format!("{base}_{n}");
        }
        name
    }
}

/// What every value is called.
#[derive(Debug)]
pub(super) struct Plan {
    names: HashMap<ValueId, String>,
    /// Parameters and constants that a node reads or that are outputs, in order of creation.
    pub params: Vec<ValueId>,
    /// Outputs that need a copy of their value, whose own name is another one.
    pub copies: Vec<(String, ValueId)>,
}

impl Plan {
    /// Inputs and parameters keep their names. A node's value takes the name of the first output that it is, else
    /// keeps its own, unless an output has that name.
    ///
    /// The last inputs are values of the graph around this one, which are called as in `captured`.
    pub fn new(graph: &Graph, captured: &[String], taken: &mut Names) -> Result<Self> {
        let params = read_params(graph);
        let mut names = HashMap::new();
        let own = graph.inputs().len().saturating_sub(captured.len());
        names.extend(graph.inputs().iter().skip(own).copied().zip(captured.iter().cloned()));
        for &id in graph.inputs().iter().take(own).chain(&params) {
            let name = &graph.value(id)?.name;
            take(taken, name, "rename the input or parameter")?;
            names.insert(id, name.clone());
        }
        let mut copies = Vec::new();
        for (name, id) in graph.outputs() {
            take(taken, name, "rename the output")?;
            match names.entry(*id) {
                Entry::Occupied(_) => copies.push((name.clone(), *id)),
                Entry::Vacant(e) => {
                    e.insert(name.clone());
                }
            }
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
        Ok(Self { names, params, copies })
    }

    /// The name of a value that some node defines or reads.
    pub fn name(&self, id: ValueId) -> Result<&str> {
        self.names.get(&id).map(String::as_str).ok_or_else(|| {
            occam_graph::Error::Graph(format!("value #{} belongs to no node", id.index())).into()
        })
    }
}

/// Takes a name that cannot be changed.
fn take(taken: &mut Names, name: &str, advice: &str) -> Result<()> {
    let message = if name.is_empty() {
        format!("in ONNX an empty name stands for a value that is not given; {advice}")
    } else if !taken.take(name) {
        format!("an input or parameter of the graph has it already; {advice}")
    } else {
        return Ok(());
    };
    Err(Error::Name { name: name.into(), message })
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

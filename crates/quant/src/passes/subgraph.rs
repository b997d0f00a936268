//! Parts of a graph as graphs of their own.

use std::collections::{HashMap, HashSet};

use occam_graph::{Graph, Source, ValueId};

use crate::Result;

/// The nodes between some values as a graph: `inputs` become its inputs, `outputs` its outputs, each in order and under its
/// own name. Parameters and constants that are read come along under their names.
///
/// # Errors
/// An output depends on an input of the graph that is not among `inputs`, or a name stands twice among the outputs.
pub(crate) fn subgraph(graph: &Graph, inputs: &[ValueId], outputs: &[ValueId]) -> Result<Graph> {
    let mut needed: HashSet<ValueId> = HashSet::new();
    let mut open: Vec<ValueId> = outputs.to_vec();
    while let Some(v) = open.pop() {
        if !needed.insert(v) || inputs.contains(&v) {
            continue;
        }
        if let Source::Node(from, _) = graph.value(v)?.source {
            open.extend(&graph.node(from)?.inputs);
        }
    }
    let mut part = Graph::new();
    let mut own: HashMap<ValueId, ValueId> = HashMap::new();
    for &v in inputs {
        let value = graph.value(v)?;
        own.insert(v, part.add_input(&value.name, value.fact.clone())?);
    }
    for (v, value) in graph.values() {
        if !needed.contains(&v) || own.contains_key(&v) {
            continue;
        }
        match value.source {
            Source::Param(role) => {
                own.insert(v, part.add_param(&value.name, value.fact.clone(), role)?);
            }
            Source::Const => {
                if let Some(array) = value.constant() {
                    own.insert(v, part.add_const(&value.name, array.clone())?);
                }
            }
            Source::Input => {
                return Err(crate::Error::Other(format!("`{}` is an input that is not given", value.name)));
            }
            Source::Node(..) => {}
        }
    }
    for id in graph.order()? {
        let node = graph.node(id)?;
        let whole = node.outputs.iter().all(|v| own.contains_key(v));
        if whole || !node.outputs.iter().any(|v| needed.contains(v) && !own.contains_key(v)) {
            continue;
        }
        let read: Vec<ValueId> = node.inputs.iter().filter_map(|v| own.get(v).copied()).collect();
        if read.len() != node.inputs.len() {
            let message = format!("`{}` reads what is not in the part", node.name);
            return Err(crate::Error::Other(message));
        }
        let mut names = Vec::with_capacity(node.outputs.len());
        for &v in &node.outputs {
            // An output that is an input of the part, too, is not computed here.
            let name = &graph.value(v)?.name;
            names.push(if own.contains_key(&v) { format!("{name}:own") } else { name.clone() });
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let made = part.add_node_named(&node.name, node.op.clone(), &read, &names)?;
        for (&v, m) in node.outputs.iter().zip(made) {
            own.entry(v).or_insert(m);
        }
    }
    for &v in outputs {
        let name = graph.value(v)?.name.clone();
        let made = own.get(&v).copied();
        let made = made.ok_or_else(|| crate::Error::Other(format!("`{name}` is not in the part")))?;
        part.add_output(&name, made)?;
    }
    part.verify()?;
    Ok(part)
}

//! Layers with learned filters: what they read, what they compute, and where channels are in both.

use std::collections::HashSet;

use occam_graph::{Graph, Node, NodeId, Op, Source, ValueId};

use crate::importance::axes::{Part, part};

/// A convolution or a fully connected layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layer {
    pub node: NodeId,
    /// Which of the node's inputs it reads channels from.
    pub slot: usize,
    /// That value, with the axis of its channels.
    pub input: (ValueId, usize),
    /// What it computes, with the axis of its channels.
    pub output: (ValueId, usize),
    /// Whether it is fully connected.
    pub linear: bool,
}

/// All layers of `graph` whose filters are parameters and whose operand is not, in order of their nodes.
pub(crate) fn layers(graph: &Graph) -> Vec<Layer> {
    graph.nodes().filter_map(|(id, node)| layer(graph, id, node)).collect()
}

/// Those of [`layers`] on which an output of the graph depends.
pub(crate) fn live_layers(graph: &Graph) -> Vec<Layer> {
    let mut live = HashSet::new();
    let mut next: Vec<ValueId> = graph.outputs().iter().map(|(_, v)| *v).collect();
    while let Some(value) = next.pop() {
        if let Ok(Source::Node(id, _)) = graph.value(value).map(|v| v.source)
            && live.insert(id)
            && let Ok(node) = graph.node(id)
        {
            next.extend(&node.inputs);
        }
    }
    layers(graph).into_iter().filter(|l| live.contains(&l.node)).collect()
}

fn layer(graph: &Graph, id: NodeId, node: &Node) -> Option<Layer> {
    let learned = |v: &ValueId| graph.value(*v).is_ok_and(|v| matches!(v.source, Source::Param(_)));
    let weight = (0..node.inputs.len()).find(|&i| {
        matches!(part(node, i), Some(Part::Weight { .. })) && node.inputs.get(i).is_some_and(learned)
    })?;
    // Of a product whose first factor is learned, columns of the second are read.
    let first = weight == 0;
    let slot = usize::from(first);
    let (input, output) = (*node.inputs.get(slot)?, *node.outputs.first()?);
    if learned(&input) {
        return None;
    }
    let linear = match &node.op {
        Op::Onnx(op) => !op.op_type.contains("Conv"),
        op => !matches!(op, Op::Conv(_)),
    };
    let axis = |v: ValueId| {
        let rank = graph.value(v).ok()?.fact.rank();
        let axis = match (linear, first) {
            (false, _) => 1,
            (true, false) => rank.checked_sub(1)?,
            (true, true) => rank.checked_sub(2)?,
        };
        (axis < rank).then_some(axis)
    };
    Some(Layer { node: id, slot, input: (input, axis(input)?), output: (output, axis(output)?), linear })
}

#[cfg(test)]
mod tests {
    use super::*;
    use occam_graph::ops::examples;

    #[test]
    fn layers_of_a_classifier() {
        let graph = examples::small_classifier().unwrap();
        let name = |v: ValueId| graph.value(v).unwrap().name.clone();
        let found: Vec<(String, String, usize, bool)> = layers(&graph)
            .iter()
            .map(|l| (graph.node(l.node).unwrap().name.clone(), name(l.input.0), l.input.1, l.linear))
            .collect();
        let wanted = [("backbone.conv", "input", 1, false), ("fc", "flatten", 1, true)];
        assert_eq!(found, wanted.map(|(a, b, axis, linear)| (a.to_owned(), b.to_owned(), axis, linear)));
    }
}

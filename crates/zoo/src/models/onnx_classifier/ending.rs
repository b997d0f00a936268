//! The activation that a file ends in.

use occam_graph::ops::Activation;
use occam_graph::{Graph, NodeId, Op, Patch, Source, ValueId};

use crate::Result;
use crate::error::refuse;

/// The last node of a file, which makes probabilities of scores. Losses take scores, so training does without it.
#[derive(Debug, Clone)]
pub(super) struct Ending {
    node: String,
    op: Op,
}

impl Ending {
    /// Takes it off the graph, where there is one; the output keeps its name.
    ///
    /// # Errors
    /// It is not over the classes.
    pub fn cut(graph: &mut Graph) -> Result<Option<Self>> {
        let Some((id, scores, output)) = last(graph)? else { return Ok(None) };
        let node = graph.node(id)?;
        let ending = Self { node: node.name.clone(), op: node.op.clone() };
        let mut patch = Patch::new("without_softmax");
        patch.replace(output, scores);
        patch.remove(id);
        patch.apply(graph)?;
        Ok(Some(ending))
    }

    /// Puts it back.
    ///
    /// # Errors
    /// The graph has not one output.
    pub fn put_back(&self, graph: &mut Graph) -> Result<()> {
        let [(_, scores)] = graph.outputs() else { return refuse("a classifier gives one output") };
        let scores = *scores;
        let mut patch = Patch::new("with_softmax");
        let output = patch.node(&self.node, self.op.clone(), [scores]);
        patch.replace(scores, output);
        Ok(patch.apply(graph)?)
    }
}

/// The node, what it reads, and the output that it gives.
fn last(graph: &Graph) -> Result<Option<(NodeId, ValueId, ValueId)>> {
    let [(_, output)] = graph.outputs() else { return Ok(None) };
    let Source::Node(id, 0) = graph.value(*output)?.source else { return Ok(None) };
    let node = graph.node(id)?;
    let [x] = node.inputs.as_slice() else { return Ok(None) };
    let rank = graph.value(*x)?.fact.rank();
    let axis = match &node.op {
        Op::Softmax(softmax) => softmax.axis,
        Op::Activation(Activation::Sigmoid) => 1,
        Op::Onnx(op) if op.op_type == "LogSoftmax" || op.op_type == "Softmax" => {
            // Before version 13 all axes from this one on were one.
            let default = if op.version < 13 { 1 } else { -1 };
            occam_graph::onnx::axis_of(op.int("axis")?.unwrap_or(default), rank)?
        }
        _ => return Ok(None),
    };
    let read = graph.readers(*output).is_empty() && graph.readers(*x).len() == 1;
    if rank != 2 || !read {
        return Ok(None);
    }
    if axis != 1 {
        return refuse(format!("node `{}` is a softmax over images, not over classes", node.name));
    }
    Ok(Some((id, *x, *output)))
}

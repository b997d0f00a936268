//! What stands between two layers.

use occam_graph::ops::{Activation, PoolKind};
use occam_graph::{Dim, Graph, NodeId, Op};

use super::{Layer, sole_reader};
use crate::Result;

/// Two layers, and the nodes between them through which a positive factor of a channel passes.
#[derive(Debug, Clone)]
pub(super) struct Chain {
    pub(super) second: NodeId,
    /// Nodes between, in order.
    pub(super) between: Vec<NodeId>,
    /// Whether one clips at 6.
    pub(super) relu6: bool,
    /// Inputs of the second layer that a channel of the first becomes: more than one after flattening an image.
    pub(super) repeat: usize,
    /// Whether a pool between adds zeros of a padding.
    pub(super) padded: bool,
    /// Whether what is below 0 passes in part.
    pub(super) leaky: bool,
    /// Whether there is an activation.
    pub(super) active: bool,
}

/// The chain behind a layer, or why there is none.
pub(super) fn chain(graph: &Graph, first: &Layer) -> Result<Result<Chain, String>> {
    let mut found = Chain {
        second: first.node,
        between: Vec::new(),
        relu6: false,
        repeat: 1,
        padded: false,
        leaky: false,
        active: false,
    };
    let mut at = first.y;
    loop {
        let Some((id, slot)) = sole_reader(graph, at) else {
            let name = &graph.value(at)?.name;
            return Ok(Err(format!("`{name}` has not exactly one reader")));
        };
        let node = graph.node(id)?;
        match &node.op {
            Op::Conv(_) | Op::Linear(_) if slot == 0 => {
                found.second = id;
                return Ok(Ok(found));
            }
            Op::Activation(Activation::Relu) => found.active = true,
            Op::Activation(Activation::LeakyRelu { slope }) if *slope >= 0.0 => {
                (found.active, found.leaky) = (true, true);
            }
            Op::Activation(Activation::Relu6) => (found.active, found.relu6) = (true, true),
            Op::Pool(pool) => {
                let counted = matches!(pool.kind, PoolKind::Average { count_include_pad: true });
                found.padded |= counted && pool.padding != [0, 0];
            }
            Op::GlobalAvgPool(_) | Op::Dropout(_) => {}
            Op::Flatten(flatten) if flatten.axis == 1 && first.conv.is_some() => {
                let fact = &graph.value(at)?.fact;
                let sizes: Option<Vec<usize>> = fact.shape.iter().skip(2).map(Dim::known).collect();
                match sizes {
                    Some(sizes) => found.repeat = sizes.iter().product(),
                    None => return Ok(Err(format!("`{}` joins axes of open size", node.name))),
                }
            }
            other => {
                let kind = other.family().name();
                return Ok(Err(format!(
                    "`{}` behind it is {kind}, through which factors do not pass",
                    node.name
                )));
            }
        }
        let &[y] = node.outputs.as_slice() else {
            return Ok(Err(format!("`{}` gives several values", node.name)));
        };
        found.between.push(id);
        at = y;
    }
}

/// Calls `f` with the index of an input channel (of all groups) and each run of weights that multiply it.
pub(super) fn each_input(layer: &Layer, w: &mut [f32], mut f: impl FnMut(usize, usize, &mut [f32])) {
    let (inputs, taps) = (layer.inputs().max(1), layer.taps().max(1));
    let per_group = (layer.outputs() / layer.groups()).max(1);
    for (i, run) in w.chunks_mut(taps).enumerate() {
        let (output, input) = (i / inputs, i % inputs);
        f(output / per_group * inputs + input, output, run);
    }
}

//! The small static model that follows from a selection: weights are sliced, nodes follow, no masks are left.

mod cuts;
mod nodes;
mod params;

use occam_graph::{Graph, Op, Patch, Source, Weights};

use cuts::Cuts;
pub use cuts::zeroed;
pub use params::{Kept, kept, slice, spread};

use crate::{Error, Result, Selection, Trace};

/// `graph` with `weights` without the channels that `selection` does not keep.
///
/// Names of nodes, values, inputs and outputs stay; parameters and constants lose the elements of the channels that go;
/// attributes and shape operands that name sizes are adapted. Every fact of the result is checked to be that of `graph`
/// less the channels that went.
///
/// # Errors
/// The weights are not those of the graph, or a node cannot follow: the error names it.
pub fn shrink(
    graph: &Graph,
    weights: &Weights,
    trace: &Trace,
    selection: &Selection,
) -> Result<(Graph, Weights)> {
    let cuts = Cuts::of(graph, trace, selection)?;
    let mut small = weights.clone();
    for (value, axes) in cuts.by_value() {
        let v = graph.value(value)?;
        if let Source::Param(_) = v.source {
            let Some(array) = weights.get(&v.name) else { return Err(Error::Weights(v.name.clone())) };
            if v.fact.known_shape().as_deref() != Some(array.shape()) {
                return Err(Error::Weights(v.name.clone()));
            }
            small.insert(v.name.clone(), cuts::sliced(array, &axes)?);
        }
    }
    Ok((narrowed(graph, &cuts)?, small))
}

/// As [`shrink`], without weights.
///
/// # Errors
/// A node cannot follow: the error names it.
pub fn narrow(graph: &Graph, trace: &Trace, selection: &Selection) -> Result<Graph> {
    narrowed(graph, &Cuts::of(graph, trace, selection)?)
}

fn narrowed(graph: &Graph, cuts: &Cuts) -> Result<Graph> {
    let mut small = graph.clone();
    for (value, axes) in cuts.by_value() {
        let v = graph.value(value)?;
        match v.source {
            Source::Param(_) => small.set_fact(value, cuts.fact(graph, value)?)?,
            Source::Const => {
                if let Some(array) = v.constant() {
                    small.set_const(value, cuts::sliced(array, &axes)?)?;
                }
            }
            Source::Input | Source::Node(..) => {}
        }
    }
    let mut patch = Patch::new("shrink");
    for id in graph.order()? {
        let node = graph.node(id)?;
        if node.inputs.iter().chain(&node.outputs).any(|&v| cuts.touches(v)) {
            nodes::follow(graph, &mut small, id, cuts, &mut patch)?;
        }
    }
    if patch.is_empty() {
        small.infer()?;
    } else {
        patch.apply(&mut small)?;
    }
    check(graph, &small, cuts)?;
    Ok(small)
}

/// Refuses a result whose sizes are not those of `graph` less what was cut.
fn check(graph: &Graph, small: &Graph, cuts: &Cuts) -> Result<()> {
    for (_, node) in graph.nodes() {
        for &v in &node.outputs {
            let (wanted, found) = (cuts.fact(graph, v)?, &small.value(v)?.fact);
            if wanted.rank() != found.rank() || !wanted.compatible(found) {
                let message = format!("its result is {found} in place of {wanted}");
                return Err(Error::Shrink { node: node.name.clone(), message });
            }
        }
    }
    Ok(())
}

/// Whether `op` is a convolution with a weight `[_, 1, ..]`, of which each channel is a group.
fn is_depthwise(op: &Op, weight: Option<&occam_graph::Fact>) -> bool {
    let groups = match op {
        Op::Conv(conv) => conv.groups,
        Op::Onnx(op) => op.size("group").ok().flatten().unwrap_or(1),
        _ => 1,
    };
    groups > 1 && weight.and_then(|w| w.shape.get(1)).and_then(occam_graph::Dim::known) == Some(1)
}

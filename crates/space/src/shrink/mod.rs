//! The static model at other widths: weights are sliced or extended, nodes follow, no masks are left.

mod cuts;
mod expand;
mod nodes;
mod params;

use occam_graph::{DType, Graph, Op, Patch, Source, ValueId, Weights};

use cuts::Cuts;
pub use cuts::zeroed;
pub use expand::expand;
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
    resize(graph, weights, &Cuts::of(graph, trace, selection)?, &|_| Ok(Fill::Zero))
}

/// As [`shrink`], without weights.
///
/// # Errors
/// A node cannot follow: the error names it.
pub fn narrow(graph: &Graph, trace: &Trace, selection: &Selection) -> Result<Graph> {
    resized(graph, &Cuts::of(graph, trace, selection)?, &|_| Ok(Fill::Zero))
}

/// 1.0 as IEEE's half precision has it.
const ONE_F16: u16 = 0x3c00;
/// 1.0 as `bfloat16`, the upper half of an `f32`.
const ONE_BF16: u16 = 0x3f80;

/// What new elements are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fill {
    Zero,
    One,
}

impl Fill {
    /// One element of `dtype`.
    fn bytes(self, dtype: DType) -> Vec<u8> {
        match (self, dtype) {
            (Self::One, DType::F32) => 1f32.to_le_bytes().to_vec(),
            (Self::One, DType::F64) => 1f64.to_le_bytes().to_vec(),
            (Self::One, DType::F16) => ONE_F16.to_le_bytes().to_vec(),
            (Self::One, DType::BF16) => ONE_BF16.to_le_bytes().to_vec(),
            _ => vec![0; dtype.size()],
        }
    }
}

/// `graph` with `weights` after what `cuts` says; new elements of a value are what `fill` says.
fn resize(
    graph: &Graph,
    weights: &Weights,
    cuts: &Cuts,
    fill: &dyn Fn(ValueId) -> Result<Fill>,
) -> Result<(Graph, Weights)> {
    let mut other = weights.clone();
    for (value, axes) in cuts.by_value() {
        let v = graph.value(value)?;
        if let Source::Param(_) = v.source {
            let Some(array) = weights.get(&v.name) else { return Err(Error::Weights(v.name.clone())) };
            if v.fact.known_shape().as_deref() != Some(array.shape()) {
                return Err(Error::Weights(v.name.clone()));
            }
            let fill = fill(value)?.bytes(array.dtype());
            other.insert(v.name.clone(), cuts::sliced(array, &axes, &fill)?);
        }
    }
    Ok((resized(graph, cuts, fill)?, other))
}

/// `graph` after what `cuts` says.
fn resized(graph: &Graph, cuts: &Cuts, fill: &dyn Fn(ValueId) -> Result<Fill>) -> Result<Graph> {
    let mut other = graph.clone();
    for (value, axes) in cuts.by_value() {
        let v = graph.value(value)?;
        match v.source {
            Source::Param(_) => other.set_fact(value, cuts.fact(graph, value)?)?,
            Source::Const => {
                if let Some(array) = v.constant() {
                    let fill = fill(value)?.bytes(array.dtype());
                    other.set_const(value, cuts::sliced(array, &axes, &fill)?)?;
                }
            }
            Source::Input | Source::Node(..) => {}
        }
    }
    let mut patch = Patch::new("resize");
    for id in graph.order()? {
        let node = graph.node(id)?;
        if node.inputs.iter().chain(&node.outputs).any(|&v| cuts.touches(v)) {
            nodes::follow(graph, &mut other, id, cuts, &mut patch)?;
        }
    }
    if patch.is_empty() {
        other.infer()?;
    } else {
        patch.apply(&mut other)?;
    }
    check(graph, &other, cuts)?;
    Ok(other)
}

/// Refuses a result whose sizes are not those of `graph` after what `cuts` says.
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

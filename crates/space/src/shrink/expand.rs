//! Models with more channels.

use std::collections::HashSet;

use occam_graph::{Graph, Op, Source, ValueId, Weights};

use super::cuts::Cuts;
use super::{Fill, resize};
use crate::{Error, Result, Trace};

/// `graph` with `weights` where units have as many channels as `widths` says, at least as many as they have.
///
/// New channels come after those of their unit, and compute 0: their filters and biases, and what reads them, are 0; scales
/// and variances of normalizations are 1. So outputs stay as they were, and new channels can learn. (MMRazor's
/// `expand_static_model` with `zero_weight=True`.)
///
/// # Errors
/// A unit would lose channels, or must stay as it is, or a layer takes mean and variance over its channels, which more of
/// them would change; its weights are stored as integers, which new channels would need scales for; a node cannot follow; or
/// the weights are not those of the graph.
pub fn expand(graph: &Graph, weights: &Weights, trace: &Trace, widths: &[usize]) -> Result<(Graph, Weights)> {
    for (unit, &width) in trace.units.iter().zip(widths) {
        let name = unit.name.clone();
        if width < unit.channels {
            return Err(Error::Width { name, channels: unit.channels, asked: width.to_string() });
        }
        if width > unit.channels {
            if let Some(why) = &unit.kept_by {
                return Err(Error::Fixed { name, why: why.to_string() });
            }
            if !unit.exact {
                let why = "a layer takes mean and variance over its channels, which new ones would change";
                return Err(Error::Fixed { name, why: why.into() });
            }
        }
    }
    let ones = ones(graph)?;
    let fill = |value: ValueId| -> Result<Fill> {
        let v = graph.value(value)?;
        let learned = matches!(v.source, Source::Param(_) | Source::Const);
        if learned && !v.fact.dtype.is_float() {
            let reader = graph.nodes().find(|(_, n)| n.inputs.contains(&value));
            let node = reader.map_or_else(|| v.name.clone(), |(_, n)| n.name.clone());
            let message = format!("`{}` holds integers, which new channels would need scales for", v.name);
            return Err(Error::Shrink { node, message });
        }
        Ok(if ones.contains(&value) { Fill::One } else { Fill::Zero })
    };
    resize(graph, weights, &Cuts::growth(graph, trace, widths)?, &fill)
}

/// Weights and constants that something is divided or multiplied by for itself: scales and variances.
fn ones(graph: &Graph) -> Result<HashSet<ValueId>> {
    let mut found = HashSet::new();
    for id in graph.order()? {
        let node = graph.node(id)?;
        let slots: &[usize] = match &node.op {
            Op::BatchNorm(_) => &[1, 4],
            Op::Onnx(op) => match op.op_type.as_str() {
                "BatchNormalization" => &[1, 4],
                "QuantizeLinear" | "DequantizeLinear" | "Div" => &[1],
                _ => &[],
            },
            _ => &[],
        };
        for &slot in slots {
            let at = match &node.op {
                Op::Onnx(op) => op.position(slot),
                _ => Some(slot),
            };
            found.extend(at.and_then(|i| node.inputs.get(i)).copied());
        }
    }
    Ok(found)
}

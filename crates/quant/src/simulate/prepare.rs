//! What ONNX Runtime changes before it looks for operators on integers.

use occam_graph::onnx::Onnx;
use occam_graph::{Data, Graph, NodeId, Op, Patch, Source, ValueId, Weights, Wire};

use super::view::{Pair, View, own};
use crate::{Error, Result};

/// Weights that are quantized in the graph become constants.
///
/// # Errors
/// A weight does not fit its scale.
pub(super) fn fold(graph: &mut Graph, weights: &Weights) -> Result<()> {
    let view = View::new(graph, weights);
    let mut found = Vec::new();
    for id in graph.order()? {
        let Some(q) = view.quantize(id) else { continue };
        let node = graph.node(id)?;
        let arrays: Option<Vec<_>> = node.inputs.iter().map(|&v| view.known(v).cloned()).collect();
        let Some(arrays) = arrays else { continue };
        let y = occam_interp::evaluate(&q.op, &arrays).map_err(|e| Error::Other(e.to_string()))?;
        found.extend(y.into_iter().next().map(|y| (id, q.y, y)));
    }
    let mut patch = Patch::new("quantized weights");
    for (id, y, array) in found {
        let name = free(graph, &format!("{}_elements", graph.value(y)?.name));
        let new = graph.add_const(&name, array)?;
        patch.replace(y, new);
        patch.remove(id);
    }
    if !patch.is_empty() {
        patch.apply(graph)?;
    }
    Ok(())
}

/// A name that no value has.
pub(super) fn free(graph: &Graph, name: &str) -> String {
    let mut free = name.to_owned();
    let mut n = 1;
    while graph.find(&free).is_some() {
        n += 1;
        free = format!("{name}_{n}");
    }
    free
}

/// Whether the rounding by `q` keeps to the range of a `Relu` or a `Clip` by itself.
fn redundant(view: &View<'_>, node: &occam_graph::Node, op: &Onnx, q: &Pair) -> Option<bool> {
    let (scale, zero) = (view.scale(q)?, view.zero(q)?);
    let (low, high) = match view.known(q.zero?)?.data() {
        Data::U8(_) => (0, 255),
        Data::I8(_) => (-128, 127),
        Data::U16(_) => (0, 65535),
        Data::I16(_) => (-32768, 32767),
        _ => return None,
    };
    match op.op_type.as_str() {
        "Relu" => Some(zero == low),
        "Clip" => {
            let bound = |slot: usize, name: &str, none: f32| match View::operand(node, op, slot) {
                Some(v) => view.known(v)?.as_f32().ok()?.first().copied(),
                None => Some(op.float(name).ok()?.unwrap_or(none)),
            };
            let (min, max) = (bound(1, "min", f32::MIN)?, bound(2, "max", f32::MAX)?);
            let rounded = |x: f32| (x / scale).round_ties_even() as i64 + i64::from(zero);
            // The rule for fused operators, or that for a `Clip` by itself.
            let by_integers = rounded(min) <= i64::from(low) && rounded(max) >= i64::from(high);
            let (lower, upper) = (scale * (low - zero) as f32, scale * (high - zero) as f32);
            Some(by_integers || (min - lower <= f32::EPSILON && upper - max <= f32::EPSILON))
        }
        _ => Some(false),
    }
}

/// Removes `Relu` and `Clip` where the rounding that alone follows them keeps to their range by itself.
///
/// # Errors
/// The graph breaks a rule.
pub(super) fn drop_clips(graph: &mut Graph, weights: &Weights) -> Result<()> {
    let view = View::new(graph, weights);
    let mut patch = Patch::new("clips that rounding does");
    for (id, node) in graph.nodes() {
        let (Some(op), &[y]) = (own(node), node.outputs.as_slice()) else { continue };
        let (Some(q), Some(&x)) = (view.quantized(y), node.inputs.first()) else { continue };
        if redundant(&view, node, op, &q) == Some(true) {
            patch.rewire(q.node, 0, x);
            patch.remove(id);
        }
    }
    if !patch.is_empty() {
        patch.apply(graph)?;
    }
    Ok(())
}

/// Whether rounding may change places with an operator, which moves or picks elements.
fn moves(op: &Onnx) -> bool {
    match op.op_type.as_str() {
        "MaxPool" => op.version >= 12,
        "Reshape" | "Transpose" | "Squeeze" | "Unsqueeze" | "Slice" => true,
        _ => false,
    }
}

/// Carries rounding over operators that move elements: forward from a `DequantizeLinear`, backward from a `QuantizeLinear`.
///
/// # Errors
/// The graph breaks a rule.
pub(super) fn propagate(graph: &mut Graph, weights: &Weights) -> Result<()> {
    // Each round carries rounding over one operator at least.
    for _ in 0..graph.nodes().count() {
        let view = View::new(graph, weights);
        let Some((v, like)) = next(&view) else { return Ok(()) };
        let name = graph.value(v)?.name.clone();
        let mut patch = Patch::new("rounding carried over");
        let q = free_node(graph, &format!("{name}_q"));
        let dq = free_node(graph, &format!("{name}_dq"));
        let inputs = |x: Wire| -> Vec<Wire> {
            [Some(x), Some(like.scale.into()), like.zero.map(Wire::from)].into_iter().flatten().collect()
        };
        let op = |name: &str| Onnx {
            op_type: name.into(),
            inputs: vec![true; inputs(v.into()).len()],
            ..like.op.clone()
        };
        let rounded = patch.node(&q, op("QuantizeLinear"), inputs(v.into()));
        let back = patch.node(&dq, op("DequantizeLinear"), inputs(rounded));
        patch.replace(v, back);
        patch.apply(graph)?;
    }
    Ok(())
}

fn free_node(graph: &Graph, name: &str) -> String {
    let mut free = free(graph, name);
    while graph.nodes().any(|(_, n)| n.name == free) {
        free.push('_');
    }
    free
}

/// A value that is to be rounded, and like what.
fn next(view: &View<'_>) -> Option<(ValueId, Pair)> {
    for (id, node) in view.graph.nodes() {
        let (Some(op), &[y, ..]) = (own(node), node.outputs.as_slice()) else { continue };
        if !moves(op) || node.outputs.len() != 1 {
            continue;
        }
        let Some(&x) = node.inputs.first() else { continue };
        // Forward: what it reads is rounded for it alone, and what it gives is not rounded.
        if let Some(dq) = view.dequantized(x)
            && view.only_reader(x) == Some(id)
            && view.scale(&dq).is_some()
            && view.zero(&dq).is_some()
            && !view.some_quantized(y)
            && (!view.readers(y).is_empty() || view.is_output(y))
        {
            return Some((y, dq));
        }
        // Backward: what it gives is rounded alone, and what it reads is read by it alone and not rounded.
        if let Some(q) = view.quantized(y)
            && view.scale(&q).is_some()
            && view.zero(&q).is_some()
            && view.only_reader(x) == Some(id)
            && view.dequantized(x).is_none()
            && matches!(view.graph.value(x).ok()?.source, Source::Node(..) | Source::Input)
        {
            return Some((x, q));
        }
    }
    None
}

/// Removes nodes whose results nobody reads.
///
/// # Errors
/// The graph breaks a rule.
pub(super) fn sweep(graph: &mut Graph) -> Result<()> {
    let order = graph.order()?;
    let mut alive: std::collections::HashSet<ValueId> = graph.outputs().iter().map(|(_, v)| *v).collect();
    let mut dead: Vec<NodeId> = Vec::new();
    for &id in order.iter().rev() {
        let node = graph.node(id)?;
        if node.outputs.iter().any(|v| alive.contains(v)) || !matches!(node.op, Op::Onnx(_)) {
            alive.extend(node.inputs.iter().copied());
        } else {
            dead.push(id);
        }
    }
    if dead.is_empty() {
        return Ok(());
    }
    let mut patch = Patch::new("unread nodes");
    dead.into_iter().for_each(|id| patch.remove(id));
    Ok(patch.apply(graph)?)
}

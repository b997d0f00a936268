//! Which constants are parameters.

use occam_graph::{Array, Graph, Op, Role, Source, ValueId, Weights};

use super::origin::Defaults;
use crate::Result;

/// Operators with learned operands: operator, first and last ONNX input that is one, and whether it may be a buffer.
const LEARNED: &[(&str, usize, usize)] = &[
    ("Conv", 1, 2),
    ("ConvTranspose", 1, 2),
    ("DeformConv", 1, 3),
    ("Gemm", 0, 2),
    ("MatMul", 0, 1),
    ("BatchNormalization", 1, 4),
    ("InstanceNormalization", 1, 2),
    ("LayerNormalization", 1, 2),
    ("GroupNormalization", 1, 2),
    ("RMSNormalization", 1, 1),
    ("PRelu", 1, 1),
    ("LSTM", 1, 3),
    ("GRU", 1, 3),
    ("RNN", 1, 3),
    ("Add", 0, 1),
    ("Sub", 0, 1),
    ("Mul", 0, 1),
    ("Div", 0, 1),
    ("Gather", 0, 0),
    ("Expand", 0, 0),
    ("QuantizeLinear", 0, 0),
];

/// What adds, subtracts, multiplies and divides.
const ARITHMETIC: &[&str] = &["Add", "Sub", "Mul", "Div"];

/// Makes the constants that layers learn parameters: floats with at least one axis and two elements, or more than one
/// axis, where an operator of the table reads them. What arithmetic does to the inputs themselves prepares them, and what
/// adds 0 or at most −100 to each element is a mask: neither was learned.
///
/// Floats that the caller may replace are parameters too: nothing is computed from their elements ahead of running.
pub(super) fn parameters(graph: &mut Graph, defaults: &Defaults) -> Result<Weights> {
    let mut found: Vec<(ValueId, Role)> = Vec::new();
    for (_, node) in graph.nodes() {
        let Op::Onnx(op) = &node.op else { continue };
        let Some(&(name, first, last)) = LEARNED.iter().find(|(name, ..)| *name == op.op_type) else {
            continue;
        };
        for slot in first..=last {
            let Some(&v) = op.position(slot).and_then(|i| node.inputs.get(i)) else { continue };
            let value = graph.value(v)?;
            let Some(array) = value.constant() else { continue };
            let arithmetic = ARITHMETIC.contains(&name);
            let others = || node.inputs.iter().copied().filter(|&other| other != v);
            let computed = || {
                others().any(|v| graph.value(v).is_ok_and(|v| v.source != Source::Const))
                    && !others().any(|v| is_prepared(graph, v))
            };
            let layer = !arithmetic || (array.len() > 1 && computed() && !is_mask(array));
            if value.source == Source::Const && array.dtype().is_float() && !array.shape().is_empty() && layer
            {
                let statistic = name == "BatchNormalization" && slot > 2;
                found.push((v, if statistic { Role::Buffer } else { Role::Weight }));
            }
        }
    }
    for name in defaults.keys() {
        if let Some(v) = graph.find(name)
            && graph.value(v)?.constant().is_some_and(|array| array.dtype().is_float())
            && !found.iter().any(|(known, _)| *known == v)
        {
            found.push((v, Role::Buffer));
        }
    }
    // In the file's order, once each.
    found.sort_by_key(|(v, _)| v.index());
    found.dedup_by_key(|(v, _)| *v);
    let mut weights = Weights::new();
    for (v, role) in found {
        let name = graph.value(v)?.name.clone();
        weights.insert(name, graph.promote(v, role)?);
    }
    Ok(weights)
}

/// Whether a value is an input, or what arithmetic with constants, and moving elements, makes of one.
fn is_prepared(graph: &Graph, mut v: ValueId) -> bool {
    const MOVES: &[&str] = &["Cast", "Identity", "Transpose", "Unsqueeze"];
    loop {
        let id = match graph.value(v).map(|v| v.source) {
            Ok(Source::Input) => return true,
            Ok(Source::Node(id, _)) => id,
            _ => return false,
        };
        let Ok(node) = graph.node(id) else { return false };
        let Op::Onnx(op) = &node.op else { return false };
        if !ARITHMETIC.contains(&op.op_type.as_str()) && !MOVES.contains(&op.op_type.as_str()) {
            return false;
        }
        let fixed = |v: ValueId| graph.value(v).is_ok_and(|v| v.source == Source::Const);
        let mut computed = node.inputs.iter().copied().filter(|&v| !fixed(v));
        match (computed.next(), computed.next()) {
            (Some(only), None) => v = only,
            _ => return false,
        }
    }
}

/// Whether a constant, added to scores, only keeps some of them from counting.
fn is_mask(array: &Array) -> bool {
    let masks = |x: f32| x <= -100.0;
    array.to_f32().is_ok_and(|a| {
        a.as_f32().is_ok_and(|v| v.iter().any(|&x| masks(x)) && v.iter().all(|&x| x == 0.0 || masks(x)))
    })
}

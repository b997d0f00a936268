//! Which constants are parameters.

use occam_graph::{Graph, Op, Role, Source, ValueId, Weights};

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
];

/// Makes the constants that layers learn parameters: floats with at least one axis and two elements, or more than one
/// axis, where an operator of the table reads them.
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
            let layer = !matches!(name, "Add" | "Sub" | "Mul" | "Div") || array.len() > 1;
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

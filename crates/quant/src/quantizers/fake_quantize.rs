//! From a graph that rounds to one with OpenVINO's `FakeQuantize`.

use occam_graph::onnx::{Attribute, OPENVINO, Onnx};
use occam_graph::{Array, Graph, Op, Patch, Weights};

use crate::placement::quants;
use crate::{Error, Result};

/// The graph with a `FakeQuantize` of OpenVINO in place of each node that rounds: `levels = high − low + 1`, and as bounds what the
/// least and the largest integer stand for, `(low − zero_point) · scale` and `(high − zero_point) · scale`, called
/// `<value>_input_min`, `_input_max`, `_output_min` and `_output_max`. Weights stay floats in the file. As the original's
/// `OpenVinoQuantizeExportor`; OpenVINO alone reads it.
///
/// # Errors
/// A grid is missing among `weights`.
pub fn fake_quantize(graph: &Graph, weights: &Weights) -> Result<(Graph, Weights)> {
    let mut graph = graph.clone();
    let mut patch = Patch::new("fake_quantize");
    for quant in quants(&graph)? {
        let node = graph.node(quant.node)?.clone();
        let (Op::FakeQuant(op), Some(&x)) = (&node.op, node.inputs.first()) else { continue };
        if op.group.is_some() {
            return Err(Error::Other(format!("`{}` rounds groups, which a FakeQuantize cannot", quant.name)));
        }
        let grid = quant.get(&graph, weights)?;
        let rank = graph.value(x)?.fact.rank();
        let count = grid.scale.len();
        let shape: Vec<usize> = match op.axis {
            None => vec![1],
            Some(axis) => (0..rank).map(|d| if d == axis { count } else { 1 }).collect(),
        };
        let bound = |integer: i32| -> Result<Array> {
            let numbers = grid.scale.iter().zip(&grid.zero_point).map(|(s, z)| (integer - z) as f32 * s);
            Ok(Array::from_f32(shape.clone(), numbers.collect())?)
        };
        let base = quant.name.strip_suffix(".quant").unwrap_or(&quant.name).to_owned();
        let mut inputs = vec![x];
        for side in ["input", "output"] {
            for (end, integer) in [("min", op.low), ("max", op.high)] {
                inputs.push(graph.add_const(&format!("{base}_{side}_{end}"), bound(integer)?)?);
            }
        }
        let levels = i64::from(op.high) - i64::from(op.low) + 1;
        let own = Onnx { domain: OPENVINO.into(), ..Onnx::new("FakeQuantize", 1, 5) };
        patch.set_node(quant.node, own.with("levels", Attribute::Int(levels)), inputs);
    }
    patch.apply(&mut graph)?;
    let kept = graph.params().map(|(_, v)| {
        let array = weights.get(&v.name);
        let array = array.ok_or_else(|| Error::Other(format!("`{}` is not among the weights", v.name)))?;
        Ok((v.name.clone(), array.clone()))
    });
    Ok((graph.clone(), kept.collect::<Result<Weights>>()?))
}

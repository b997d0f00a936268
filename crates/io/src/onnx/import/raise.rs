//! A model that was read, for a newer version of ONNX's operator set.

use occam_graph::onnx::{Attribute, Onnx};
use occam_graph::{Array, Graph, NodeId, Op, Patch, ValueId};

use super::{Imported, OPSETS};
use crate::onnx::export::ir_version;
use crate::{Error, Result};

/// Operators with the versions that mean something else by the same node, from 8 on: an attribute became an operand, a default
/// or the meaning of a value changed. Layers of the graph that are no operators of ONNX are written for any version.
const CHANGES: &[(&str, &[i64])] = &[
    ("BatchNormalization", &[9, 14]),
    ("Clip", &[11]),
    ("DFT", &[20]),
    ("Dropout", &[12]),
    ("GridSample", &[20]),
    ("GroupNormalization", &[21]),
    ("Hardmax", &[13]),
    ("LogSoftmax", &[13]),
    ("Pad", &[11]),
    ("ReduceL1", &[18]),
    ("ReduceL2", &[18]),
    ("ReduceLogSum", &[18]),
    ("ReduceLogSumExp", &[18]),
    ("ReduceMax", &[18]),
    ("ReduceMean", &[18]),
    ("ReduceMin", &[18]),
    ("ReduceProd", &[18]),
    ("ReduceSum", &[13]),
    ("ReduceSumSquare", &[18]),
    ("Resize", &[11]),
    ("RoiAlign", &[16]),
    ("Scan", &[9]),
    ("Scatter", &[11]),
    ("Slice", &[10]),
    ("Softmax", &[13]),
    ("Split", &[13, 18]),
    ("Squeeze", &[13]),
    ("TopK", &[10]),
    ("Unsqueeze", &[13]),
    ("Upsample", &[10]),
];

/// What a node becomes: another operator, and the elements of one more operand where that has one.
type Raised = (Onnx, Option<(&'static str, Vec<i64>)>);

impl Imported {
    /// Makes it a model of version `opset` of ONNX's operator set, which is the file's own or a newer one: attributes that
    /// became operands are written as these.
    ///
    /// # Errors
    /// The version is older than the file's or is not supported, or a node means something else in it that cannot be written
    /// otherwise; the message names the node. Nothing is changed then.
    pub fn raise(&mut self, opset: i64) -> Result<()> {
        let own = self.origin.opset();
        if opset == own {
            return Ok(());
        }
        if opset < own || !OPSETS.contains(&opset) {
            let message = match opset < own {
                true => format!("{opset} is older than the file's own, {own}"),
                false => format!("{opset} is not supported; choose one up to {}", OPSETS.end()),
            };
            return Err(Error::Option { option: "opset", message });
        }
        let mut graph = self.graph.clone();
        let mut patch = Patch::new("raise");
        for id in self.graph.order()? {
            let node = self.graph.node(id)?;
            let Op::Onnx(op) = &node.op else { continue };
            if !matches!(op.domain.as_str(), "" | "ai.onnx") {
                continue;
            }
            let refuse = |message: String| Error::Option {
                option: "opset",
                message: format!("node `{}` ({}) {message}", node.name, op.op_type),
            };
            match raised(&self.graph, id, op, opset).map_err(refuse)? {
                None => {
                    let inputs = node.inputs.clone();
                    patch.set_node(id, Onnx { version: opset, ..op.clone() }, inputs);
                }
                Some((op, added)) => {
                    let mut inputs: Vec<ValueId> = node.inputs.clone();
                    if let Some((what, ints)) = added {
                        let array = Array::from_i64([ints.len()], ints)?;
                        inputs.push(constant(&mut graph, &format!("{}.{what}", node.name), array)?);
                    }
                    patch.set_node(id, op, inputs);
                }
            }
        }
        patch.apply(&mut graph)?;
        self.origin.set_opset(opset, ir_version(opset.max(15))?);
        self.graph = graph;
        Ok(())
    }
}

fn constant(graph: &mut Graph, name: &str, array: Array) -> Result<ValueId> {
    let mut free = name.to_owned();
    let mut n = 1;
    while graph.find(&free).is_some() {
        n += 1;
        free = format!("{name}_{n}");
    }
    Ok(graph.add_const(&free, array)?)
}

/// What a node becomes; none where it stays the same.
fn raised(graph: &Graph, id: NodeId, op: &Onnx, opset: i64) -> Result<Option<Raised>, String> {
    if op.attributes.values().any(|a| matches!(a, Attribute::Graph(_))) {
        return Err("holds a graph of its own, which stays as it is".into());
    }
    let changes = CHANGES.iter().find(|(name, _)| *name == op.op_type).map_or(&[][..], |(_, at)| *at);
    let Some(&first) = changes.iter().find(|&&at| op.version < at && at <= opset) else {
        return Ok(None);
    };
    let mut new = Onnx { version: opset, ..op.clone() };
    let mut moved = |name: &str| match new.attributes.shift_remove(name) {
        Some(Attribute::Ints(ints)) => Some(ints),
        _ => None,
    };
    let name = op.op_type.as_str();
    match name {
        _ if name.starts_with("Reduce") || matches!(name, "Squeeze" | "Unsqueeze") => {
            let axes = moved("axes");
            Ok(Some(with_operand(new, axes.map(|axes| ("axes", axes)))))
        }
        "Split" => {
            let sizes = if first == 13 { moved("split") } else { None };
            let given = op.inputs.get(1).copied().unwrap_or(false);
            if sizes.is_none() && !given && opset >= 18 {
                new.attributes.insert("num_outputs".into(), Attribute::Int(op.outputs.len() as i64));
            }
            Ok(Some(with_operand(new, sizes.map(|sizes| ("split", sizes)))))
        }
        "Softmax" | "LogSoftmax" | "Hardmax" => {
            let rank = graph.node(id).ok().and_then(|n| n.inputs.first().copied());
            let rank = rank.and_then(|x| graph.value(x).ok()).map_or(0, |x| x.fact.rank()) as i64;
            // All axes from this one on were one; from 13 on it is this one alone.
            let axis = op.int("axis").ok().flatten().unwrap_or(1);
            if axis != -1 && axis != rank - 1 {
                return Err(format!("is over several axes before operator set {first}"));
            }
            new.attributes.insert("axis".into(), Attribute::Int(-1));
            Ok(Some((new, None)))
        }
        // Statistics that are given are used as before.
        "BatchNormalization" if first == 14 && op.outputs.len() == 1 => Ok(None),
        _ => Err(format!("means something else from operator set {first} on")),
    }
}

/// `op` with an operand after its first one, where there is something to give.
fn with_operand(mut op: Onnx, added: Option<(&'static str, Vec<i64>)>) -> Raised {
    if added.is_some() {
        op.inputs = vec![true, true];
    }
    (op, added)
}

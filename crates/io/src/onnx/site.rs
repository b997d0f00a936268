//! The place where a family's ONNX form is written.

use occam_graph::{Array, Fact, Node};

use super::names::{Names, Shared};
use super::proto::{AttributeProto, NodeProto, TensorProto};
use super::tensor::tensor;
use super::to_i64;
use crate::{Error, Result};

/// What has been written so far.
#[derive(Debug, Default)]
pub(super) struct Target {
    /// Version of the operator set that may be used.
    pub opset: i64,
    /// Whether the version of the file wants initializers among the inputs.
    pub listed: bool,
    /// Constants that graphs in nodes do not write themselves.
    pub shared: Shared,
    pub nodes: Vec<NodeProto>,
    pub initializers: Vec<TensorProto>,
    pub values: Names,
    pub node_names: Names,
}

impl Target {
    pub fn push(
        &mut self,
        name: &str,
        op_type: &str,
        inputs: &[&str],
        outputs: &[&str],
        attributes: impl IntoIterator<Item = AttributeProto>,
    ) {
        let owned = |names: &[&str]| names.iter().map(|&n| n.to_owned()).collect();
        self.nodes.push(NodeProto {
            input: owned(inputs),
            output: owned(outputs),
            name: Some(name.into()),
            op_type: Some(op_type.into()),
            attribute: attributes.into_iter().collect(),
            ..Default::default()
        });
    }
}

/// One node of the graph, with the names of what it reads and defines in the file.
pub(super) struct Site<'a> {
    pub node: &'a Node,
    pub inputs: Vec<&'a str>,
    pub facts: Vec<&'a Fact>,
    pub outputs: Vec<&'a str>,
    pub target: &'a mut Target,
}

impl Site<'_> {
    /// The name and the fact of input `i`.
    pub fn input(&self, i: usize) -> Result<(&str, &Fact)> {
        match (self.inputs.get(i), self.facts.get(i)) {
            (Some(name), Some(fact)) => Ok((name, fact)),
            _ => Err(self.refused(format!("input {i} is missing"))),
        }
    }

    /// The error that the node has no ONNX form.
    pub fn refused(&self, message: impl Into<String>) -> Error {
        Error::Export {
            node: self.node.name.clone(),
            op: self.node.op.family().name(),
            message: message.into(),
        }
    }

    /// Writes the node as one of ONNX's, with all its inputs.
    pub fn whole(&mut self, op_type: &str, attributes: impl IntoIterator<Item = AttributeProto>) {
        self.target.push(&self.node.name, op_type, &self.inputs, &self.outputs, attributes);
    }

    /// Writes the last of several ONNX nodes: it has the node's name and outputs, and reads `inputs`.
    pub fn last(
        &mut self,
        op_type: &str,
        inputs: &[&str],
        attributes: impl IntoIterator<Item = AttributeProto>,
    ) {
        self.target.push(&self.node.name, op_type, inputs, &self.outputs, attributes);
    }

    /// Writes an ONNX node before the last and returns its output; both are called `node.suffix`.
    pub fn before(
        &mut self,
        suffix: &str,
        op_type: &str,
        inputs: &[&str],
        attributes: impl IntoIterator<Item = AttributeProto>,
    ) -> String {
        let base = format!("{}.{suffix}", self.node.name);
        let name = self.target.node_names.fresh(&base);
        let output = self.target.values.fresh(&base);
        self.target.push(&name, op_type, inputs, &[&output], attributes);
        output
    }

    /// Version of the operator set that may be used.
    pub fn opset(&self) -> i64 {
        self.target.opset
    }

    /// Writes an `f32` constant without axes called `node.suffix` and returns its name.
    pub fn number(&mut self, suffix: &str, value: f64) -> Result<String> {
        self.constant(suffix, &Array::from_f32([], vec![value as f32])?)
    }

    /// Writes a constant called `node.suffix` and returns its name.
    pub fn constant(&mut self, suffix: &str, array: &Array) -> Result<String> {
        let name = self.target.values.fresh(&format!("{}.{suffix}", self.node.name));
        self.target.initializers.push(tensor(&name, array)?);
        Ok(name)
    }
}

/// An integer attribute.
pub(super) fn int(name: &str, value: usize) -> Result<AttributeProto> {
    Ok(AttributeProto::int(name, to_i64(value)?))
}

/// An attribute of several integers.
pub(super) fn ints(name: &str, values: &[usize]) -> Result<AttributeProto> {
    let values: Vec<i64> = values.iter().map(|&v| to_i64(v)).collect::<Result<_>>()?;
    Ok(AttributeProto::ints(name, values))
}

/// A switch: 1 or 0.
pub(super) fn flag(name: &str, on: bool) -> AttributeProto {
    AttributeProto::int(name, on.into())
}

//! Operators as ONNX defines them: written as they were read.

use occam_graph::onnx::{Attribute, Onnx};
use prost::bytes::Bytes;

use super::OnnxForm;
use crate::Result;
use crate::onnx::export::subgraph;
use crate::onnx::proto::{AttributeProto, AttributeType, NodeProto};
use crate::onnx::site::Site;
use crate::onnx::tensor::tensor;

impl OnnxForm for Onnx {
    fn write(&self, at: &mut Site<'_>) -> Result<()> {
        let names = |given: &[bool], names: &[&str]| -> Vec<String> {
            let mut names = names.iter();
            let mut next = || names.next().map_or_else(String::new, |n| (*n).to_owned());
            given.iter().map(|&g| if g { next() } else { String::new() }).collect()
        };
        let mut input = names(&self.inputs, &at.inputs);
        // Values of the graph around it are read by name and are no inputs of the node.
        let captures: usize = self.captures();
        let captured = input.split_off(input.len().saturating_sub(captures));
        let mut from = 0;
        let mut attribute = Vec::with_capacity(self.attributes.len());
        for (name, value) in &self.attributes {
            let count = if let Attribute::Graph(g) = value { g.captures } else { 0 };
            let outer = captured.get(from..from + count).unwrap_or_default();
            from += count;
            attribute.push(write(name, value, outer, at)?);
        }
        let node = NodeProto {
            input,
            output: names(&self.outputs, &at.outputs),
            name: Some(at.node.name.clone()),
            op_type: Some(self.op_type.clone()),
            attribute,
            domain: (!self.domain.is_empty()).then(|| self.domain.clone()),
            ..Default::default()
        };
        at.target.nodes.push(node);
        Ok(())
    }
}

fn write(name: &str, value: &Attribute, captured: &[String], at: &mut Site<'_>) -> Result<AttributeProto> {
    let of = |r#type: AttributeType| AttributeProto {
        name: Some(name.into()),
        r#type: Some(r#type.into()),
        ..AttributeProto::default()
    };
    Ok(match value {
        Attribute::Int(n) => AttributeProto::int(name, *n),
        Attribute::Float(x) => AttributeProto::float(name, *x),
        Attribute::Ints(v) => AttributeProto::ints(name, v.iter().copied()),
        Attribute::String(s) => AttributeProto { s: Some(s.clone().into()), ..of(AttributeType::String) },
        Attribute::Floats(v) => AttributeProto { floats: v.clone(), ..of(AttributeType::Floats) },
        Attribute::Strings(v) => AttributeProto {
            strings: v.iter().cloned().map(Bytes::from).collect(),
            ..of(AttributeType::Strings)
        },
        Attribute::Tensor(a) => {
            AttributeProto { t: Some(Box::new(tensor("", a)?)), ..of(AttributeType::Tensor) }
        }
        Attribute::Graph(g) => AttributeProto {
            g: Some(Box::new(subgraph(g, captured, name, at.target)?)),
            ..of(AttributeType::Graph)
        },
    })
}

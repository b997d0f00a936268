//! ONNX's attributes.

use occam_graph::onnx::Attribute;

use super::tensor::array;
use crate::onnx::proto::{AttributeProto, AttributeType};

/// The kind of an attribute; files of the first versions leave it out.
fn kind(a: &AttributeProto) -> AttributeType {
    match a.r#type() {
        AttributeType::Undefined if a.f.is_some() => AttributeType::Float,
        AttributeType::Undefined if a.i.is_some() => AttributeType::Int,
        AttributeType::Undefined if a.s.is_some() => AttributeType::String,
        AttributeType::Undefined if a.t.is_some() => AttributeType::Tensor,
        AttributeType::Undefined if a.g.is_some() => AttributeType::Graph,
        AttributeType::Undefined if !a.floats.is_empty() => AttributeType::Floats,
        AttributeType::Undefined if !a.ints.is_empty() => AttributeType::Ints,
        AttributeType::Undefined if !a.strings.is_empty() => AttributeType::Strings,
        known => known,
    }
}

/// The value of an attribute that is no graph; none for a graph.
pub(super) fn plain(a: &AttributeProto) -> Result<Option<Attribute>, String> {
    let wrong = |message: String| format!("attribute `{}`: {message}", a.name());
    Ok(Some(match kind(a) {
        AttributeType::Float => Attribute::Float(a.f()),
        AttributeType::Int => Attribute::Int(a.i()),
        AttributeType::String => Attribute::String(a.s().to_vec()),
        AttributeType::Floats => Attribute::Floats(a.floats.clone()),
        AttributeType::Ints => Attribute::Ints(a.ints.clone()),
        AttributeType::Strings => Attribute::Strings(a.strings.iter().map(|s| s.to_vec()).collect()),
        AttributeType::Tensor => match &a.t {
            Some(t) => Attribute::Tensor(array(t).map_err(wrong)?),
            None => return Err(wrong("it has no value".into())),
        },
        AttributeType::Graph => return Ok(None),
        other => return Err(wrong(format!("values of kind {other:?} are not supported"))),
    }))
}

//! Files whose numbers have half the bits.

use std::collections::{HashMap, HashSet};

use half::{bf16, f16};
use occam_graph::{Array, Data};

use super::array;
use super::names::Names;
use super::proto::{
    AttributeProto, DataType, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, type_proto,
};
use super::tensor::tensor;
use crate::{Error, Result};

/// Types that hold a number in half the bits of `f32`.
const HALVES: [DataType; 2] = [DataType::Float16, DataType::Bfloat16];

/// Attributes that say a type in which a node gives its result.
const TYPES: [&str; 3] = ["to", "dtype", "output_dtype"];

/// What a file has in half the bits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Halves {
    /// Constants by name.
    constants: HashMap<String, DataType>,
    /// Inputs and outputs by name.
    ends: HashMap<String, DataType>,
    /// The type of constants that have no name in the file, since they were computed of others.
    others: Option<DataType>,
}

impl Halves {
    /// Makes all numbers of a model that have half the bits `f32`, and says which did.
    ///
    /// The model computes the same in higher precision. A `Cast` of a constant that does nothing any more goes.
    ///
    /// # Errors
    /// A tensor has other elements than it says.
    pub fn widen(model: &mut ModelProto) -> Result<Self> {
        let mut found = Self::default();
        let Some(graph) = &mut model.graph else { return Ok(found) };
        for value in graph.input.iter().chain(&graph.output) {
            if let Some(dtype) = elements(value).and_then(half) {
                found.ends.insert(value.name().to_owned(), dtype);
            }
        }
        let mut singles = 0;
        for t in &graph.initializer {
            match half(t.data_type()) {
                Some(dtype) => _ = found.constants.insert(t.name().to_owned(), dtype),
                None => singles += usize::from(t.data_type() == i32::from(DataType::Float)),
            }
        }
        for node in graph.node.iter().filter(|n| n.op_type() == "Constant") {
            let dtype = node.attribute.iter().find_map(|a| half(a.t.as_deref()?.data_type()));
            if let (Some(dtype), Some(name)) = (dtype, node.output.first()) {
                found.constants.insert(name.clone(), dtype);
            }
        }
        found.others = found.constants.values().next().copied().filter(|_| found.constants.len() > singles);
        let any = widen_graph(graph)?;
        for function in &mut model.functions {
            widen_nodes(&mut function.node)?;
        }
        if any {
            drop_casts(graph, &found.constants);
        }
        Ok(found)
    }

    /// Whether the file had none.
    pub fn is_empty(&self) -> bool {
        self.constants.is_empty() && self.ends.is_empty()
    }

    /// Stores the constants of a model as the file had them, and gives inputs and outputs their types back; `Cast` nodes lead
    /// to and from `f32`, in which the model computes. Of constants that the file did not have, those in `learned` are
    /// stored as most of its own.
    ///
    /// # Errors
    /// A number is too large for its type.
    pub fn narrow(&self, model: &mut ModelProto, learned: impl Fn(&str) -> bool) -> Result<()> {
        let Some(graph) = model.graph.as_mut().filter(|_| !self.is_empty()) else { return Ok(()) };
        let mut names = Names::default();
        let mut nodes = Names::default();
        for node in &graph.node {
            nodes.take(node.name());
            node.input.iter().chain(&node.output).for_each(|name| _ = names.take(name));
        }
        let mut renamed = HashMap::new();
        let mut casts = Vec::new();
        let mut cast = |from: &str, to: &str, dtype: DataType| NodeProto {
            input: vec![from.to_owned()],
            output: vec![to.to_owned()],
            name: Some(nodes.fresh(&format!("{to}.cast"))),
            op_type: Some("Cast".into()),
            attribute: vec![AttributeProto::int("to", i32::from(dtype).into())],
            ..NodeProto::default()
        };
        for t in graph.initializer.iter_mut().filter(|t| t.data_type() == i32::from(DataType::Float)) {
            let own = self.constants.get(t.name()).copied();
            let Some(dtype) = own.or(self.others.filter(|_| learned(t.name()))) else { continue };
            let name = t.name().to_owned();
            let doc = t.doc_string.take();
            *t = TensorProto { doc_string: doc, ..narrowed(&name, t, dtype)? };
            let single = names.fresh(&format!("{name}.f32"));
            casts.push(cast(&name, &single, DataType::Float));
            renamed.insert(name, single);
        }
        for value in &mut graph.input {
            let Some(&dtype) = self.ends.get(value.name()) else { continue };
            set_elements(value, dtype);
            let single = names.fresh(&format!("{}.f32", value.name()));
            casts.push(cast(value.name(), &single, DataType::Float));
            renamed.insert(value.name().to_owned(), single);
        }
        let mut last = Vec::new();
        for value in &mut graph.output {
            let Some(&dtype) = self.ends.get(value.name()) else { continue };
            set_elements(value, dtype);
            let single = names.fresh(&format!("{}.f32", value.name()));
            for output in graph.node.iter_mut().flat_map(|n| &mut n.output).filter(|o| *o == value.name()) {
                output.clone_from(&single);
            }
            last.push(cast(&single, value.name(), dtype));
            renamed.insert(value.name().to_owned(), single);
        }
        rename(&mut graph.node, &renamed);
        casts.append(&mut graph.node);
        casts.append(&mut last);
        graph.node = casts;
        Ok(())
    }
}

fn half(dtype: i32) -> Option<DataType> {
    HALVES.into_iter().find(|&h| i32::from(h) == dtype)
}

/// The element type of a value, where it is a tensor.
fn elements(value: &ValueInfoProto) -> Option<i32> {
    match value.r#type.as_ref()?.value.as_ref()? {
        type_proto::Value::TensorType(t) => t.elem_type,
        _ => None,
    }
}

fn set_elements(value: &mut ValueInfoProto, dtype: DataType) {
    if let Some(type_proto::Value::TensorType(t)) = value.r#type.as_mut().and_then(|t| t.value.as_mut()) {
        t.elem_type = Some(dtype.into());
    }
}

/// Whether anything was half.
fn widen_graph(graph: &mut GraphProto) -> Result<bool> {
    let mut any = false;
    for value in graph.input.iter_mut().chain(&mut graph.output).chain(&mut graph.value_info) {
        if elements(value).and_then(half).is_some() {
            set_elements(value, DataType::Float);
            any = true;
        }
    }
    for t in &mut graph.initializer {
        any |= widen_tensor(t)?;
    }
    Ok(any | widen_nodes(&mut graph.node)?)
}

fn widen_nodes(nodes: &mut [NodeProto]) -> Result<bool> {
    let mut any = false;
    for attribute in nodes.iter_mut().flat_map(|n| &mut n.attribute) {
        if let Some(t) = attribute.t.as_deref_mut() {
            any |= widen_tensor(t)?;
        }
        if let Some(graph) = attribute.g.as_deref_mut() {
            any |= widen_graph(graph)?;
        }
        let dtype = attribute.i.and_then(|n| half(i32::try_from(n).ok()?));
        if dtype.is_some() && TYPES.contains(&attribute.name()) {
            attribute.i = Some(i32::from(DataType::Float).into());
            any = true;
        }
    }
    Ok(any)
}

fn widen_tensor(t: &mut TensorProto) -> Result<bool> {
    if half(t.data_type()).is_none() {
        return Ok(false);
    }
    let single = read(t)?.to_f32()?;
    let (name, doc_string) = (t.name.take(), t.doc_string.take());
    *t = TensorProto { name, doc_string, ..tensor("", &single)? };
    Ok(true)
}

fn read(t: &TensorProto) -> Result<Array> {
    array(t).map_err(|message| occam_graph::Error::Array(format!("tensor `{}`: {message}", t.name())).into())
}

/// The elements in half the bits.
fn narrowed(name: &str, t: &TensorProto, dtype: DataType) -> Result<TensorProto> {
    let single = read(t)?;
    let values = single.as_f32()?;
    let data = match dtype {
        DataType::Bfloat16 => Data::BF16(values.iter().map(|&x| bf16::from_f32(x)).collect()),
        _ => Data::F16(values.iter().map(|&x| f16::from_f32(x)).collect()),
    };
    let half = Array::new(single.shape(), data)?;
    let overflows = |(a, b): (&f32, &f32)| a.is_finite() && !b.is_finite();
    if values.iter().zip(half.to_f32()?.as_f32()?).any(overflows) {
        let message = format!("it has elements beyond the largest number of its type, {}", half.dtype());
        return Err(Error::Name { name: name.into(), message });
    }
    tensor(name, &half)
}

/// Removes each `Cast` to `f32` of a constant that is `f32` by now.
fn drop_casts(graph: &mut GraphProto, constants: &HashMap<String, DataType>) {
    let single = Some(i64::from(i32::from(DataType::Float)));
    let outputs: HashSet<String> = graph.output.iter().map(|o| o.name().to_owned()).collect();
    let mut renamed = HashMap::new();
    graph.node.retain(|node| {
        let (Some(from), Some(to)) = (node.input.first(), node.output.first()) else { return true };
        let to_single = node.attribute.iter().any(|a| a.name() == "to" && a.i == single);
        let idle = node.op_type() == "Cast" && to_single && constants.contains_key(from);
        if !idle || outputs.contains(to) {
            return true;
        }
        renamed.insert(to.clone(), from.clone());
        false
    });
    rename(&mut graph.node, &renamed);
}

/// Gives nodes other names to read.
fn rename(nodes: &mut [NodeProto], renamed: &HashMap<String, String>) {
    for node in nodes {
        for name in &mut node.input {
            if let Some(other) = renamed.get(name) {
                name.clone_from(other);
            }
        }
        for graph in node.attribute.iter_mut().filter_map(|a| a.g.as_deref_mut()) {
            rename(&mut graph.node, renamed);
        }
    }
}

#[cfg(test)]
mod tests {
    use occam_graph::{DType, Weights};
    use occam_interp::Interpreter;

    use super::*;
    use crate::onnx::proto::{
        OperatorSetIdProto, TensorShapeProto, TypeProto, dimension, type_proto::Tensor as TensorType,
    };
    use crate::onnx::{ImportOptions, export_imported, import_bytes, import_model};
    use prost::Message;

    fn end(name: &str, sizes: [i64; 2], dtype: DataType) -> ValueInfoProto {
        let dim = |n: i64| dimension::Dimension {
            value: Some(dimension::Value::DimValue(n)),
            ..dimension::Dimension::default()
        };
        let tensor = TensorType {
            elem_type: Some(dtype.into()),
            shape: Some(TensorShapeProto { dim: sizes.map(dim).to_vec() }),
        };
        let value = Some(type_proto::Value::TensorType(tensor));
        let r#type = Some(TypeProto { value, denotation: None });
        ValueInfoProto { name: Some(name.into()), r#type, ..ValueInfoProto::default() }
    }

    fn node(op: &str, inputs: &[&str], output: &str, attribute: Vec<AttributeProto>) -> NodeProto {
        NodeProto {
            name: Some(format!("{output}.node")),
            op_type: Some(op.into()),
            input: inputs.iter().map(|&i| i.to_owned()).collect(),
            output: vec![output.to_owned()],
            attribute,
            ..NodeProto::default()
        }
    }

    /// `y = f16(relu(x · weight) · f32(scale))`, where everything but the products is stored in half the bits.
    fn model() -> ModelProto {
        let weight = vec![f16::from_f32(0.5), f16::from_f32(-1.0), f16::from_f32(2.0), f16::from_f32(0.25)];
        let weight = Array::new([2, 2], Data::F16(weight)).unwrap();
        let scale = Array::new([2], Data::BF16(vec![bf16::from_f32(3.0), bf16::from_f32(1.5)])).unwrap();
        let to = |dtype: DataType| vec![AttributeProto::int("to", i32::from(dtype).into())];
        let graph = GraphProto {
            name: Some("halves".into()),
            input: vec![end("x", [1, 2], DataType::Float16)],
            output: vec![end("y", [1, 2], DataType::Float16)],
            initializer: vec![tensor("weight", &weight).unwrap(), tensor("scale", &scale).unwrap()],
            node: vec![
                node("MatMul", &["x", "weight"], "product", Vec::new()),
                node("Relu", &["product"], "above", Vec::new()),
                node("Cast", &["above"], "single", to(DataType::Float)),
                node("Cast", &["scale"], "factor", to(DataType::Float)),
                node("Mul", &["single", "factor"], "scaled", Vec::new()),
                node("Cast", &["scaled"], "y", to(DataType::Float16)),
            ],
            ..GraphProto::default()
        };
        let opset = OperatorSetIdProto { domain: None, version: Some(17) };
        ModelProto {
            ir_version: Some(8),
            graph: Some(graph),
            opset_import: vec![opset],
            ..ModelProto::default()
        }
    }

    fn run(model: ModelProto, x: Array) -> Array {
        let model = import_bytes(model.encode_to_vec(), &ImportOptions::default()).unwrap();
        let outputs = Interpreter::new(&model.graph, &model.weights)
            .unwrap()
            .run(&Weights::from([("x".to_owned(), x)]))
            .unwrap();
        outputs.first().unwrap().1.clone()
    }

    #[test]
    fn halves_become_single_and_half_again() {
        let x = || Array::new([1, 2], Data::F16(vec![f16::from_f32(2.0), f16::from_f32(1.0)])).unwrap();
        // [2, 1] · [[0.5, −1], [2, 0.25]] = [3, −1.75]
        let wanted = Array::new([1, 2], Data::F16(vec![f16::from_f32(9.0), f16::ZERO])).unwrap();
        assert!(run(model(), x()) == wanted);

        let mut single = model();
        let halves = Halves::widen(&mut single).unwrap();
        assert!(!halves.is_empty());
        assert_eq!(single.graph.as_ref().unwrap().node.len(), 5, "the cast of the scale went");
        let imported = import_model(single, std::path::Path::new("m"), &ImportOptions::default()).unwrap();
        let types: Vec<(&str, DType)> =
            imported.graph.values().map(|(_, v)| (v.name.as_str(), v.fact.dtype)).collect();
        assert!(types.iter().all(|(_, dtype)| *dtype == DType::F32), "{types:?}");

        let mut again = export_imported(&imported.graph, &imported.weights, &imported.origin).unwrap();
        halves.narrow(&mut again, |name| imported.weights.contains_key(name)).unwrap();
        let graph = again.graph.as_ref().unwrap();
        for (name, dtype) in [("weight", DataType::Float16), ("scale", DataType::Bfloat16)] {
            let stored = graph.initializer.iter().find(|t| t.name() == name).unwrap();
            assert_eq!(stored.data_type(), i32::from(dtype));
        }
        assert_eq!(elements(&graph.input[0]), Some(DataType::Float16.into()));
        assert!(run(again, x()) == wanted);
    }

    #[test]
    fn models_without_halves_stay() {
        let mut single = model();
        Halves::widen(&mut single).unwrap();
        let before = single.clone();
        let none = Halves::widen(&mut single).unwrap();
        assert!(none.is_empty() && single == before);
        none.narrow(&mut single, |_| true).unwrap();
        assert_eq!(single, before);
    }
}

//! A network that ONNX Runtime's quantizer wrote with operators on quantized values, as ONNX Runtime computes it
//! (`tools/golden/onnx_quantized.py`).
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::path::PathBuf;

use occam_graph::{Array, Data, Narrow, Op, Weights};
use occam_interp::{Interpreter, evaluate};
use occam_io::npz;
use occam_io::onnx::proto::{
    AttributeProto, GraphProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TypeProto,
    ValueInfoProto, dimension, type_proto,
};
use occam_io::onnx::{
    ImportOptions, Imported, ModelProto, array, export_imported, import, import_model, read_model,
};

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/onnx").join(name)
}

fn network() -> (Imported, Weights) {
    let options = ImportOptions { fold: false, ..ImportOptions::default() };
    (import(golden("quantized.onnx"), &options).unwrap(), npz::load(golden("quantized.npz")).unwrap())
}

/// Every operator by itself, on the operands that ONNX Runtime had.
#[test]
fn every_operator_gives_what_onnx_runtime_gives() {
    let (Imported { graph, weights, .. }, values) = network();
    assert_eq!(graph.nodes().count(), 16);
    for (_, node) in graph.nodes() {
        let Op::Onnx(op) = &node.op else { panic!("{} is no operator of ONNX", node.name) };
        let operands: Vec<Array> = node
            .inputs
            .iter()
            .map(|&v| {
                let value = graph.value(v).unwrap();
                let held = value.constant().or_else(|| weights.get(&value.name));
                held.or_else(|| values.get(&value.name)).unwrap().clone()
            })
            .collect();
        let found = evaluate(op, &operands).unwrap();
        assert_eq!(found[0], values[&graph.value(node.outputs[0]).unwrap().name], "{op:?}");
    }
}

#[test]
fn the_network_gives_what_onnx_runtime_gives() {
    let (Imported { graph, weights, .. }, values) = network();
    let found = Interpreter::new(&graph, &weights).unwrap().run(&values).unwrap();
    assert_eq!(found["y"], values["y"]);
}

fn initializers(model: &ModelProto) -> BTreeMap<String, Array> {
    let graph = model.graph.as_ref().unwrap();
    graph.initializer.iter().map(|t| (t.name().to_owned(), array(t).unwrap())).collect()
}

/// Operators of both sets and all numbers are written back as they were read.
#[test]
fn operator_sets_are_kept() {
    let (Imported { graph, weights, origin }, _) = network();
    let (written, read) =
        (export_imported(&graph, &weights, &origin).unwrap(), read_model(golden("quantized.onnx")).unwrap());
    let nodes = |m: &ModelProto| -> Vec<(String, String, Vec<String>)> {
        let nodes = &m.graph.as_ref().unwrap().node;
        nodes.iter().map(|n| (n.domain().into(), n.op_type().into(), n.input.clone())).collect()
    };
    assert_eq!(nodes(&written), nodes(&read));
    assert_eq!(written.opset_import, read.opset_import);
    let (kept, all) = (initializers(&written), initializers(&read));
    assert!(kept.iter().all(|(name, t)| all[name] == *t) && kept.len() > 20);
}

/// Weights of 4 bits and values of 8-bit floats come back in the same bytes and types.
#[test]
fn narrow_types_are_kept() {
    let tensor = |name: &str, kind: i32, dims: &[i64], raw: Vec<u8>| TensorProto {
        name: Some(name.into()),
        data_type: Some(kind),
        dims: dims.to_vec(),
        raw_data: Some(raw.into()),
        ..TensorProto::default()
    };
    let node = |op: &str, input: &[&str], output: &str| NodeProto {
        name: Some(output.into()),
        op_type: Some(op.into()),
        input: input.iter().map(|&n| n.to_owned()).collect(),
        output: vec![output.into()],
        ..NodeProto::default()
    };
    let value = |name: &str, kind: i32| {
        let dimension = dimension::Dimension { value: Some(dimension::Value::DimValue(3)), denotation: None };
        let tensor = type_proto::Tensor {
            elem_type: Some(kind),
            shape: Some(TensorShapeProto { dim: vec![dimension] }),
        };
        let r#type = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), denotation: None };
        ValueInfoProto { name: Some(name.into()), r#type: Some(r#type), ..ValueInfoProto::default() }
    };
    let mut cast = node("Cast", &["x"], "wide");
    cast.attribute = vec![AttributeProto::int("to", 1)];
    let graph = GraphProto {
        name: Some("g".into()),
        input: vec![value("x", 17)],
        output: vec![value("y", 1)],
        node: vec![cast, node("DequantizeLinear", &["w", "s"], "ws"), node("Add", &["wide", "ws"], "y")],
        initializer: vec![
            tensor("w", 22, &[3], vec![0xf1, 0x08]),
            tensor("s", 1, &[], 0.5f32.to_le_bytes().to_vec()),
        ],
        ..GraphProto::default()
    };
    let model = ModelProto {
        ir_version: Some(10),
        graph: Some(graph),
        opset_import: vec![OperatorSetIdProto { domain: Some(String::new()), version: Some(21) }],
        ..ModelProto::default()
    };
    let Imported { graph, weights, origin } =
        import_model(model.clone(), "m.onnx".as_ref(), &ImportOptions::default()).unwrap();
    let written = export_imported(&graph, &weights, &origin).unwrap();
    let (written, read) = (written.graph.unwrap(), model.graph.unwrap());
    assert_eq!(written.input, read.input);
    for (w, r) in written.initializer.iter().zip(&read.initializer) {
        assert_eq!((&w.raw_data, w.data_type, &w.dims), (&r.raw_data, r.data_type, &r.dims));
    }
    let x = Array::new([3], Data::Narrow(Narrow::F8E4M3FN, vec![0x38, 0xb8, 0x7e])).unwrap();
    let inputs = Weights::from_iter([("x".to_owned(), x)]);
    let y = Interpreter::new(&graph, &weights).unwrap().run(&inputs).unwrap();
    assert_eq!(y["y"].as_f32().unwrap(), [1.5, -1.5, 444.0]);
}

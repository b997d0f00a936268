//! Files that ask for far more time or memory than their size suggests are read, or refused, in little of both.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::{Duration, Instant};

use occam_graph::recognize::recognize;
use occam_io::Error;
use occam_io::onnx::proto::{
    AttributeProto, AttributeType, FunctionProto, GraphProto, NodeProto, OperatorSetIdProto, TensorProto,
    TensorShapeProto, TypeProto, ValueInfoProto, dimension, type_proto,
};
use occam_io::onnx::{ImportOptions, Imported, ModelProto, export_imported, import_model};

const FLOAT: i32 = 1;
const INT64: i32 = 7;
const BOOL: i32 = 9;

fn value(name: &str, kind: i32, dims: &[i64]) -> ValueInfoProto {
    let dim =
        |&d: &i64| dimension::Dimension { value: Some(dimension::Value::DimValue(d)), denotation: None };
    let shape = Some(TensorShapeProto { dim: dims.iter().map(dim).collect() });
    let tensor = type_proto::Tensor { elem_type: Some(kind), shape };
    let r#type = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), denotation: None };
    ValueInfoProto { name: Some(name.into()), r#type: Some(r#type), ..ValueInfoProto::default() }
}

fn node(op: &str, input: &[&str], output: &[&str]) -> NodeProto {
    NodeProto {
        op_type: Some(op.into()),
        input: input.iter().map(|&n| n.to_owned()).collect(),
        output: output.iter().map(|&n| n.to_owned()).collect(),
        ..NodeProto::default()
    }
}

/// `op` one after the other, from `x` to `y`.
fn chain(op: &str, count: usize) -> Vec<NodeProto> {
    let name = |i: usize| match i {
        0 => "x".to_owned(),
        i if i == count => "y".to_owned(),
        i => format!("v{i}"),
    };
    (0..count).map(|i| node(op, &[&name(i)], &[&name(i + 1)])).collect()
}

fn ints(name: &str, dims: &[i64], values: &[i64]) -> TensorProto {
    TensorProto {
        name: Some(name.into()),
        data_type: Some(INT64),
        dims: dims.to_vec(),
        int64_data: values.to_vec(),
        ..TensorProto::default()
    }
}

fn model(nodes: Vec<NodeProto>, initializers: Vec<TensorProto>) -> ModelProto {
    ModelProto {
        ir_version: Some(10),
        opset_import: vec![OperatorSetIdProto { domain: None, version: Some(18) }],
        graph: Some(GraphProto {
            name: Some("g".into()),
            node: nodes,
            initializer: initializers,
            input: vec![value("x", FLOAT, &[1])],
            output: vec![ValueInfoProto { name: Some("y".into()), ..ValueInfoProto::default() }],
            ..GraphProto::default()
        }),
        ..ModelProto::default()
    }
}

#[test]
fn circles_are_told_by_a_name_where_nodes_have_none() {
    let nodes =
        vec![node("Add", &["x", "b"], &["a"]), node("Neg", &["a"], &["b"]), node("Neg", &["a"], &["y"])];
    let error = survives("a circle", model(nodes, vec![])).unwrap_err().to_string();
    assert!(error.contains("node `a` depends on itself"), "{error}");
}

#[test]
fn folders_are_no_models() {
    let folder = tempfile::tempdir().unwrap();
    let error = occam_io::onnx::read_model(folder.path()).unwrap_err().to_string();
    assert!(error.contains("no regular file"), "{error}");
}

/// Reads, recognizes and writes; no file here takes as long as one whose steps grow by the square of its size would.
fn survives(what: &str, model: ModelProto) -> Result<Imported, Error> {
    let started = Instant::now();
    let mut imported = import_model(model, std::path::Path::new("m.onnx"), &ImportOptions::default())?;
    let _ = export_imported(&imported.graph, &imported.weights, &imported.origin);
    let _ = recognize(&mut imported.graph, &mut imported.weights);
    let took = started.elapsed();
    assert!(took < Duration::from_secs(60), "{what} took {took:?}");
    Ok(imported)
}

#[test]
fn nodes_of_one_name() {
    let mut nodes = chain("Abs", 30_000);
    nodes.iter_mut().for_each(|n| n.name = Some("a".into()));
    let imported = survives("one name", model(nodes, Vec::new())).unwrap();
    assert!(imported.graph.find_node("a_29999").is_some());
}

#[test]
fn nodes_that_do_nothing() {
    let imported = survives("identities", model(chain("Identity", 30_000), Vec::new())).unwrap();
    assert_eq!(imported.graph.nodes().count(), 1);
}

#[test]
fn results_beyond_the_file_stay_nodes() {
    let count = 3000;
    let name = |i: usize| format!("c{i}");
    let mut nodes: Vec<NodeProto> =
        (0..count).map(|i| node("ConstantOfShape", &["sizes"], &[&name(i)])).collect();
    let names: Vec<String> = (0..count).map(name).collect();
    let mut all = vec!["x"];
    all.extend(names.iter().map(String::as_str));
    nodes.push(node("Sum", &all, &["y"]));
    let imported = survives("constants", model(nodes, vec![ints("sizes", &[1], &[1 << 16])])).unwrap();
    let left = imported.graph.nodes().filter(|(_, n)| n.op.family().name() == "ConstantOfShape").count();
    // 64 MiB of them are computed at once.
    assert_eq!(left, count - 256);
}

#[test]
fn endless_loops_are_not_run_at_reading() {
    let body = GraphProto {
        name: Some("body".into()),
        node: vec![node("Identity", &["going"], &["on"]), node("Abs", &["v"], &["w"])],
        input: vec![value("i", INT64, &[]), value("going", BOOL, &[]), value("v", INT64, &[1])],
        output: vec![value("on", BOOL, &[]), value("w", INT64, &[1])],
        ..GraphProto::default()
    };
    let mut repeat = node("Loop", &["trips", "", "start"], &["z"]);
    repeat.attribute.push(AttributeProto {
        name: Some("body".into()),
        r#type: Some(AttributeType::Graph.into()),
        g: Some(Box::new(body)),
        ..AttributeProto::default()
    });
    let mut cast = node("Cast", &["z"], &["f"]);
    cast.attribute.push(AttributeProto::int("to", 1));
    let nodes = vec![repeat, cast, node("Add", &["x", "f"], &["y"])];
    let constants = vec![ints("trips", &[], &[1 << 60]), ints("start", &[1], &[1])];
    let imported = survives("a loop", model(nodes, constants)).unwrap();
    assert_eq!(imported.graph.nodes().count(), 3);
}

#[test]
fn paths_of_many_levels_are_no_modules() {
    let mut nodes = chain("Abs", 2);
    nodes[0].name = Some(format!("/{}/Abs", "a.".repeat(100_000)));
    let imported = survives("a long path", model(nodes, Vec::new())).unwrap();
    assert!(imported.graph.modules().len() < 2);
}

fn function(name: &str, overload: &str, nodes: Vec<NodeProto>) -> FunctionProto {
    FunctionProto {
        name: Some(name.into()),
        domain: Some("local".into()),
        overload: (!overload.is_empty()).then(|| overload.into()),
        input: vec!["x".into()],
        output: vec!["y".into()],
        node: nodes,
        opset_import: vec![OperatorSetIdProto { domain: None, version: Some(18) }],
        ..FunctionProto::default()
    }
}

fn call(name: &str, overload: &str, from: &str, to: &str) -> NodeProto {
    NodeProto {
        domain: Some("local".into()),
        overload: (!overload.is_empty()).then(|| overload.into()),
        ..node(name, &[from], &[to])
    }
}

#[test]
fn functions_that_grow_beyond_the_file_are_refused() {
    let calls = (0..500).map(|i| match i {
        0 => call("F", "", "x", "v1"),
        499 => call("F", "", "v499", "y"),
        i => call("F", "", &format!("v{i}"), &format!("v{}", i + 1)),
    });
    let mut model = model(calls.collect(), Vec::new());
    model.functions = vec![function("F", "", chain("Abs", 1000))];
    let error = survives("functions", model).unwrap_err().to_string();
    assert!(error.contains("its functions make more than"), "{error}");
}

#[test]
fn functions_of_one_name_are_told_apart() {
    let mut model = model(vec![call("F", "b", "x", "y")], Vec::new());
    model.functions = vec![
        function("F", "a", vec![node("Abs", &["x"], &["y"])]),
        function("F", "b", vec![node("Neg", &["x"], &["y"])]),
    ];
    let imported = survives("overloads", model).unwrap();
    let (_, only) = imported.graph.nodes().next().unwrap();
    assert_eq!(only.op.family().name(), "Neg");
}

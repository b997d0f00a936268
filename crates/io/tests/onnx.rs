//! What exported models hold. That runtimes compute the right numbers with them is checked by `check_onnx.py`.

// Clippy takes only functions marked `#[test]` for tests, not what they call.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;

use indexmap::IndexMap;
use occam_graph::ops::{
    Activation, Binary, ChannelShuffle, DropUnit, Dropout, Flatten, Linear, Slice, examples,
};
use occam_graph::{Array, Builder, Dim, Fact, Graph, Op, Role, Weights};
use occam_io::Error;
use occam_io::onnx::proto::{GraphProto, NodeProto, ValueInfoProto, dimension, type_proto};
use occam_io::onnx::{
    ExportOptions, ExternalData, Message, ModelProto, export, read_model, write_model, write_model_with,
};

/// Weights of which no two elements are equal.
fn weights(graph: &Graph) -> Weights {
    let mut next = 0.0;
    let mut array = |shape: Vec<usize>| {
        let data = (0..shape.iter().product::<usize>()).map(|_| {
            next += 0.25;
            next
        });
        Array::from_f32(shape.clone(), data.collect()).unwrap()
    };
    graph.params().map(|(_, v)| (v.name.clone(), array(v.fact.known_shape().unwrap()))).collect()
}

fn exported(graph: &Graph) -> ModelProto {
    export(graph, &weights(graph), &ExportOptions::default()).unwrap()
}

fn graph_of(model: &ModelProto) -> &GraphProto {
    model.graph.as_ref().unwrap()
}

/// `op(inputs) -> outputs` of every node.
fn lines(model: &ModelProto) -> Vec<String> {
    let line = |n: &NodeProto| {
        format!("{}: {}({}) -> {}", n.name(), n.op_type(), n.input.join(", "), n.output.join(", "))
    };
    graph_of(model).node.iter().map(line).collect()
}

fn shape(info: &ValueInfoProto) -> Vec<String> {
    let Some(type_proto::Value::TensorType(tensor)) = &info.r#type.as_ref().unwrap().value else {
        panic!("{info:?} is no tensor")
    };
    let dim = |d: &dimension::Dimension| match d.value.as_ref().unwrap() {
        dimension::Value::DimValue(n) => n.to_string(),
        dimension::Value::DimParam(s) => s.clone(),
    };
    tensor.shape.as_ref().unwrap().dim.iter().map(dim).collect()
}

#[test]
fn every_family_is_exported() {
    let folder = tempfile::tempdir().unwrap();
    for name in Op::FAMILIES {
        let graph = examples::of_family(name).unwrap().unwrap();
        let weights = weights(&graph);
        let model = export(&graph, &weights, &ExportOptions::default()).unwrap();
        let path = folder.path().join(format!("{name}.onnx"));
        write_model(&path, &model).unwrap();
        assert_eq!(read_model(&path).unwrap(), model, "{name}");

        let proto = graph_of(&model);
        // What is left out leaves a copy of its input.
        let last = if *name == "Dropout" { "output.identity" } else { "node" };
        assert_eq!(proto.node.last().unwrap().name(), last);
        assert_eq!(proto.node.last().unwrap().output, ["output"]);
        // Attributes that ONNX takes as inputs are initializers too, called after the node.
        let (constants, parameters): (Vec<_>, Vec<_>) =
            proto.initializer.iter().partition(|t| t.name().starts_with("node."));
        assert!(constants.iter().all(|t| proto.node.iter().any(|n| n.input.iter().any(|i| i == t.name()))));
        assert_eq!(parameters.len(), weights.len());
        for tensor in parameters {
            let array = &weights[tensor.name()];
            assert_eq!(tensor.raw_data(), array.to_le_bytes());
            assert!(tensor.dims.iter().map(|&d| d as usize).eq(array.shape().iter().copied()));
        }
        let first = &graph.value(graph.inputs()[0]).unwrap().fact.shape[0];
        let wanted = first.known().map_or_else(|| "batch".to_owned(), |n| n.to_string());
        assert_eq!(shape(&proto.input[0])[0], wanted, "{name}");
    }
}

#[test]
fn names_are_the_graphs() {
    let model = exported(&examples::small_classifier().unwrap());
    assert_eq!(
        lines(&model),
        [
            "backbone.conv: Conv(input, backbone.conv.weight) -> backbone.conv",
            "backbone.bn: BatchNormalization(backbone.conv, backbone.bn.weight, backbone.bn.bias, \
             backbone.bn.running_mean, backbone.bn.running_var) -> backbone.bn",
            "backbone.relu: Relu(backbone.bn) -> backbone.relu",
            "pool: GlobalAveragePool(backbone.relu) -> pool",
            "flatten: Flatten(pool) -> flatten",
            "fc: Gemm(flatten, fc.weight, fc.bias) -> output",
        ]
    );
    let graph = graph_of(&model);
    assert_eq!(shape(&graph.output[0]), ["batch", "4"]);
    let inner: Vec<_> = graph.value_info.iter().map(|v| v.name()).collect();
    assert_eq!(inner, ["backbone.conv", "backbone.bn", "backbone.relu", "pool", "flatten"]);
    assert_eq!(shape(&graph.value_info[0]), ["batch", "6", "4", "4"]);
    assert_eq!((model.ir_version(), model.opset_import[0].version()), (8, 17));
    assert_eq!(model.producer_name(), "occam");
}

#[test]
fn outputs_that_cannot_take_the_name_are_copied() {
    let mut b = Builder::new();
    let x = b.input("x", Fact::f32([4usize])).unwrap();
    let w = b.param("w", &[4], Role::Weight).unwrap();
    let y = b.op("sum", Binary::Add, &[x, w]).unwrap();
    let z = b.op("relu", Activation::Relu, &[y]).unwrap();
    for (name, value) in [("relu", y), ("twice", y), ("same", x), ("constant", w), ("last", z)] {
        b.output(name, value).unwrap();
    }
    assert_eq!(
        lines(&exported(&b.finish().unwrap())),
        [
            "sum: Add(x, w) -> relu",
            "relu: Relu(relu) -> last",
            "twice.identity: Identity(relu) -> twice",
            "same.identity: Identity(x) -> same",
            "constant.identity: Identity(w) -> constant",
        ]
    );
}

#[test]
fn an_inner_value_gives_way_to_an_output() {
    let mut b = Builder::new();
    let x = b.input("x", Fact::f32([4usize])).unwrap();
    let y = b.op("y", Activation::Relu, &[x]).unwrap();
    let other = b.op("y_1", Activation::Relu, &[y]).unwrap();
    let z = b.op("z", Binary::Add, &[y, other]).unwrap();
    b.output("y", z).unwrap();
    assert_eq!(
        lines(&exported(&b.finish().unwrap())),
        ["y: Relu(x) -> y_2", "y_1: Relu(y_2) -> y_1", "z: Add(y_2, y_1) -> y"]
    );
}

#[test]
fn names_that_cannot_be_written_are_refused() {
    for (input, output, wanted) in [("x", "x", "rename the output"), ("x", "", "empty"), ("", "y", "empty")] {
        let mut graph = Graph::new();
        let x = graph.add_input(input, Fact::f32([4usize])).unwrap();
        let y = graph.add_node("n", Activation::Relu.into(), &[x]).unwrap()[0];
        graph.add_output(output, y).unwrap();
        let error = export(&graph, &Weights::new(), &ExportOptions::default()).unwrap_err();
        assert!(matches!(&error, Error::Name { .. }));
        assert!(error.to_string().contains(wanted), "{error}");
    }
}

#[test]
fn operators_with_other_ranks_take_several_nodes() {
    let image = || Fact::f32([Dim::symbol("N"), 4.into(), 6.into(), 7.into()]);
    let mut b = Builder::new();
    let x = b.input("x", image()).unwrap();
    let w = b.param("w", &[5, 7], Role::Weight).unwrap();
    let bias = b.param("b", &[5], Role::Weight).unwrap();
    let y = b.op("fc", Linear, &[x, w, bias]).unwrap();
    let z = b.op("flat", Flatten { axis: 2 }, &[y]).unwrap();
    b.output("z", z).unwrap();
    let model = exported(&b.finish().unwrap());
    assert_eq!(
        lines(&model),
        [
            "fc.transpose: Transpose(w) -> fc.transpose",
            "fc.matmul: MatMul(x, fc.transpose) -> fc.matmul",
            "fc: Add(fc.matmul, b) -> fc",
            "flat: Reshape(fc, flat.shape) -> z",
        ]
    );
    let constant = graph_of(&model).initializer.last().unwrap();
    assert_eq!(constant.raw_data(), [0i64, 0, -1].map(i64::to_le_bytes).concat());
}

#[test]
fn attributes_become_inputs_where_onnx_wants_them() {
    let image = |size: Dim| Fact::f32([Dim::symbol("N"), 6.into(), size.clone(), size]);
    let line = |op: Op, x: Fact| {
        let mut b = Builder::new();
        let x = b.input("x", x).unwrap();
        let y = b.op("node", op, &[x]).unwrap();
        b.output("y", y).unwrap();
        let model = exported(&b.finish().unwrap());
        let constants = graph_of(&model).initializer.iter().map(|t| t.raw_data().to_vec()).collect();
        (lines(&model), constants)
    };
    let bytes = |v: &[i64]| v.iter().flat_map(|i| i.to_le_bytes()).collect::<Vec<u8>>();

    let (nodes, constants): (_, Vec<Vec<u8>>) = line(Activation::Relu6.into(), image(4.into()));
    assert_eq!(nodes, ["node: Clip(x, node.min, node.max) -> y"]);
    assert_eq!(constants, [0f32.to_le_bytes(), 6f32.to_le_bytes()]);

    let (nodes, constants) = line(Activation::Gelu { tanh: false }.into(), image(4.into()));
    assert_eq!(
        nodes,
        [
            "node.quotient: Div(x, node.root) -> node.quotient",
            "node.erf: Erf(node.quotient) -> node.erf",
            "node.sum: Add(node.erf, node.one) -> node.sum",
            "node.product: Mul(x, node.sum) -> node.product",
            "node: Mul(node.product, node.half) -> y",
        ]
    );
    assert_eq!(constants, [2f32.sqrt(), 1.0, 0.5].map(f32::to_le_bytes));

    let (nodes, constants) = line(Slice { axis: 1, start: 3, end: 6 }.into(), image(4.into()));
    assert_eq!(nodes, ["node: Slice(x, node.starts, node.ends, node.axes) -> y"]);
    assert_eq!(constants, [bytes(&[3]), bytes(&[6]), bytes(&[1])]);

    let shuffle = || Op::from(ChannelShuffle { groups: 2 });
    let (nodes, constants) = line(shuffle(), image(4.into()));
    assert_eq!(
        nodes,
        [
            "node.split: Reshape(x, node.groups) -> node.split",
            "node.transpose: Transpose(node.split) -> node.transpose",
            "node: Reshape(node.transpose, node.shape) -> y",
        ]
    );
    assert_eq!(constants, [bytes(&[0, 2, 3, -1]), bytes(&[0, 6, 4, 4])]);

    let (nodes, constants) = line(shuffle(), image(Dim::symbol("S")));
    assert_eq!(nodes[2], "node.shape: Shape(x) -> node.shape");
    assert_eq!(constants, [bytes(&[0, 2, 3, -1])]);
}

/// Also where one follows another, or its value is an output.
#[test]
fn dropout_is_left_out() {
    let mut b = Builder::new();
    let x = b.input("input", Fact::f32([Dim::symbol("N"), 4.into()])).unwrap();
    let drop = |unit| Dropout { rate: 0.5, unit };
    let y = b.op("relu", Activation::Relu, &[x]).unwrap();
    let y = b.op("drop", drop(DropUnit::Element), &[y]).unwrap();
    let y = b.op("path", drop(DropUnit::Sample), &[y]).unwrap();
    let z = b.op("sum", Binary::Add, &[y, x]).unwrap();
    b.output("sum", z).unwrap();
    b.output("dropped", y).unwrap();
    let graph = b.finish().unwrap();
    let lines = lines(&exported(&graph));
    assert_eq!(lines, ["relu: Relu(input) -> dropped", "sum: Add(dropped, input) -> sum"]);
    assert!(graph.find_node("drop").is_some());
}

#[test]
fn weights_that_do_not_fit_are_named() {
    let graph = examples::small_classifier().unwrap();
    let mut weights = weights(&graph);
    weights.insert("backbone.bn.num_batches_tracked".into(), Array::from_i64([], vec![3]).unwrap());
    let options = ExportOptions::default();
    let model = export(&graph, &weights, &options).unwrap();
    assert!(graph_of(&model).initializer.iter().all(|t| !t.name().ends_with("tracked")));

    let wrong = Array::from_i64([4, 6], vec![0; 24]).unwrap();
    weights.insert("fc.weight".into(), wrong);
    let error = export(&graph, &weights, &options).unwrap_err().to_string();
    assert_eq!(error, "parameter `fc.weight` must be f32[4, 6], but the weights have i64[4, 6]");
    weights.insert("fc.weight".into(), Array::full([6, 4], 0.0));
    let error = export(&graph, &weights, &options).unwrap_err();
    assert!(matches!(&error, Error::MismatchedWeight { name, .. } if name == "fc.weight"), "{error}");
    weights.shift_remove("fc.weight");
    let error = export(&graph, &weights, &options).unwrap_err();
    assert!(matches!(&error, Error::MissingWeight { name, .. } if name == "fc.weight"), "{error}");
}

#[test]
fn options_are_written_or_refused() {
    let graph = examples::small_classifier().unwrap();
    let options = ExportOptions {
        opset: 21,
        name: "net".into(),
        batch_name: "images".into(),
        doc: "Half the size.".into(),
        metadata: IndexMap::from([("b".into(), "1".into()), ("a".into(), "2".into())]),
    };
    let model = export(&graph, &weights(&graph), &options).unwrap();
    assert_eq!((model.ir_version(), model.opset_import[0].version()), (10, 21));
    assert_eq!((graph_of(&model).name(), model.doc_string()), ("net", "Half the size."));
    assert_eq!(shape(&graph_of(&model).input[0])[0], "images");
    assert!(model.metadata_props.iter().map(|p| (p.key(), p.value())).eq([("b", "1"), ("a", "2")]));

    let default = ExportOptions::default;
    for options in [
        ExportOptions { opset: 9, ..default() },
        ExportOptions { opset: 99, ..default() },
        ExportOptions { name: String::new(), ..default() },
        ExportOptions { batch_name: String::new(), ..default() },
    ] {
        let error = export(&graph, &weights(&graph), &options).unwrap_err();
        assert!(matches!(error, Error::Option { .. }), "{error}");
    }
}

#[test]
fn the_same_model_gives_the_same_bytes() {
    let bytes = || exported(&examples::small_classifier().unwrap()).encode_to_vec();
    assert_eq!(bytes(), bytes());
}

/// A model whose weight is large enough to lie outside, written so.
fn split(folder: &std::path::Path) -> ModelProto {
    let mut b = Builder::new();
    let x = b.input("x", Fact::f32([Dim::symbol("N"), 7.into()])).unwrap();
    let w = b.param("w", &[500, 7], Role::Weight).unwrap();
    let v = b.param("v", &[500, 500], Role::Weight).unwrap();
    let y = b.op("fc", Linear, &[x, w]).unwrap();
    let z = b.op("fc2", Linear, &[y, v]).unwrap();
    b.output("z", z).unwrap();
    let model = exported(&b.finish().unwrap());
    write_model_with(folder.join("m.onnx"), &model, ExternalData::Always).unwrap();
    model
}

#[test]
fn elements_beside_the_model_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let model = split(folder.path());
    let path = folder.path().join("m.onnx");
    assert!(fs::metadata(&path).unwrap().len() < 1000);
    assert_eq!(fs::metadata(folder.path().join("m.onnx.data")).unwrap().len(), 16384 + 1_000_000);
    assert_eq!(read_model(&path).unwrap(), model);
    // Over a former pair of the same names.
    split(folder.path());
    assert_eq!(read_model(&path).unwrap(), model);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn elements_that_are_not_there_are_named() {
    let folder = tempfile::tempdir().unwrap();
    split(folder.path());
    let path = folder.path().join("m.onnx");
    let data = folder.path().join("m.onnx.data");
    fs::write(&data, [0; 20_000]).unwrap();
    let error = read_model(&path).unwrap_err().to_string();
    assert!(error.contains("tensor `v`: its elements should lie at byte 16384"), "{error}");
    fs::remove_file(&data).unwrap();
    let error = read_model(&path).unwrap_err();
    assert!(matches!(&error, Error::Io { path, .. } if *path == data), "{error}");

    let written = ModelProto::decode(fs::read(&path).unwrap().as_slice()).unwrap();
    let cases = [
        ("location", "../m.onnx.data", "not beside the model"),
        ("location", "/etc/passwd", "not beside the model"),
        ("location", "", "not beside the model"),
        ("offset", "-1", "its offset `-1` is no number"),
        ("length", "many", "its length `many` is no number"),
    ];
    for (key, value, wanted) in cases {
        let mut model = written.clone();
        let tensor = &mut model.graph.as_mut().unwrap().initializer[0];
        tensor.external_data.iter_mut().find(|e| e.key() == key).unwrap().value = Some(value.into());
        write_model(&path, &model).unwrap();
        let error = read_model(&path).unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
    }

    // What is no file could be waited for without end, as a pipe is.
    fs::create_dir(&data).unwrap();
    fs::write(&path, written.encode_to_vec()).unwrap();
    let error = read_model(&path).unwrap_err().to_string();
    assert!(error.contains("is no regular file"), "{error}");
}

#[test]
fn files_that_are_no_models_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.onnx");
    assert!(matches!(read_model(&path).unwrap_err(), Error::Io { .. }));
    for bytes in [&b""[..], b"not a model", &[0xff; 40]] {
        fs::write(&path, bytes).unwrap();
        let error = read_model(&path).unwrap_err();
        assert!(matches!(&error, Error::Malformed { .. }), "{error}");
    }
    let model = exported(&examples::small_classifier().unwrap());
    let bytes = model.encode_to_vec();
    for end in (0..bytes.len()).step_by(13) {
        fs::write(&path, &bytes[..end]).unwrap();
        // A cut between two fields of the outermost message cannot be told from a shorter model.
        if let Ok(read) = read_model(&path) {
            assert_ne!(read, model);
        }
    }
}

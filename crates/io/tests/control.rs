//! Files with graphs in nodes, inputs that have a default, and texts: what is read is written back.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use occam_graph::{Array, Bindings, Data, Weights};
use occam_interp::Interpreter;
use occam_io::Error;
use occam_io::onnx::proto::{
    AttributeProto, AttributeType, GraphProto, NodeProto, OperatorSetIdProto, StringStringEntryProto,
    TensorProto, TensorShapeProto, TypeProto, ValueInfoProto, dimension, type_proto,
};
use occam_io::onnx::{ImportOptions, Imported, ModelProto, export_imported, import_model};

const FLOAT: i32 = 1;
const INT64: i32 = 7;
const BOOL: i32 = 9;

fn value(name: &str, kind: i32, dims: &[&str]) -> ValueInfoProto {
    let dim = |d: &&str| dimension::Dimension {
        value: Some(match d.parse() {
            Ok(n) => dimension::Value::DimValue(n),
            Err(_) => dimension::Value::DimParam((*d).to_owned()),
        }),
        denotation: None,
    };
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

fn with_graph(mut node: NodeProto, name: &str, graph: GraphProto) -> NodeProto {
    node.attribute.push(AttributeProto {
        name: Some(name.into()),
        r#type: Some(AttributeType::Graph.into()),
        g: Some(Box::new(graph)),
        ..AttributeProto::default()
    });
    node
}

fn floats(name: &str, dims: &[i64], values: &[f32]) -> TensorProto {
    TensorProto {
        name: Some(name.into()),
        data_type: Some(FLOAT),
        dims: dims.to_vec(),
        float_data: values.to_vec(),
        ..TensorProto::default()
    }
}

fn ints(name: &str, values: &[i64]) -> TensorProto {
    TensorProto {
        name: Some(name.into()),
        data_type: Some(INT64),
        dims: vec![values.len() as i64],
        int64_data: values.to_vec(),
        ..TensorProto::default()
    }
}

fn body(nodes: Vec<NodeProto>, inputs: Vec<ValueInfoProto>, outputs: Vec<ValueInfoProto>) -> GraphProto {
    GraphProto {
        name: Some("body".into()),
        node: nodes,
        input: inputs,
        output: outputs,
        ..GraphProto::default()
    }
}

fn model(ir_version: i64, opset: i64, graph: GraphProto) -> ModelProto {
    ModelProto {
        ir_version: Some(ir_version),
        graph: Some(GraphProto { name: Some("g".into()), ..graph }),
        opset_import: vec![OperatorSetIdProto { domain: Some(String::new()), version: Some(opset) }],
        ..ModelProto::default()
    }
}

fn read(model: &ModelProto, options: &ImportOptions) -> Result<Imported, Error> {
    import_model(model.clone(), "m.onnx".as_ref(), options)
}

fn unfolded() -> ImportOptions {
    ImportOptions { fold: false, ..ImportOptions::default() }
}

fn run(model: &ModelProto, inputs: &Weights) -> Weights {
    let Imported { graph, weights, .. } = read(model, &ImportOptions::default()).unwrap();
    Interpreter::new(&graph, &weights).unwrap().run(inputs).unwrap()
}

fn written(model: &ModelProto, options: &ImportOptions) -> ModelProto {
    let Imported { graph, weights, origin } = read(model, options).unwrap();
    export_imported(&graph, &weights, &origin).unwrap()
}

fn array(values: &[f32]) -> Array {
    Array::from_f32([values.len()], values.to_vec()).unwrap()
}

fn truth(value: bool) -> Array {
    Array::new([], Data::Bool(vec![value])).unwrap()
}

/// Both branches call their value `t` and read the outer `k`; one returns it as it is.
fn conditional() -> ModelProto {
    let out = |name: &str| vec![value(name, FLOAT, &["2"])];
    let yes = body(vec![node("Add", &["x", "k"], &["t"])], vec![], out("t"));
    let mut no =
        body(vec![node("Mul", &["x", "w"], &["t"]), node("Mul", &["t", "k"], &["u"])], vec![], out("u"));
    no.initializer = vec![floats("w", &[2], &[3.0, 4.0])];
    let both =
        |n: NodeProto| with_graph(with_graph(n, "then_branch", yes.clone()), "else_branch", no.clone());
    let same = body(vec![], vec![], out("x"));
    let k = body(vec![], vec![], out("k"));
    let last = with_graph(with_graph(node("If", &["c"], &["z"]), "then_branch", same), "else_branch", k);
    model(
        8,
        13,
        GraphProto {
            input: vec![value("x", FLOAT, &["2"]), value("c", BOOL, &[])],
            output: vec![value("y", FLOAT, &["2"]), value("z", FLOAT, &["2"])],
            node: vec![both(node("If", &["c"], &["y"])), last],
            initializer: vec![floats("k", &[2], &[10.0, 20.0])],
            ..GraphProto::default()
        },
    )
}

#[test]
fn branches_read_constants_around_them_and_share_names() {
    let read = conditional();
    for options in [ImportOptions::default(), unfolded()] {
        let written = written(&read, &options);
        for (c, y, z) in [(true, [11.0, 22.0], [1.0, 2.0]), (false, [30.0, 160.0], [10.0, 20.0])] {
            let inputs = Weights::from([("x".to_owned(), array(&[1.0, 2.0])), ("c".to_owned(), truth(c))]);
            for model in [&read, &written] {
                let found = run(model, &inputs);
                assert_eq!((&found["y"], &found["z"]), (&array(&y), &array(&z)));
            }
        }
        let graph = written.graph.unwrap();
        // The constant is written once, and outside.
        assert_eq!(graph.initializer.iter().map(TensorProto::name).collect::<Vec<_>>(), ["k"]);
        let bodies = graph.node[0].attribute.iter().map(|a| a.g.as_ref().unwrap());
        let inner: Vec<_> = bodies.flat_map(|g| &g.initializer).map(TensorProto::name).collect();
        assert_eq!(inner, ["w"]);
    }
}

/// A loop that appends to what it carries, whose body reads a constant around it.
#[test]
fn loops_are_written_back() {
    let going = || value("going", BOOL, &[]);
    let inside = body(
        vec![node("Concat", &["v", "k"], &["grown"]), node("Identity", &["going"], &["on"])],
        vec![
            value("i", INT64, &[]),
            going(),
            ValueInfoProto { name: Some("v".into()), ..value("v", FLOAT, &["n"]) },
        ],
        vec![value("on", BOOL, &[]), value("grown", FLOAT, &["m"])],
    );
    let mut inside = inside;
    inside.node[0].attribute.push(AttributeProto::int("axis", 0));
    let read = model(
        8,
        13,
        GraphProto {
            input: vec![value("x", FLOAT, &["1"])],
            output: vec![value("y", FLOAT, &["q"])],
            node: vec![with_graph(node("Loop", &["trips", "", "x"], &["y"]), "body", inside)],
            initializer: vec![TensorProto { dims: vec![], ..ints("trips", &[3]) }, floats("k", &[1], &[5.0])],
            ..GraphProto::default()
        },
    );
    let inputs = Weights::from([("x".to_owned(), array(&[1.0]))]);
    let y = array(&[1.0, 5.0, 5.0, 5.0]);
    for model in [&read, &written(&read, &ImportOptions::default()), &written(&read, &unfolded())] {
        assert_eq!(run(model, &inputs)["y"], y);
    }
}

/// A body that says no types and calls its values as those around it: it takes slices, whose rank is one less.
#[test]
fn scans_hand_slices_to_their_body() {
    let untyped = |name: &str| ValueInfoProto { name: Some(name.into()), ..ValueInfoProto::default() };
    let inside = body(
        vec![node("Add", &["sum", "x"], &["next"]), node("Identity", &["next"], &["all"])],
        vec![untyped("sum"), untyped("x")],
        vec![untyped("next"), untyped("all")],
    );
    let mut scan = with_graph(node("Scan", &["start", "rows"], &["sum", "all"]), "body", inside);
    scan.attribute.push(AttributeProto::int("num_scan_inputs", 1));
    let ranks = |model: &ModelProto| -> Vec<usize> {
        let node = &model.graph.as_ref().unwrap().node[0];
        let body = node.attribute.iter().find_map(|a| a.g.as_ref()).unwrap();
        let rank = |v: &ValueInfoProto| match v.r#type.as_ref().and_then(|t| t.value.as_ref()) {
            Some(type_proto::Value::TensorType(t)) => t.shape.as_ref().map_or(9, |s| s.dim.len()),
            _ => 9,
        };
        body.input.iter().map(rank).collect()
    };
    let read = model(
        8,
        13,
        GraphProto {
            input: vec![value("start", FLOAT, &["2"]), value("rows", FLOAT, &["3", "2"])],
            output: vec![value("sum", FLOAT, &["2"]), value("all", FLOAT, &["3", "2"])],
            node: vec![scan],
            ..GraphProto::default()
        },
    );
    let rows = Array::from_f32([3, 2], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
    let inputs = Weights::from([("start".to_owned(), array(&[1.0, 0.0])), ("rows".to_owned(), rows)]);
    let again = written(&read, &ImportOptions::default());
    assert_eq!(ranks(&again), [1, 1]);
    for model in [&read, &again] {
        let results = run(model, &inputs);
        assert_eq!(results["sum"], array(&[10.0, 12.0]));
        let all = Array::from_f32([3, 2], vec![2.0, 2.0, 5.0, 6.0, 10.0, 12.0]).unwrap();
        assert_eq!(results["all"], all);
    }
}

#[test]
fn outputs_that_are_constants_are_written_under_their_names() {
    let read = model(
        8,
        13,
        GraphProto {
            input: vec![value("x", FLOAT, &["2"])],
            output: vec![
                value("y", FLOAT, &["2"]),
                value("w", FLOAT, &["2"]),
                value("c", FLOAT, &["2"]),
                value("x", FLOAT, &["2"]),
            ],
            node: vec![node("Mul", &["x", "w"], &["y"]), node("Add", &["w", "w"], &["c"])],
            initializer: vec![floats("w", &[2], &[3.0, 4.0])],
            ..GraphProto::default()
        },
    );
    let inputs = Weights::from([("x".to_owned(), array(&[1.0, 2.0]))]);
    for options in [ImportOptions::default(), unfolded()] {
        let found = run(&written(&read, &options), &inputs);
        let wanted = [("y", [3.0, 8.0]), ("w", [3.0, 4.0]), ("c", [6.0, 8.0]), ("x", [1.0, 2.0])];
        for (name, values) in wanted {
            assert_eq!(found[name], array(&values), "{name}");
        }
    }
}

/// Until version 3 of the format initializers are inputs; graphs in nodes have none then.
#[test]
fn old_files_list_their_initializers() {
    let mut read = conditional();
    read.ir_version = Some(3);
    let graph = read.graph.as_mut().unwrap();
    graph.input.push(value("k", FLOAT, &["2"]));
    let written = written(&read, &ImportOptions::default());
    let graph = written.graph.as_ref().unwrap();
    assert_eq!(graph.input.iter().map(ValueInfoProto::name).collect::<Vec<_>>(), ["x", "c", "k"]);
    for g in graph.node.iter().flat_map(|n| &n.attribute).filter_map(|a| a.g.as_ref()) {
        assert!(g.initializer.is_empty());
    }
    let inputs = Weights::from([("x".to_owned(), array(&[1.0, 2.0])), ("c".to_owned(), truth(false))]);
    assert_eq!(run(&written, &inputs)["y"], array(&[30.0, 160.0]));
}

/// `y = x * k + (k + k)` where `k` may be given, reshaped as `s` says, which may be given too.
fn with_default() -> ModelProto {
    model(
        8,
        13,
        GraphProto {
            input: vec![value("k", FLOAT, &[]), value("x", FLOAT, &["2"]), value("s", INT64, &["2"])],
            output: vec![value("y", FLOAT, &["1", "2"])],
            node: vec![
                node("Mul", &["x", "k"], &["xk"]),
                node("Add", &["k", "k"], &["kk"]),
                node("Add", &["xk", "kk"], &["flat"]),
                node("Reshape", &["flat", "s"], &["y"]),
            ],
            initializer: vec![TensorProto { dims: vec![], ..floats("k", &[], &[2.0]) }, ints("s", &[1, 2])],
            ..GraphProto::default()
        },
    )
}

#[test]
fn inputs_with_a_default_can_be_given() {
    let read = with_default();
    let written = written(&read, &ImportOptions::default());
    let names: Vec<&str> = written.graph.as_ref().unwrap().input.iter().map(ValueInfoProto::name).collect();
    assert_eq!(names, ["k", "x", "s"]);
    let of = |model: &ModelProto, given: Weights| {
        let options = ImportOptions { given: given.clone(), ..ImportOptions::default() };
        let Imported { graph, weights, .. } = import_model(model.clone(), "m".as_ref(), &options).unwrap();
        let found = Interpreter::new(&graph, &weights).unwrap().run(&given).unwrap();
        (found["y"].shape().to_vec(), found["y"].as_f32().unwrap().to_vec())
    };
    let x = ("x".to_owned(), array(&[1.0, 2.0]));
    let k = ("k".to_owned(), Array::from_f32([], vec![5.0]).unwrap());
    let s = ("s".to_owned(), Array::from_i64([2], vec![2, 1]).unwrap());
    for model in [&read, &written] {
        assert_eq!(of(model, Weights::from([x.clone()])), (vec![1, 2], vec![6.0, 8.0]));
        assert_eq!(of(model, Weights::from([x.clone(), k.clone()])), (vec![1, 2], vec![15.0, 20.0]));
        assert_eq!(of(model, Weights::from([x.clone(), s.clone()])), (vec![2, 1], vec![6.0, 8.0]));
    }
    let wrong = Weights::from([("k".to_owned(), array(&[1.0]))]);
    let options = ImportOptions { given: wrong, ..ImportOptions::default() };
    let error = import_model(read, "m".as_ref(), &options).unwrap_err().to_string();
    assert!(error.contains("input `k`: f32[] wanted"), "{error}");
}

/// `squeeze(1)` of an axis of open size, as PyTorch writes it: only squeezed where the size is 1.
fn squeezed() -> ModelProto {
    let yes = body(vec![node("Squeeze", &["x", "one"], &["s"])], vec![], vec![value("s", FLOAT, &["n"])]);
    let no = body(vec![node("Identity", &["x"], &["i"])], vec![], vec![value("i", FLOAT, &["n", "m"])]);
    model(
        8,
        13,
        GraphProto {
            input: vec![value("x", FLOAT, &["n", "m"])],
            output: vec![value("y", FLOAT, &[])],
            node: vec![
                node("Shape", &["x"], &["shape"]),
                node("Gather", &["shape", "one"], &["size"]),
                node("Equal", &["size", "one"], &["is"]),
                node("Squeeze", &["is"], &["c"]),
                with_graph(with_graph(node("If", &["c"], &["r"]), "then_branch", yes), "else_branch", no),
                node("Relu", &["r"], &["y"]),
            ],
            initializer: vec![ints("one", &[1])],
            ..GraphProto::default()
        },
    )
}

#[test]
fn sizes_decide_between_branches_of_other_ranks() {
    let read = squeezed();
    let error = self::read(&read, &ImportOptions::default()).unwrap_err().to_string();
    assert!(error.contains("different types or ranks") && error.contains("--dim"), "{error}");
    for (m, rank) in [(1, 1), (3, 2)] {
        let options = ImportOptions { dims: Bindings::from([("m".into(), m)]), ..ImportOptions::default() };
        let graph = self::read(&read, &options).unwrap().graph;
        assert_eq!(graph.value(graph.outputs()[0].1).unwrap().fact.rank(), rank);
        let given = Weights::from([("x".to_owned(), Array::full([2, m], 1.0))]);
        let options = ImportOptions { given, ..ImportOptions::default() };
        let graph = self::read(&read, &options).unwrap().graph;
        assert_eq!(graph.value(graph.outputs()[0].1).unwrap().fact.rank(), rank);
    }
    let options = ImportOptions { dims: Bindings::from([("k".into(), 1)]), ..ImportOptions::default() };
    let error = self::read(&read, &options).unwrap_err().to_string();
    assert!(
        error.contains("no input has a size called `k`; sizes that the file leaves open: m, n"),
        "{error}"
    );
}

/// A condition that only the elements of an input tell.
#[test]
fn elements_decide_between_branches_of_other_ranks() {
    let mut read = squeezed();
    let graph = read.graph.as_mut().unwrap();
    graph.input.push(value("c", BOOL, &[]));
    graph.node.drain(..4);
    for (c, m, rank) in [(true, 1, 1), (false, 1, 2), (false, 3, 2)] {
        let x = Array::full([2, m], 1.0);
        let given = Weights::from([("x".to_owned(), x), ("c".to_owned(), truth(c))]);
        let options = ImportOptions { given: given.clone(), ..ImportOptions::default() };
        let Imported { graph, weights, .. } = self::read(&read, &options).unwrap();
        let found = Interpreter::new(&graph, &weights).unwrap().run(&given).unwrap();
        assert_eq!(found["y"].shape().len(), rank);
    }
}

/// Texts stay with what they are about; what nothing reads stays where nothing is folded.
#[test]
fn texts_and_unread_nodes_are_kept() {
    let entry = || vec![StringStringEntryProto { key: Some("a".into()), value: Some("b".into()) }];
    let doc = |of: &str| Some(format!("about {of}"));
    let mut read = with_default();
    let graph = read.graph.as_mut().unwrap();
    graph.doc_string = doc("g");
    graph.metadata_props = entry();
    graph.node.push(node("Relu", &["x"], &["unread"]));
    for (i, node) in graph.node.iter_mut().enumerate() {
        (node.doc_string, node.metadata_props) = (doc(&i.to_string()), entry());
    }
    graph.node[0].name = Some("named".into());
    for tensor in &mut graph.initializer {
        (tensor.doc_string, tensor.metadata_props) = (doc(tensor.name()), entry());
    }
    graph.value_info = vec![value("xk", FLOAT, &["2"])];
    for info in graph.value_info.iter_mut().chain(&mut graph.input).chain(&mut graph.output) {
        (info.doc_string, info.metadata_props) = (doc(info.name()), entry());
        let r#type = info.r#type.as_mut().unwrap();
        r#type.denotation = Some("TENSOR".into());
        let Some(type_proto::Value::TensorType(tensor)) = &mut r#type.value else { panic!() };
        tensor.shape.iter_mut().flat_map(|s| &mut s.dim).for_each(|d| d.denotation = Some("DATA".into()));
    }
    let again = written(&read, &unfolded());
    let (again, graph) = (again.graph.unwrap(), read.graph.unwrap());
    assert_eq!((&again.node, &again.input, &again.output), (&graph.node, &graph.input, &graph.output));
    assert_eq!((&again.doc_string, &again.metadata_props), (&graph.doc_string, &graph.metadata_props));
    let find = |name: &str| again.value_info.iter().find(|v| v.name() == name).unwrap();
    assert_eq!(*find("xk"), graph.value_info[0]);
    for (now, was) in again.initializer.iter().zip(&graph.initializer) {
        assert_eq!((&now.doc_string, &now.metadata_props), (&was.doc_string, &was.metadata_props));
    }
}

/// `ceil_mode` came with version 10.
#[test]
fn old_pools_have_no_attribute_of_newer_ones() {
    for (opset, wanted) in [(9, false), (10, true)] {
        let mut pool = node("AveragePool", &["x"], &["y"]);
        pool.attribute =
            vec![AttributeProto::ints("kernel_shape", [2, 2]), AttributeProto::ints("strides", [2, 2])];
        let read = model(
            4,
            opset,
            GraphProto {
                input: vec![value("x", FLOAT, &["1", "2", "4", "4"])],
                output: vec![value("y", FLOAT, &["1", "2", "2", "2"])],
                node: vec![pool],
                ..GraphProto::default()
            },
        );
        let Imported { mut graph, mut weights, origin } =
            self::read(&read, &ImportOptions::default()).unwrap();
        occam_graph::recognize::recognize(&mut graph, &mut weights).unwrap();
        let again = export_imported(&graph, &weights, &origin).unwrap().graph.unwrap();
        let found = again.node[0].attribute.iter().any(|a| a.name() == "ceil_mode");
        assert_eq!(found, wanted, "{:?}", again.node);
    }
}

#[test]
fn operators_that_are_not_known_are_no_fault_of_the_file() {
    let read = model(
        8,
        13,
        GraphProto {
            input: vec![value("x", FLOAT, &["2"])],
            output: vec![value("y", FLOAT, &["2"])],
            node: vec![node("NoSuchThing", &["x"], &["y"])],
            ..GraphProto::default()
        },
    );
    let error = self::read(&read, &ImportOptions::default()).unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }));
    let text = error.to_string();
    assert!(text.contains("cannot be read: node `y` (NoSuchThing): operator ai.onnx::NoSuchThing"), "{text}");
}

//! Files in ONNX Runtime; skipped, with a note, where its library is not found.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};

use occam_graph::{Array, Bindings, DType, Data, Weights};
use occam_interp::Interpreter;
use occam_io::npz;
use occam_io::onnx::proto::{
    GraphProto, NodeProto, OperatorSetIdProto, TensorShapeProto, TypeProto, ValueInfoProto, dimension,
    type_proto,
};
use occam_io::onnx::{ImportOptions, ModelProto, import, write_model};
use occam_runtime::inputs::random_inputs;
use occam_runtime::latency::{self, Candidate, Options};
use occam_runtime::{Error, OnnxRuntime, Runtime, onnxruntime};

fn runtime() -> Option<&'static OnnxRuntime> {
    match onnxruntime() {
        Ok(runtime) => Some(runtime),
        Err(error) => {
            eprintln!("skipped: {error}");
            None
        }
    }
}

fn golden(name: &str) -> PathBuf {
    occam_testing::workspace().join("tests/golden/onnx").join(name)
}

fn near(found: &Array, wanted: &Array) {
    assert_eq!(found.shape(), wanted.shape());
    for (a, b) in found.as_f32().unwrap().iter().zip(wanted.as_f32().unwrap()) {
        assert!((a - b).abs() <= 1e-4 * b.abs().max(1.0), "{a}, not {b}");
    }
}

#[test]
fn files_run() {
    let Some(runtime) = runtime() else { return };
    assert!(runtime.version().starts_with("1."), "{}", runtime.version());
    assert!(runtime.library().is_file());
    let arrays = npz::load(golden("arrays.npz")).unwrap();
    let mut session = runtime.load(&golden("small.onnx"), 2).unwrap();
    assert_eq!(session.inputs()[0].fact.to_string(), "f32[batch, 3, 32, 32]");
    assert_eq!(session.outputs()[0].name, "output");
    let outputs = session.run(&[("input".into(), arrays["input"].clone())]).unwrap();
    near(&outputs[0].1, &arrays["output"]);
    // Those of other forms, on random numbers and against Occam's own interpreter.
    for name in ["classifier_f16.onnx", "classifier_qdq.onnx", "quantized.onnx", "tokens.onnx"] {
        let mut session = runtime.load(&golden(name), 1).unwrap();
        let inputs = random_inputs(session.inputs(), &Bindings::from([("N".into(), 2)]), 0).unwrap();
        let found = session.run(&inputs).unwrap();
        let imported = import(golden(name), &ImportOptions::default()).unwrap();
        let inputs: Weights = inputs.into_iter().collect();
        let wanted = Interpreter::new(&imported.graph, &imported.weights).unwrap().run(&inputs).unwrap();
        assert_eq!(found.len(), wanted.len(), "{name}");
        let largest = wanted[0].as_f32().unwrap().iter().fold(0f32, |m, x| m.max(x.abs()));
        let tolerance = if name.contains('q') { 0.05 } else { 5e-3 };
        for (a, b) in found[0].1.as_f32().unwrap().iter().zip(wanted[0].as_f32().unwrap()) {
            assert!((a - b).abs() <= tolerance * largest, "{name}: {a}, not {b}");
        }
    }
}

/// A file that gives back what it gets, by names `x0`, `x1`, .. and `y0`, ..
fn copies(folder: &Path, types: &[i32]) -> PathBuf {
    let info = |name: String, elem_type: i32| {
        let value = dimension::Value::DimParam("n".into());
        let dim = dimension::Dimension { value: Some(value), denotation: None };
        let tensor = type_proto::Tensor {
            elem_type: Some(elem_type),
            shape: Some(TensorShapeProto { dim: vec![dim] }),
        };
        let value = Some(type_proto::Value::TensorType(tensor));
        let r#type = Some(TypeProto { value, denotation: None });
        ValueInfoProto { name: Some(name), r#type, ..Default::default() }
    };
    let all = || types.iter().enumerate();
    let graph = GraphProto {
        name: Some("copies".into()),
        input: all().map(|(i, &t)| info(format!("x{i}"), t)).collect(),
        output: all().map(|(i, &t)| info(format!("y{i}"), t)).collect(),
        node: all()
            .map(|(i, _)| NodeProto {
                input: vec![format!("x{i}")],
                output: vec![format!("y{i}")],
                op_type: Some("Identity".into()),
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    };
    let model = ModelProto {
        ir_version: Some(8),
        graph: Some(graph),
        opset_import: vec![OperatorSetIdProto { domain: None, version: Some(17) }],
        ..Default::default()
    };
    let path = folder.join("copies.onnx");
    write_model(&path, &model).unwrap();
    path
}

#[test]
fn all_types_pass_through() {
    let Some(runtime) = runtime() else { return };
    let dir = tempfile::tempdir().unwrap();
    let bytes: Vec<u8> = (0..16).collect();
    let types = [
        (1, DType::F32),
        (2, DType::U8),
        (3, DType::I8),
        (4, DType::U16),
        (5, DType::I16),
        (6, DType::I32),
        (7, DType::I64),
        (10, DType::F16),
        (11, DType::F64),
        (12, DType::U32),
        (13, DType::U64),
        (16, DType::BF16),
    ];
    let mut codes: Vec<i32> = types.iter().map(|(code, _)| *code).collect();
    let mut inputs: Vec<(String, Array)> = Vec::new();
    for (i, (_, dtype)) in types.into_iter().enumerate() {
        let array = Array::from_le_bytes(dtype, [16 / dtype.size()], &bytes).unwrap();
        inputs.push((format!("x{i}"), array));
    }
    codes.push(9);
    inputs.push(("x12".into(), Array::new([3], Data::Bool(vec![true, false, true])).unwrap()));
    let mut session = runtime.load(&copies(dir.path(), &codes), 1).unwrap();
    inputs.reverse();
    let outputs = session.run(&inputs).unwrap();
    assert_eq!(outputs.len(), inputs.len());
    for (name, array) in &outputs {
        let (_, wanted) = inputs.iter().find(|(n, _)| n[1..] == name[1..]).unwrap();
        assert_eq!(array.to_le_bytes(), wanted.to_le_bytes(), "{name}");
        assert_eq!(array.dtype(), wanted.dtype(), "{name}");
    }
    // Nothing is something, too.
    inputs.last_mut().unwrap().1 = Array::from_f32([0], Vec::new()).unwrap();
    assert!(session.run(&inputs).unwrap()[0].1.is_empty());
    // Texts are no numbers.
    let error = runtime.load(&copies(dir.path(), &[8]), 1).err().unwrap();
    assert!(matches!(error, Error::Port { .. }), "{error}");
    assert!(error.to_string().contains("`x0` is an array of type String"), "{error}");
}

#[test]
fn what_does_not_fit_is_refused() {
    let Some(runtime) = runtime() else { return };
    let mut session = runtime.load(&golden("small.onnx"), 1).unwrap();
    let mut message = |inputs: &[(&str, Array)]| {
        let inputs: Vec<(String, Array)> = inputs.iter().map(|(n, a)| ((*n).to_owned(), a.clone())).collect();
        session.run(&inputs).unwrap_err().to_string()
    };
    let good = Array::full([1, 3, 32, 32], 0.0);
    assert_eq!(message(&[]), "input `input`: it is missing; f32[batch, 3, 32, 32] is wanted");
    assert_eq!(
        message(&[("input", good.clone()), ("other", good.clone())]),
        "input `other`: the file has none of that name, but input"
    );
    for wrong in [Array::full([1, 3, 32], 0.0), Array::full([1, 4, 32, 32], 0.0)] {
        assert!(message(&[("input", wrong)]).starts_with("input `input`: f32[batch, 3, 32, 32] is wanted"));
    }
    let dir = tempfile::tempdir().unwrap();
    let broken = dir.path().join("broken.onnx");
    std::fs::write(&broken, "no model").unwrap();
    for file in [broken, dir.path().join("none.onnx")] {
        let error = runtime.load(&file, 1).err().unwrap();
        assert!(matches!(error, Error::Load { .. }), "{error}");
    }
}

#[test]
fn files_are_timed_against_each_other() {
    let Some(runtime) = runtime() else { return };
    let mut files: Vec<_> =
        ["small.onnx", "small_11.onnx"].iter().map(|n| runtime.load(&golden(n), 1).unwrap()).collect();
    let bindings = Bindings::from([("batch".into(), 2)]);
    let inputs: Vec<_> = files.iter().map(|s| random_inputs(s.inputs(), &bindings, 0).unwrap()).collect();
    assert_eq!(inputs[0][0].1.shape(), [2, 3, 32, 32]);
    let mut candidates: Vec<_> = files
        .iter_mut()
        .zip(&inputs)
        .map(|(session, inputs)| Candidate { session: &mut **session, inputs })
        .collect();
    let options = Options { rounds: 2, runs: 3, ..Options::default() };
    let times = latency::measure(&mut candidates, &options).unwrap();
    assert_eq!(times.len(), 2);
    for t in &times {
        assert!(t.min() > 0.0 && t.min() <= t.median() && t.medians().len() == 2, "{t:?}");
    }
    assert!(times[1].speedup(&times[0]).median > 0.0);
}

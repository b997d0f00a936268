//! A model as PyTorch exports it: read, run in both ways, written back, trained on.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::PathBuf;
use std::sync::Arc;

use assert_cmd::Command;
use occam::engine::{Device, Executor, Mode, Params, Request, Tensor, collect};
use occam::graph::recognize::{Recognized, recognize};
use occam::graph::{Array, Op, Weights};
use occam::interp::Interpreter;
use occam::io::npz;
use occam::io::onnx::{ImportOptions, Imported, Message, export_imported, import, import_bytes};

use occam_testing::workspace;

const FILES: [&str; 3] = ["small", "small_11", "small_dynamo"];

fn path(name: &str) -> PathBuf {
    workspace().join("tests/golden/onnx").join(name)
}

fn read(name: &str, fold: bool) -> Imported {
    import(path(&format!("{name}.onnx")), &ImportOptions { fold, ..ImportOptions::default() }).unwrap()
}

/// The input, and what ONNX Runtime makes of it.
fn arrays() -> (Array, Array) {
    let arrays = npz::load(path("arrays.npz")).unwrap();
    (arrays["input"].clone(), arrays["output"].clone())
}

fn near(found: &Array, wanted: &Array, about: &str) {
    assert_eq!(found.shape(), wanted.shape(), "{about}");
    let largest = wanted.as_f32().unwrap().iter().fold(0f32, |m, x| m.max(x.abs()));
    for (a, b) in found.as_f32().unwrap().iter().zip(wanted.as_f32().unwrap()) {
        assert!((a - b).abs() <= 1e-4 * largest, "{about}: {a}, not {b}");
    }
}

fn interpreted(model: &Imported) -> Array {
    let inputs = Weights::from([("input".to_owned(), arrays().0)]);
    let outputs = Interpreter::new(&model.graph, &model.weights).unwrap().run(&inputs).unwrap();
    outputs.first().unwrap().1.clone()
}

fn recognized(name: &str) -> (Imported, Recognized) {
    let mut model = read(name, true);
    let found = recognize(&mut model.graph, &mut model.weights).unwrap();
    (model, found)
}

#[test]
fn files_run_as_in_onnx_runtime() {
    for name in FILES {
        for fold in [true, false] {
            near(&interpreted(&read(name, fold)), &arrays().1, name);
        }
    }
}

#[test]
fn what_exporters_write_out_is_recognized() {
    for name in FILES {
        let (model, found) = recognized(name);
        let count = |kind: &str| found.written_out.iter().filter(|(k, _)| *k == kind).count();
        let has = |wanted: &str| model.graph.nodes().filter(|(_, n)| n.op.family().name() == wanted).count();
        assert_eq!(
            found.left.keys().filter(|k| *k != "Reshape" && *k != "Unsqueeze").count(),
            0,
            "{name}: {found:?}"
        );
        assert_eq!((has("Conv"), has("Linear"), has("LayerNorm"), has("Gelu")), (4, 3, 1, 1), "{name}");
        assert_eq!((has("HardSwish"), has("Silu"), has("ChannelShuffle")), (1, 1, 1), "{name}");
        assert_eq!(count("ChannelShuffle"), 1, "{name}");
    }
    // The shapes are followed through the arithmetic of the batch.
    let (model, _) = recognized("small");
    let output = model.graph.value(model.graph.outputs()[0].1).unwrap();
    assert_eq!(output.fact.to_string(), "f32[batch, 5]");
    let modules: Vec<&str> = model.graph.modules().keys().map(String::as_str).collect();
    for path in ["conv1", "se", "se.reduce", "mixer", "mixer.norm", "mixer.fc1", "fc"] {
        assert!(modules.contains(&path), "{path} is not among {modules:?}");
    }
}

#[test]
fn recognized_models_run_in_the_engine_and_are_written_back() {
    let (x, wanted) = arrays();
    for name in FILES {
        let (model, _) = recognized(name);
        let proto = export_imported(&model.graph, &model.weights, &model.origin).unwrap();
        let again = import_bytes(proto.encode_to_vec(), &ImportOptions::default()).unwrap();
        near(&interpreted(&again), &wanted, name);
        assert_eq!(again.origin.opset(), model.origin.opset());
        assert_eq!(again.origin.producer(), model.origin.producer());

        let params = Params::new(&model.graph, &model.weights, &Device::cpu()).unwrap();
        let executor = Executor::new(Arc::new(model.graph)).unwrap();
        let found = executor
            .run_arrays(&params.constants(), std::slice::from_ref(&x), &Request::default(), &Device::cpu())
            .unwrap();
        near(&found[0], &wanted, name);
    }
}

/// A file of operator set 11 in newer ones: attributes that became operands are these, and it computes the same.
#[test]
fn files_of_older_operator_sets_become_newer() {
    for (name, opset) in
        [("small_11", 13), ("small_11", 18), ("small_11", 23), ("small", 21), ("small_dynamo", 23)]
    {
        for whole in [false, true] {
            let mut model = read(name, true);
            if whole {
                recognize(&mut model.graph, &mut model.weights).unwrap();
            }
            model.raise(opset).unwrap();
            let file = export_imported(&model.graph, &model.weights, &model.origin).unwrap().encode_to_vec();
            let again = import_bytes(file, &ImportOptions::default()).unwrap();
            assert_eq!(again.origin.opset(), opset);
            near(&interpreted(&again), &arrays().1, &format!("{name} at {opset}"));
        }
    }
    let error = read("small", true).raise(11).unwrap_err().to_string();
    assert!(error.contains("11 is older than the file's own"), "{error}");
    assert!(read("small", true).raise(99).is_err());
}

#[test]
fn nothing_is_lost_as_is() {
    for name in FILES {
        let model = read(name, false);
        let before = occam::io::onnx::read_model(path(&format!("{name}.onnx"))).unwrap();
        let after = export_imported(&model.graph, &model.weights, &model.origin).unwrap();
        assert_eq!(after.opset_import, before.opset_import);
        assert_eq!(after.metadata_props, before.metadata_props);
        let (before, after) = (before.graph.unwrap(), after.graph.unwrap());
        assert_eq!(after.name, before.name);
        // Constants become initializers.
        let nodes = |graph: &occam::io::onnx::proto::GraphProto| {
            let kept = graph.node.iter().filter(|n| n.op_type() != "Constant").cloned();
            let mut nodes: Vec<_> = kept.collect();
            nodes.sort_by(|a, b| a.name().cmp(b.name()));
            nodes
        };
        let (before, after) = (nodes(&before), nodes(&after));
        assert_eq!(before.len(), after.len());
        for (a, b) in after.iter().zip(&before) {
            assert_eq!(
                (&a.name, &a.op_type, &a.input, &a.output),
                (&b.name, &b.op_type, &b.input, &b.output)
            );
            assert_eq!(a.doc_string, b.doc_string);
            assert_eq!(a.metadata_props, b.metadata_props);
            assert_eq!(a.attribute.len(), b.attribute.len(), "{}", a.name());
        }
    }
}

#[test]
fn an_imported_model_learns() {
    let (model, _) = recognized("small");
    let (x, _) = arrays();
    let images = Tensor::from_array(&x, &Device::cpu()).unwrap();
    let target =
        Tensor::from_f32(&[2, 5], vec![1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0], &Device::cpu())
            .unwrap();
    let mut weights = model.weights.clone();
    let norms = model.graph.nodes().filter(|(_, n)| matches!(n.op, Op::BatchNorm(_))).count();
    assert_eq!(norms, 2, "batch normalization is there to be trained");
    let graph = Arc::new(model.graph);
    let executor = Executor::new(graph.clone()).unwrap();
    let mut losses = Vec::new();
    for _ in 0..20 {
        let params = Params::new(&graph, &weights, &Device::cpu()).unwrap();
        let bound = params.leaves();
        let out = executor.run(&bound, std::slice::from_ref(&images), &Request::new(Mode::Train)).unwrap();
        let error = out.outputs[0].sub(&target).unwrap();
        let loss = error.mul(&error).unwrap().sum().unwrap();
        losses.push(loss.item().unwrap());
        let gradients = collect(&bound, &mut loss.backward().unwrap());
        let trainable = graph.params().filter(|(_, v)| v.role() == Some(occam::graph::Role::Weight)).count();
        assert_eq!(gradients.len(), trainable);
        for (name, gradient) in gradients {
            let (old, gradient) = (weights[&name].clone(), gradient.to_f32().unwrap());
            let new = old.as_f32().unwrap().iter().zip(&gradient).map(|(w, g)| w - 5e-4 * g).collect();
            weights.insert(name, Array::from_f32(old.shape(), new).unwrap());
        }
    }
    assert!(losses[19] < 0.5 * losses[0], "{losses:?}");
}

#[test]
fn the_commands_say_what_they_find() {
    let folder = tempfile::tempdir().unwrap();
    let occam = |args: &[&str]| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_occam")).current_dir(folder.path()).args(args).output().unwrap();
        let text =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.code(), text)
    };
    std::fs::copy(path("small_11.onnx"), folder.path().join("m.onnx")).unwrap();
    std::fs::copy(path("arrays.npz"), folder.path().join("a.npz")).unwrap();
    let (code, text) = occam(&["run", "m.onnx", "--inputs", "a.npz", "--expect", "a.npz"]);
    assert_eq!(code, Some(0), "{text}");
    let (code, text) =
        occam(&["run", "m.onnx", "--inputs", "a.npz", "--expect", "a.npz", "--tolerance", "0"]);
    assert!(code == Some(2) && text.contains("away from what is expected"), "{text}");
    // Where a tolerance is no number, nothing would be too far away.
    let (code, text) =
        occam(&["run", "m.onnx", "--inputs", "a.npz", "--expect", "a.npz", "--tolerance", "nan"]);
    assert!(code == Some(2) && text.contains("no number of 0 or more"), "{text}");
    let (code, text) = occam(&["convert", "m.onnx", "n.onnx", "--key", "state_dict"]);
    assert!(code == Some(2) && text.contains("--key is for weights"), "{text}");
    let (code, text) = occam(&["run", "m.onnx"]);
    assert!(code == Some(2) && text.contains("input: f32[batch, 3, 32, 32]"), "{text}");
    let (code, text) = occam(&["run", "m.onnx", "--random", "--dim", "N=2"]);
    assert!(code == Some(2) && text.contains("no input has a size called `N`"), "{text}");
    let (code, text) = occam(&["inspect", "m.onnx", "--svg", "m.svg"]);
    assert!(code == Some(0) && text.contains("recognized where it was written out"), "{text}");
    assert!(std::fs::read_to_string(folder.path().join("m.svg")).unwrap().contains("</svg>"));
    std::fs::write(folder.path().join("cut.onnx"), &std::fs::read(path("small.onnx")).unwrap()[..9000])
        .unwrap();
    let (code, text) = occam(&["inspect", "cut.onnx"]);
    assert!(code == Some(2) && text.contains("cut.onnx"), "{text}");
}

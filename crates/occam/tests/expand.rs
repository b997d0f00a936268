//! `occam expand`: wider files with the same outputs.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

use assert_cmd::Command;
use occam::config::Value;
use occam::graph::Weights;
use occam::interp::Interpreter;
use occam::io::onnx::{ExportOptions, export, import, write_model};
use occam::train::export::fix_image_size;
use occam::zoo::Architecture;
use occam_testing::{Golden, assert_close, fill, values, weights};

/// A classifier of the zoo as a file, with the shape of its images.
fn file(name: &str, path: &Path) -> Vec<usize> {
    let golden = Golden::load(name);
    let shape: Vec<usize> = serde_json::from_value(golden.json("input")).unwrap();
    let config = Value::from_json(&golden.json("config"));
    let model = occam::registry().build::<dyn Architecture>(&config).unwrap().build().unwrap();
    let graph = fix_image_size(&model.graph, [shape[1], shape[2], shape[3]]).unwrap();
    let weights = weights(&graph);
    write_model(path, &export(&graph, &weights, &ExportOptions::default()).unwrap()).unwrap();
    shape
}

fn outputs(path: &Path, shape: &[usize]) -> Vec<f64> {
    let model = import(path, &Default::default()).unwrap();
    let name = model.graph.value(model.graph.inputs()[0]).unwrap().name.clone();
    let inputs = Weights::from([(name, fill("input", shape, -2.0, 2.0))]);
    let out = Interpreter::new(&model.graph, &model.weights).unwrap().run(&inputs).unwrap();
    values(out.values().next().unwrap())
}

fn occam(dir: &Path, args: &[&str]) -> assert_cmd::assert::Assert {
    Command::cargo_bin("occam").unwrap().current_dir(dir).args(args).assert()
}

#[test]
fn wider_files_compute_the_same() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["resnet_cifar", "mobilenet_v2", "shufflenet_v2", "densenet"] {
        let shape = file(name, &dir.path().join("model.onnx"));
        let args = ["--json", "expand", "model.onnx", "--round-to", "16", "-o", "wide.onnx"];
        let told = occam(dir.path(), &args).success();
        let told: serde_json::Value = serde_json::from_slice(&told.get_output().stdout).unwrap();
        let wider = told["units"].as_array().unwrap();
        assert!(wider.iter().all(|u| u["after"].as_u64().unwrap() % 16 == 0), "{name}: {told}");
        if wider.is_empty() {
            occam(
                dir.path(),
                &["prune", "model.onnx", "--macs", "0.7", "--round-to", "1", "-o", "model.onnx"],
            )
            .success();
            occam(dir.path(), &["expand", "model.onnx", "--round-to", "16", "-o", "wide.onnx"]).success();
        }
        let (found, wanted) =
            (outputs(&dir.path().join("wide.onnx"), &shape), outputs(&dir.path().join("model.onnx"), &shape));
        assert_close(name, &found, &wanted, 1e-5);
    }
}

#[test]
fn what_cannot_become_wider_is_told() {
    let dir = tempfile::tempdir().unwrap();
    file("resnet_cifar", &dir.path().join("model.onnx"));
    let fails = |args: &[&str], wanted: &str| {
        let assert = occam(dir.path(), args).failure();
        let text = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
        assert!(text.replace("\n", " ").contains(wanted), "{args:?}: {text}");
        assert!(!dir.path().join("wide.onnx").exists());
    };
    fails(&["expand", "model.onnx", "-o", "wide.onnx"], "--round-to 16");
    fails(&["expand", "model.onnx", "--width", "backbone.conv2=32", "-o", "wide.onnx"], "no unit or layer");
    fails(&["expand", "model.onnx", "--width", "backbone.*=1", "-o", "wide.onnx"], "loses none here");
    fails(&["expand", "model.onnx", "--width", "backbone.*=100000", "-o", "wide.onnx"], "more than");
}

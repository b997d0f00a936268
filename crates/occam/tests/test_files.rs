//! `occam test --model` and `occam run --integers`: files in runtimes that every machine has. No test asserts a time.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use occam_testing::workspace;
use serde_json::Value as Json;

/// Images of five classes, four each.
fn images(dir: &Path) -> PathBuf {
    let files = workspace().join("tests/golden/data/files");
    for (i, class) in ["a", "b", "c", "d", "e"].iter().enumerate() {
        let folder = dir.join("images").join(class);
        std::fs::create_dir_all(&folder).unwrap();
        for k in 0..4 {
            let file = if (i + k) % 2 == 0 { "444.jpg" } else { "turned6.jpg" };
            std::fs::copy(files.join(file), folder.join(format!("{k}.jpg"))).unwrap();
        }
    }
    dir.join("images")
}

fn golden(name: &str) -> String {
    workspace().join("tests/golden").join(name).display().to_string()
}

fn occam(args: &[&str]) -> (bool, String) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_occam")).args(args).env_remove("OCCAM_OPENVINO").output().unwrap();
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    let text = String::from_utf8(text).unwrap();
    (output.status.success(), text.split_whitespace().collect::<Vec<_>>().join(" ").replace("│ ", ""))
}

fn figures(args: &[&str]) -> Json {
    let (done, text) = occam(&[args, &["--json", "--threads", "1"]].concat());
    assert!(done, "{args:?}: {text}");
    serde_json::from_str::<Json>(&text).unwrap_or_else(|e| panic!("{e}: {text}"))["metrics"].clone()
}

#[test]
fn files_are_measured_against_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let (data, model) = (images(dir.path()).display().to_string(), golden("onnx/small.onnx"));
    let work = dir.path().join("work").display().to_string();
    let common = ["--data", &data, "--runtime", "occam", "--latency-rounds", "1", "--work-dir", &work];
    let told = figures(&[&["test", "--model", &model, "--against", &model], &common[..]].concat());
    assert_eq!((told["images"].as_u64(), told["agreement"].as_f64()), (Some(20), Some(100.0)), "{told}");
    assert!((told["cosine"].as_f64().unwrap() - 1.0).abs() < 1e-9, "{told}");
    assert!(told["speedup"]["median"].as_f64().unwrap() > 0.0, "{told}");
    for side in ["model", "against"] {
        let one = &told[side];
        assert!(one["runtime"].as_str().unwrap().starts_with("occam "), "{one}");
        assert!((0.0..=100.0).contains(&one["top1"].as_f64().unwrap()), "{one}");
        assert!(one["latency"]["median_ms"].as_f64().unwrap() > 0.0, "{one}");
    }
    let written = std::fs::read_to_string(Path::new(&work).join("test.json")).unwrap();
    assert_eq!(serde_json::from_str::<Json>(&written).unwrap(), told);
    // Some images, and none.
    let some = figures(&["test", "--model", &model, "--data", &data, "--runtime", "own", "--images", "3"]);
    assert_eq!(some["images"], 3);
    let none = figures(&[
        "test",
        "--model",
        &model,
        "--runtime",
        "occam",
        "--latency-rounds",
        "1",
        "--dim",
        "batch=2",
    ]);
    assert!(
        none["model"]["latency"]["min_ms"].as_f64().unwrap() > 0.0 && none["model"]["top1"].is_null(),
        "{none}"
    );
}

#[test]
fn other_processors_are_simulated() {
    let dir = tempfile::tempdir().unwrap();
    let (data, model) = (images(dir.path()).display().to_string(), golden("quant/simulator.onnx"));
    let told = figures(&["test", "--model", &model, "--data", &data, "--cpu", "x86-avx2"]);
    assert_eq!(told["model"]["runtime"], "simulator x86-avx2");
    assert!(told["model"]["latency"].is_null() && told["model"]["saturation"].is_array(), "{told}");
    let (done, text) = occam(&["test", "--model", &model, "--data", &data, "--cpu", "x86-avx2"]);
    assert!(done && text.contains("top 1") && text.contains("saturate"), "{text}");
    let told = figures(&["test", "--model", &model, "--data", &data, "--runtime", "simulator"]);
    assert!(told["model"]["runtime"].as_str().unwrap().starts_with("simulator "), "{told}");
}

#[test]
fn integers_are_those_of_onnx_runtime() {
    let arrays = golden("quant/simulator.npz");
    let model = golden("quant/simulator.onnx");
    let args = [
        "run",
        &model,
        "--integers",
        "x86-vnni",
        "--inputs",
        &arrays,
        "--expect",
        &arrays,
        "--tolerance",
        "0",
    ];
    let (done, text) = occam(&args);
    assert!(done, "{text}");
}

#[test]
fn what_does_not_fit_is_told() {
    let model = golden("onnx/small.onnx");
    let refused = |args: &[&str], wanted: &str| {
        let (done, text) = occam(args);
        assert!(!done && text.contains(wanted), "{args:?}: {text}");
    };
    refused(&["test"], "required");
    refused(&["test", "--model", &model, "--cpu", "z80"], "known are x86-vnni");
    refused(
        &["test", "--model", &model, "--cpu", "arm", "--runtime", "occam"],
        "--cpu is for --runtime simulator",
    );
    refused(&["test", "--model", "none.onnx", "--runtime", "occam"], "none.onnx");
    refused(&["test", "--against", &model], "--model");
    // Found nowhere, or not where it is said to be.
    let output = Command::new(env!("CARGO_BIN_EXE_occam"))
        .args(["test", "--model", &model, "--runtime", "openvino"])
        .env("OCCAM_OPENVINO", "/nowhere/libopenvino_c.so")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && text.contains("OCCAM_OPENVINO=/nowhere"), "{text}");
}

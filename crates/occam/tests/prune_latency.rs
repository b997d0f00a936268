//! `occam prune` by measured times, in Occam's own executor and where it is found in ONNX Runtime. No test asserts a time.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use occam::config::Value;
use occam::io::onnx::{ExportOptions, ImportOptions, export, import, write_model};
use occam::train::export::fix_image_size;
use occam::zoo::Architecture;
use occam_testing::weights;
use serde_json::Value as Json;

/// A ResNet-18 for small images as a file: wide enough that computing takes longer than starting to.
fn model(folder: &Path) -> PathBuf {
    let config = Value::from_json(&serde_json::json!({
        "type": "ImageClassifier",
        "backbone": { "type": "ResNet_CIFAR", "depth": 18, "num_stages": 4, "out_indices": [3] },
        "neck": { "type": "GlobalAveragePooling" },
        "head": { "type": "LinearClsHead", "num_classes": 10, "in_channels": 512 },
    }));
    let model = occam::registry().build::<dyn Architecture>(&config).unwrap().build().unwrap();
    fix_image_size(&model.graph, [3, 16, 16]).unwrap();
    let file = folder.join("model.onnx");
    let proto = export(&model.graph, &weights(&model.graph), &ExportOptions::default()).unwrap();
    write_model(&file, &proto).unwrap();
    file
}

fn occam(folder: &Path, args: &[&str]) -> (bool, Json) {
    let output = Command::new(env!("CARGO_BIN_EXE_occam"))
        .current_dir(folder)
        .env("XDG_CACHE_HOME", folder.join("cache"))
        .args(args)
        .args(["--json", "--threads", "1"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let last = text.lines().last().unwrap_or_else(|| panic!("{args:?}: {output:?}"));
    (output.status.success(), serde_json::from_str(last).unwrap())
}

fn check(told: &Json, runtime: &str) {
    let latency = &told["latency"];
    assert!(latency["runtime"].as_str().unwrap().starts_with(runtime), "{latency}");
    assert_eq!(latency["threads"], 1);
    for key in ["before_ms", "after_ms", "part", "speedup", "speedup_least", "speedup_largest"] {
        assert!(latency[key].as_f64().unwrap() > 0.0, "{key}: {latency}");
    }
    let part = latency["after_ms"].as_f64().unwrap() / latency["before_ms"].as_f64().unwrap();
    assert!((part - latency["part"].as_f64().unwrap()).abs() < 1e-6);
    assert!(latency["models_compared"].as_u64().unwrap() >= 1);
}

#[test]
fn a_part_of_the_time_is_left() {
    let dir = tempfile::tempdir().unwrap();
    model(dir.path());
    for runtime in ["occam", "onnxruntime"] {
        if runtime == "onnxruntime"
            && let Err(error) = occam_runtime::onnxruntime()
        {
            eprintln!("skipped: {error}");
            continue;
        }
        let args = ["prune", "model.onnx", "--latency", "0.6", "--runtime", runtime, "-o", "small.onnx"];
        let (done, told) = occam(dir.path(), &args);
        // On a machine with other work the times may be such that nothing is fast enough, which is an answer, too.
        let message = told["message"].as_str().unwrap_or_default();
        if !done && message.contains("a run cannot take") {
            eprintln!("{runtime}: {message}");
            continue;
        }
        assert!(done, "{told}");
        check(&told, runtime);
        let latency = &told["latency"];
        assert_eq!(latency["wanted_part"], 0.6);
        // Near the target, or it says what stopped it.
        let part = latency["part"].as_f64().unwrap();
        assert_eq!((0.594..=0.6).contains(&part), latency["missed"].is_null(), "{latency}");
        assert!(latency["models_profiled"].as_u64().unwrap() >= 8, "{latency}");
        let predicted = latency["predicted_part"].as_f64().unwrap();
        assert!(predicted > 0.0 && predicted <= 1.0, "{latency}");
        // The units have the multiples that are told, or all their channels.
        let mut narrower = 0;
        for unit in told["units"].as_array().unwrap() {
            let (before, after) = (unit["before"].as_u64().unwrap(), unit["after"].as_u64().unwrap());
            let step = latency["multiples"][unit["unit"].as_str().unwrap()].as_u64().unwrap();
            assert!(after == before || after % step == 0, "{unit} {step}");
            narrower += u64::from(after < before);
        }
        // Where other work disturbed the measurements, nothing may be narrower, and that is told.
        assert!(narrower > 0 || !latency["missed"].is_null(), "{latency}");
        let small = import(dir.path().join("small.onnx"), &ImportOptions::default()).unwrap();
        assert!(small.graph.params().count() > 0);
        assert_eq!(told["after"]["macs"].as_u64() < told["before"]["macs"].as_u64(), narrower > 0);
        let table = std::fs::read_to_string(dir.path().join("cache/occam/latency.jsonl")).unwrap();
        let line: Json = serde_json::from_str(table.lines().last().unwrap()).unwrap();
        assert!(line["us"].as_f64().is_some() && line["sizes"].is_array(), "{line}");
    }
}

#[test]
fn other_targets_are_measured_where_that_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    model(dir.path());
    let table = ["--latency-cache", "table.jsonl"];
    let args = ["prune", "model.onnx", "--macs", "0.5", "-o", "small.onnx"];
    let (done, told) = occam(dir.path(), &args);
    assert!(done && told["latency"].is_null(), "{told}");
    let measured = [&args[..], &["--measure", "--runtime", "occam"], &table].concat();
    let (done, told) = occam(dir.path(), &measured);
    assert!(done, "{told}");
    check(&told, "occam");
    assert!(told["latency"]["wanted_part"].is_null());
    let macs = |side: &str| told[side]["macs"].as_f64().unwrap();
    assert!(macs("after") <= 0.5 * macs("before"));
    // Widths of a file are only measured.
    std::fs::write(dir.path().join("widths.json"), "{}").unwrap();
    let args = ["prune", "model.onnx", "--subnet", "widths.json", "-o", "same.onnx", "--measure"];
    let (done, told) = occam(dir.path(), &[&args[..], &["--runtime", "occam"], &table].concat());
    assert!(done, "{told}");
    assert_eq!(
        (&told["latency"]["models_profiled"], &told["latency"]["models_compared"]),
        (&0.into(), &1.into())
    );
}

#[test]
fn what_cannot_be_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    model(dir.path());
    let refused = |args: &[&str], wanted: &str| {
        let head = ["prune", "model.onnx", "-o", "small.onnx", "--runtime", "occam"];
        let (done, told) = occam(dir.path(), &[&head, args].concat());
        let message = told["message"].as_str().unwrap_or_default();
        assert!(!done && message.contains(wanted), "{told}");
        assert!(!dir.path().join("small.onnx").exists());
    };
    refused(&["--latency", "0"], "the target for latency is 0, it must be above 0 and at most 1");
    let cache = ["--latency", "0.5", "--latency-cache", "model.onnx"];
    refused(&cache, "model.onnx: it is no table of latencies");
    let narrow = ["--latency", "0.05", "--max-ratio", "0.1", "--latency-cache", "table.jsonl"];
    refused(&narrow, "a run cannot take 0.050 of");
}

//! Importances that are measured on images, from the command line.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::process::{Command, Output};

use occam_testing::workspace;
use serde_json::Value;

const CONFIG: &str = "
_base_ = ['BASE/datasets/fashion_mnist.py', 'BASE/default_runtime.py']
model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='ResNet_CIFAR', depth=18, in_channels=1, stem_channels=8, base_channels=8, num_stages=2, strides=(2, 2),
        dilations=(1, 1), out_indices=(1, )),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=10, in_channels=16))
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.05, momentum=0.9))
train_cfg = dict(by_epoch=True, max_epochs=1, val_interval=3)
val_cfg = dict()
test_cfg = dict()
train_dataloader = dict(batch_size=32, dataset=dict(indices=320))
val_dataloader = dict(batch_size=100, dataset=dict(indices=100))
test_dataloader = val_dataloader
";

fn occam(dir: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_occam")).current_dir(dir).args(args).output().unwrap()
}

fn works(dir: &Path, args: &[&str]) {
    let output = occam(dir, args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The last JSON line of a command.
fn told(dir: &Path, args: &[&str]) -> Value {
    let output = occam(dir, &[&["--json"], args].concat());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{args:?}: {text}");
    serde_json::from_str(text.lines().last().unwrap()).unwrap()
}

#[test]
fn channels_go_by_what_images_say_of_them() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let base = workspace().join("configs/_base_").display().to_string();
    std::fs::write(dir.join("config.py"), CONFIG.replace("BASE", &base)).unwrap();
    std::os::unix::fs::symlink(workspace().join("data"), dir.join("data")).unwrap();
    works(dir, &["train", "config.py", "--work-dir", "w"]);
    works(dir, &["export", "config.py", "w/epoch_1.safetensors", "-o", "model.onnx"]);

    // Images without classes.
    std::fs::create_dir(dir.join("bare")).unwrap();
    for (i, file) in ["444.jpg", "420.jpg"].iter().enumerate() {
        let from = workspace().join("tests/golden/data/files").join(file);
        if from.exists() {
            std::fs::copy(from, dir.join(format!("bare/{i}.jpg"))).unwrap();
        }
    }
    let widths = |importance: &str, data: &[&str]| {
        let prune = ["prune", "model.onnx", "--macs", "0.5", "--round-to", "1", "--importance", importance];
        let files = ["-o", "small.onnx", "--dump-subnet", "widths.json"];
        let told = told(dir, &[&prune[..], data, &files].concat());
        let macs = |side: &str| told[side]["macs"].as_u64().unwrap() as f64;
        let left = macs("after") / macs("before");
        assert!((0.45..=0.5).contains(&left), "{importance}: {left}");
        std::fs::read_to_string(dir.join("widths.json")).unwrap()
    };
    let bare = ["--data", "bare", "--input-size", "28", "--importance-images", "8"];
    let mut found = vec![widths("group-l2", &[])];
    for importance in ["taylor", "taylor-group", "taylor-gate", "fisher", "hessian", "activation"] {
        let own = widths(importance, &bare);
        assert_eq!(own, widths(importance, &bare), "{importance}");
        found.push(own);
    }
    found.sort();
    found.dedup();
    assert!(found.len() >= 4, "all choose the same channels: {found:?}");
    // With classes.
    let labelled = [
        "--data",
        "data/fashion-mnist-small",
        "--mean",
        "72.94",
        "--std",
        "90.02",
        "--importance-images",
        "16",
    ];
    assert_ne!(widths("fisher", &labelled), widths("random", &labelled));

    let output =
        occam(dir, &["prune", "model.onnx", "--macs", "0.5", "--importance", "taylor", "-o", "a.onnx"]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("--importance taylor is measured on images, and none are given"), "{text}");
    assert!(text.contains("--data DIR") && !dir.join("a.onnx").exists(), "{text}");
}

//! Every command in the documentation works: each file's commands run in order in a folder of their own.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

use assert_cmd::Command;
use occam_testing::workspace;

/// Makes a training of a few seconds of any config.
const SHORT: &[&str] = &[
    "train_dataloader.dataset.indices=256",
    "val_dataloader.dataset.indices=64",
    "test_dataloader.dataset.indices=64",
    "train_dataloader.batch_size=64",
];

/// The commands of a file: lines of code blocks that start with `occam`, also by way of `cargo run`.
fn commands(text: &str) -> Vec<Vec<String>> {
    text.lines()
        .filter_map(|line| line.strip_prefix("    "))
        .map(|line| line.replace("cargo run --release --", "occam"))
        .filter(|line| line.starts_with("occam "))
        .map(|line| {
            let code = line.split("  #").next().unwrap_or_default().to_owned();
            code.split_whitespace().skip(1).map(str::to_owned).collect()
        })
        .collect()
}

/// Makes a training on images in class folders one of a few seconds.
const SHORT_FOLDER: &[&str] = &["image_size=32", "batch_size=4", "max_epochs=2"];

/// Images of two classes, for training and validation.
fn class_folders(dir: &Path) {
    let image = workspace().join("tests/golden/data/files/444.jpg");
    let five = ["a", "b", "c", "d", "e"].map(|class| format!("five/{class}"));
    let two = ["train/cat", "train/dog", "val/cat", "val/dog"].map(|place| format!("images/{place}"));
    for place in two.iter().chain(&five) {
        let folder = dir.join(place);
        std::fs::create_dir_all(&folder).unwrap();
        for i in 0..4 {
            std::fs::copy(&image, folder.join(format!("{i}.jpg"))).unwrap();
        }
    }
}

fn run(mut args: Vec<String>, dir: &Path) {
    let epochs = args.iter().any(|a| a.contains("epoch_12"));
    for arg in &mut args {
        *arg = arg.replace("/data/fashion-mnist", "data/fashion-mnist-small").replace("epoch_12", "epoch_1");
        *arg = arg.replace("=/data/images", "=images").replace("epoch_30", "epoch_2");
        // Of as many classes as the model tells apart.
        *arg = arg.replace("/data/images", "five");
    }
    if args.first().is_some_and(|a| a == "prune") {
        if let Some(epochs) = args.iter().position(|a| a == "--finetune-epochs") {
            args[epochs + 1] = "1".into();
        }
        // A model this small spends its time on starting, which widths hardly change: whether the target can be reached is up to
        // the machine.
        if let Some(i) = args.iter().position(|a| a == "--latency") {
            args[i + 1] = "0.95".into();
            args.extend(["--runtime".to_owned(), "occam".to_owned()]);
            let (done, error) = told(&args, dir);
            return assert!(done || error.contains("a run cannot take"), "{args:?}: {error}");
        }
        return succeeds(&args, dir);
    }
    if args.iter().any(|a| a.contains("configs/image_folder/")) {
        if !args.iter().any(|a| a == "--cfg-options") {
            args.push("--cfg-options".into());
        }
        args.extend(SHORT_FOLDER.iter().map(|s| (*s).to_owned()));
        return succeeds(&args, dir);
    }
    // A search measures its data some hundred times.
    if args.iter().any(|a| a.contains("autoslim_search")) {
        let less = ["--cfg-options", "test_dataloader.dataset.indices=20", "test_cfg.target_flops=[28.0]"];
        args.extend(less.iter().map(|s| (*s).to_owned()));
    }
    let trains = matches!(args.first().map(String::as_str), Some("train" | "compress"));
    if trains {
        if !args.iter().any(|a| a == "--cfg-options") {
            args.push("--cfg-options".into());
        }
        args.extend(SHORT.iter().map(|s| (*s).to_owned()));
        args.push("train_cfg.max_epochs=1".into());
        if args.first().is_some_and(|a| a == "compress") {
            args.push("recipe.steps.0.cfg.train_cfg.max_epochs=1".into());
            let prunes = args.iter().any(|a| a.contains("prune"));
            let steps = if prunes { 1..5 } else { 1..3 };
            args.extend(steps.map(|i| format!("recipe.steps.{i}.seeds=[0]")));
        }
    }
    assert!(!(trains && epochs));
    succeeds(&args, dir);
}

fn succeeds(args: &[String], dir: &Path) {
    let (done, error) = told(args, dir);
    assert!(done, "{args:?}: {error}");
}

/// Whether a command succeeded, and what it said of errors.
fn told(args: &[String], dir: &Path) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_occam"))
        .current_dir(dir)
        .env("XDG_CACHE_HOME", dir.join("cache"))
        .args(args)
        .output()
        .unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn commands_work() {
    let root = workspace();
    let mut files = vec![root.join("README.md")];
    files.extend(std::fs::read_dir(root.join("docs")).unwrap().map(|e| e.unwrap().path()));
    files.retain(|f| f.extension().is_some_and(|e| e == "md"));
    let mut ran = 0;
    for file in files {
        let dir = tempfile::tempdir().unwrap();
        class_folders(dir.path());
        for (from, to) in [("onnx/small.onnx", "model.onnx"), ("data/files/444.jpg", "cat.jpg")] {
            std::fs::copy(root.join("tests/golden").join(from), dir.path().join(to)).unwrap();
        }
        for shared in ["configs", "data"] {
            std::os::unix::fs::symlink(root.join(shared).canonicalize().unwrap(), dir.path().join(shared))
                .unwrap();
        }
        for command in commands(&std::fs::read_to_string(&file).unwrap()) {
            run(command, dir.path());
            ran += 1;
        }
    }
    assert!(ran >= 8, "{ran} commands");
}

//! Trainings that cannot go well: clear errors, exit code 2.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::process::{Command, Output};

use occam_testing::workspace;

const CONFIG: &str = "configs/fashion_mnist/resnet20.py";

/// Settings that make a training of a few seconds.
const TINY: &[&str] = &[
    "train_dataloader.dataset.indices=256",
    "val_dataloader.dataset.indices=100",
    "test_dataloader.dataset.indices=100",
    "train_dataloader.batch_size=64",
    "train_cfg.max_epochs=2",
    "model.backbone.stem_channels=4",
    "model.backbone.base_channels=4",
    "model.head.in_channels=16",
];

fn arguments(work_dir: &Path, options: &[&str]) -> Vec<String> {
    let mut all: Vec<String> = ["train", CONFIG, "--work-dir"].map(str::to_owned).into();
    all.push(work_dir.display().to_string());
    all.push("--cfg-options".into());
    all.extend(TINY.iter().chain(options).map(ToString::to_string));
    all
}

fn train(work_dir: &Path, options: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_occam"));
    command.current_dir(workspace()).args(arguments(work_dir, options)).output().unwrap()
}

/// What a training says that must fail.
fn fails(output: &Output) -> String {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(output.stdout.is_empty());
    assert!(text.contains("Error: ") && !text.contains("panicked"), "{text}");
    // Lines are broken to the width of the terminal.
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace("│ ", "")
}

fn tells(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
}

#[test]
fn a_loss_that_is_no_number_ends_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let output = train(
        dir.path(),
        &[
            "param_scheduler=[dict(type='MultiStepLR', milestones=[1], gamma=1e33)]",
            "default_hooks.checkpoint.interval=1",
        ],
    );
    let text = fails(&output);
    tells(&text, &["`loss` is", "at iteration", "diverged", "the last good checkpoint is", "clip_grad"]);
    assert!(dir.path().join("epoch_1.safetensors").exists());
    assert!(!dir.path().join("epoch_2.safetensors").exists());
}

#[test]
fn a_work_directory_that_cannot_be_written_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    // Nobody may make folders there, whoever runs the test.
    for work in [file.join("work").as_path(), Path::new("/proc/occam")] {
        let text = fails(&train(work, &[]));
        tells(&text, &[&work.display().to_string()]);
    }
}

/// A limit on the size of files stands for a full disk: the write fails in the middle.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_names_the_file_and_leaves_no_part_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let script = "trap '' XFSZ; ulimit -f 40; exec \"$0\" \"$@\"";
    let mut command = Command::new("bash");
    command.current_dir(workspace()).args(["-c", script, env!("CARGO_BIN_EXE_occam")]);
    let output = command.args(arguments(dir.path(), &[])).output().unwrap();
    let text = fails(&output);
    tells(&text, &["epoch_1.safetensors"]);
    let names: Vec<String> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(!names.iter().any(|n| n.contains("safetensors") || n.ends_with(".tmp")), "{names:?}");
}

#[test]
fn a_checkpoint_of_another_model_names_the_keys() {
    let dir = tempfile::tempdir().unwrap();
    let first = dir.path().join("first");
    assert!(train(&first, &[]).status.success());
    let checkpoint = first.join("epoch_2.safetensors");
    let mut command = Command::new(env!("CARGO_BIN_EXE_occam"));
    command.current_dir(workspace()).args(["train", CONFIG, "--work-dir"]).arg(dir.path().join("second"));
    command.arg("--resume").arg(&checkpoint).arg("--cfg-options").args(TINY);
    let output = command.args(["model.backbone.depth=32"]).output().unwrap();
    let text = fails(&output);
    tells(&text, &["epoch_2.safetensors", "another model", "missing", "`backbone.layer1.3.conv1.weight`"]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_occam"));
    command.current_dir(workspace()).args(["train", CONFIG, "--work-dir"]).arg(dir.path().join("third"));
    command.arg("--resume").arg(&checkpoint).arg("--cfg-options").args(TINY);
    let output =
        command.args(["model.backbone.base_channels=8", "model.head.in_channels=32"]).output().unwrap();
    let text = fails(&output);
    tells(&text, &["epoch_2.safetensors", "another model", "wanted", "found", "and", "more"]);
}

#[test]
fn the_learning_rate_is_scaled_where_the_config_says_for_what() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_occam"));
    let mut args = arguments(dir.path(), &[]);
    args.push("--auto-scale-lr".into());
    let output = command.current_dir(workspace()).args(&args).output().unwrap();
    tells(&fails(&output), &["base_batch_size"]);
    args = arguments(dir.path(), &["auto_scale_lr.base_batch_size=256", "optim_wrapper.optimizer.lr=0.2"]);
    args.extend(
        ["param_scheduler=[]", "default_hooks.logger.interval=1", "--auto-scale-lr"].map(str::to_owned),
    );
    let mut command = Command::new(env!("CARGO_BIN_EXE_occam"));
    let output = command.current_dir(workspace()).args(&args).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{text}");
    assert!(text.contains("lr: 5.0000e-02"), "{text}");
}

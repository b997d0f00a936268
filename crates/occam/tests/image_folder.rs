//! Images in class folders, from the command line.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use occam_testing::workspace;

/// Two classes of few images each: one file of each kind, many times.
fn folder(dir: &Path) -> PathBuf {
    let files = workspace().join("tests/golden/data/files");
    let root = dir.join("images");
    for (side, count) in [("train", 8), ("val", 4)] {
        for (class, file) in [("noise", "444.jpg"), ("turned", "turned6.jpg")] {
            let folder = root.join(side).join(class);
            std::fs::create_dir_all(&folder).unwrap();
            for i in 0..count {
                std::fs::copy(files.join(file), folder.join(format!("{i}.jpg"))).unwrap();
            }
        }
    }
    root
}

fn occam(root: &Path, arguments: &[&str], options: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_occam"));
    command.current_dir(workspace()).args(arguments);
    let data = format!("data_root={}", root.display());
    // Smaller than a user would take, to be quick.
    let quick = ["image_size=32", "batch_size=4", "max_epochs=2", "lr=0.01"];
    command.args(["--cfg-options", &data, "num_classes=2"]).args(quick).args(options);
    command.output().unwrap()
}

fn says(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8(text).unwrap().split_whitespace().collect::<Vec<_>>().join(" ").replace("│ ", "")
}

const CONFIG: &str = "configs/image_folder/resnet18.py";

#[test]
fn class_folders_are_trained_tested_and_resumed_by_one_line_each() {
    let dir = tempfile::tempdir().unwrap();
    let (root, work) = (folder(dir.path()), dir.path().join("work"));
    let work_dir = work.to_str().unwrap();
    let train = ["train", CONFIG, "--work-dir", work_dir];
    let output = occam(&root, &train, &[]);
    assert!(output.status.success(), "{}", says(&output));
    assert!(says(&output).contains("accuracy/top1"), "{}", says(&output));
    let whole = std::fs::read(work.join("epoch_2.safetensors")).unwrap();

    // From the first epoch on, to the same bits.
    std::fs::remove_file(work.join("epoch_2.safetensors")).unwrap();
    let first = work.join("epoch_1.safetensors");
    let output = occam(&root, &[&train[..], &["--resume", first.to_str().unwrap()]].concat(), &[]);
    assert!(output.status.success(), "{}", says(&output));
    assert!(whole == std::fs::read(work.join("epoch_2.safetensors")).unwrap());

    let last = work.join("epoch_2.safetensors");
    let output = occam(&root, &["test", CONFIG, last.to_str().unwrap()], &[]);
    assert!(output.status.success(), "{}", says(&output));
    assert!(says(&output).contains("accuracy/top1"), "{}", says(&output));
}

#[test]
fn folders_that_cannot_be_trained_on_are_told_of() {
    let dir = tempfile::tempdir().unwrap();
    let root = folder(dir.path());
    let work = dir.path().join("work");
    let refused = |root: &Path, options: &[&str], parts: &[&str]| {
        let output = occam(root, &["train", CONFIG, "--work-dir", work.to_str().unwrap()], options);
        let text = says(&output);
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(!text.contains("panicked"), "{text}");
        for part in parts {
            assert!(text.contains(part), "`{part}` is not in: {text}");
        }
    };
    refused(&dir.path().join("nowhere"), &[], &["nowhere"]);
    refused(&root, &["num_classes=3"], &["3 classes", "num_classes"]);
    refused(&root, &["num_clases=2"], &["num_clases", "did you mean `num_classes`"]);
    refused(&root, &["custom_hooks=dict(type='EMAHook')"], &["`custom_hooks` must be a list"]);
    refused(&root, &["default_hooks=[1]"], &["`default_hooks` must be a dict"]);
    std::fs::create_dir(root.join("train/zebra")).unwrap();
    refused(&root, &["num_classes=3"], &["zebra"]);
    std::fs::remove_dir(root.join("train/zebra")).unwrap();
    let broken = root.join("train/noise/3.jpg");
    let bytes = std::fs::read(&broken).unwrap();
    std::fs::write(&broken, &bytes[..bytes.len() / 2]).unwrap();
    refused(&root, &[], &["3.jpg"]);
    std::fs::write(&broken, "no image at all").unwrap();
    refused(&root, &[], &["3.jpg"]);
}

/// A command that cannot begin leaves what an earlier run did where `--resume` finds it.
#[test]
fn a_run_that_cannot_begin_moves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (root, work) = (folder(dir.path()), dir.path().join("work"));
    let train = ["train", CONFIG, "--work-dir", work.to_str().unwrap()];
    let output = occam(&root, &train, &["max_epochs=1"]);
    assert!(output.status.success(), "{}", says(&output));
    assert_eq!(occam(&root, &train, &["num_classes=3"]).status.code(), Some(2));
    let broken = root.join("train/noise/3.jpg");
    let whole = std::fs::read(&broken).unwrap();
    for i in 0..8 {
        std::fs::write(root.join(format!("train/noise/{i}.jpg")), "no image").unwrap();
        std::fs::write(root.join(format!("train/turned/{i}.jpg")), "no image").unwrap();
    }
    assert_eq!(occam(&root, &train, &[]).status.code(), Some(2));
    assert!(!work.join("before_1").exists() && work.join("epoch_1.safetensors").exists());
    for i in 0..8 {
        std::fs::write(root.join(format!("train/noise/{i}.jpg")), &whole).unwrap();
        std::fs::write(root.join(format!("train/turned/{i}.jpg")), &whole).unwrap();
    }
    let output = occam(&root, &[&train[..], &["--resume"]].concat(), &["max_epochs=1"]);
    assert!(output.status.success() && says(&output).contains("resumed from"), "{}", says(&output));
}

/// Statistics are gathered as in training: with blocks left out, and without those of frozen norms.
#[test]
fn precise_statistics_of_a_model_that_leaves_blocks_out() {
    let dir = tempfile::tempdir().unwrap();
    let (root, work) = (folder(dir.path()), dir.path().join("work"));
    let train = ["train", CONFIG, "--work-dir", work.to_str().unwrap()];
    let precise = "custom_hooks=[dict(type='PreciseBNHook', num_samples=8)]";
    let parts =
        ["max_epochs=1", precise, "model.backbone.drop_path_rate=0.3", "model.backbone.frozen_stages=1"];
    let output = occam(&root, &train, &parts);
    assert!(output.status.success(), "{}", says(&output));
    let (weights, _) = occam::io::safetensors::load(work.join("epoch_1.safetensors")).unwrap();
    let mean = |name: &str| match weights[name].data() {
        occam::graph::Data::F32(v) => v.iter().map(|x| x.abs()).sum::<f32>(),
        other => panic!("{}", other.dtype()),
    };
    assert_eq!(mean("backbone.layer1.0.bn1.running_mean"), 0.0);
    // Without the frozen norms' statistics features would grow three hundredfold with each of them.
    let after = mean("backbone.layer2.0.bn1.running_mean");
    assert!(after > 0.0 && after < 200.0, "{after}");
}

/// Where data are there they must fit; an error is none of data that are not there.
#[test]
fn dry_runs_look_at_the_data_that_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let root = folder(dir.path());
    let dry = |options: &[&str]| occam(&root, &["train", CONFIG, "--dry-run"], options);
    let output = dry(&[]);
    assert!(output.status.success() && says(&output).contains("16 images"), "{}", says(&output));
    for (option, about) in [
        ("num_classes=3", "3 classes"),
        ("train_dataloader.dataset.type=CustomDatset", "CustomDataset"),
        ("train_dataloader.dataset.data_rot=x", "data_rot"),
    ] {
        let output = dry(&[option]);
        assert_eq!(output.status.code(), Some(2), "{option}");
        assert!(says(&output).contains(about), "{option}: {}", says(&output));
    }
    std::fs::create_dir(root.join("train/zebra")).unwrap();
    assert!(says(&dry(&["num_classes=3"])).contains("zebra"));
}

/// A folder for checkpoints given relative to where the command runs is found again.
#[test]
fn checkpoints_elsewhere_are_resumed_from() {
    let dir = tempfile::tempdir().unwrap();
    let root = folder(dir.path());
    let run = |more: &[&str]| {
        let config = workspace().join(CONFIG);
        let mut command = Command::new(env!("CARGO_BIN_EXE_occam"));
        command.current_dir(dir.path()).arg("train").arg(config).args(["--work-dir", "work"]).args(more);
        let data = format!("data_root={}", root.display());
        command.args([
            "--cfg-options",
            &data,
            "num_classes=2",
            "image_size=32",
            "batch_size=4",
            "max_epochs=1",
        ]);
        command.args(["lr=0.01", "default_hooks.checkpoint.out_dir=out"]).output().unwrap()
    };
    assert!(run(&[]).status.success());
    assert!(dir.path().join("out/work/epoch_1.safetensors").exists());
    let output = run(&["--resume"]);
    assert!(output.status.success() && says(&output).contains("resumed from"), "{}", says(&output));
}

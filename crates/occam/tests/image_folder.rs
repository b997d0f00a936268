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

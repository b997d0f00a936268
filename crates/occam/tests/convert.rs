//! `occam convert`, and checkpoints of PyTorch in the place of others.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::process::Output;

use assert_cmd::Command;
use occam_graph::{Array, Weights};
use occam_testing::{parameter, workspace};

const MODEL: &str = "model = dict(type='ImageClassifier', backbone=dict(type='MobileNetV3', arch='small'), \
    neck=dict(type='GlobalAveragePooling'), head=dict(type='StackedLinearClsHead', num_classes=1000, in_channels=576, \
    mid_channels=[1024], act_cfg=dict(type='HSwish')))\n";

fn convert(dir: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_occam")).current_dir(dir).arg("convert").args(args).output().unwrap()
}

fn succeeds(dir: &Path, args: &[&str]) -> String {
    let output = convert(dir, args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn fails(dir: &Path, args: &[&str]) -> String {
    let output = convert(dir, args);
    assert_eq!(output.status.code(), Some(2), "{args:?}");
    assert!(output.stdout.is_empty(), "{args:?}: {}", String::from_utf8_lossy(&output.stdout));
    // Long lines of errors are wrapped.
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!text.contains("panicked"), "{text}");
    text.replace("│", " ").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// torchvision's `mobilenet_v3_small` by the formula.
fn torchvision() -> Weights {
    let text = std::fs::read_to_string(workspace().join("tests/golden/names_torchvision.json")).unwrap();
    let rows: serde_json::Value = serde_json::from_str(&text).unwrap();
    let row = rows.as_array().unwrap().iter().find(|row| row["model"] == "mobilenet_v3_small").unwrap();
    let parameter = |entry: &serde_json::Value| {
        let name = entry[0].as_str().unwrap();
        let shape: Vec<usize> =
            entry[1].as_array().unwrap().iter().map(|d| d.as_u64().unwrap() as usize).collect();
        (name.to_owned(), parameter(name, &shape))
    };
    row["state_dict"].as_array().unwrap().iter().map(parameter).collect()
}

#[test]
fn names_of_another_library_become_the_models() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    std::fs::write(dir.join("model.py"), MODEL).unwrap();
    occam_io::pth::save(dir.join("tv.pth"), &torchvision()).unwrap();

    let error = fails(dir, &["tv.pth", "w.safetensors", "--config", "model.py"]);
    assert!(error.contains("0 of 210 parameters of the model were found"), "{error}");
    assert!(error.contains("see --from"), "{error}");
    assert!(!dir.join("w.safetensors").exists());

    let args = ["tv.pth", "w.safetensors", "--config", "model.py", "--from", "torchvision"];
    let text = succeeds(dir, &args);
    assert!(text.contains("210 tensors"), "{text}");
    let (weights, _) = occam_io::safetensors::load(dir.join("w.safetensors")).unwrap();
    assert_eq!(weights["head.layers.1.fc.bias"], torchvision()["classifier.3.bias"]);

    // The way back, by the architecture's name, and in PyTorch's format.
    succeeds(dir, &["tv.pth", "n.pth", "--from", "torchvision", "--arch", "mobilenet_v3_small"]);
    assert_eq!(occam_io::pth::load(dir.join("n.pth"), None).unwrap().weights.len(), 210);
    let json: serde_json::Value =
        serde_json::from_str(&succeeds(dir, &["n.pth", "m.safetensors", "--config", "model.py", "--json"]))
            .unwrap();
    assert_eq!(json["fit"]["matched"].as_array().unwrap().len(), 210);

    // A beginning that differs is told.
    succeeds(dir, &["n.pth", "e.pth", "--key-map", "^backbone=encoder"]);
    let error = fails(dir, &["e.pth", "f.safetensors", "--config", "model.py"]);
    assert!(error.contains(r"--key-map '^encoder\.=backbone.'"), "{error}");
    let map = r"^encoder\.=backbone.";
    succeeds(dir, &["e.pth", "f.safetensors", "--config", "model.py", "--key-map", map]);
    succeeds(dir, &["e.pth", "g.safetensors", "--config", "model.py", "--partial"]);
    let (part, _) = occam_io::safetensors::load(dir.join("g.safetensors")).unwrap();
    assert_eq!(part.keys().collect::<Vec<_>>().len(), 4);
    succeeds(dir, &["e.pth", "h.safetensors", "--prefix", "encoder.layer0"]);
    let (part, _) = occam_io::safetensors::load(dir.join("h.safetensors")).unwrap();
    assert_eq!(part.keys().next().unwrap(), "conv.weight");
}

#[test]
fn mistakes_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    std::fs::write(dir.join("model.py"), MODEL).unwrap();
    for name in ["evil_archive.pth", "mmengine.pth"] {
        std::fs::copy(workspace().join("tests/golden/pth").join(name), dir.join(name)).unwrap();
    }
    std::fs::write(dir.join("text.pth"), "weights").unwrap();
    let weights: Weights = [("a".to_owned(), Array::full([1], 0.0))].into_iter().collect();
    occam_io::safetensors::save(dir.join("w.safetensors"), &weights, &Default::default()).unwrap();
    let cases: [(&[&str], &str); 11] = [
        (&["evil_archive.pth", "o.pth"], "it would run code, `posix.system`"),
        (&["text.pth", "o.pth"], "is not a valid weight file"),
        (&["missing.pth", "o.pth"], "cannot open `missing.pth`"),
        (&["mmengine.pth", "o.bin"], "no format is known by the name `.bin`"),
        (
            &["mmengine.pth", "o.pth", "--key", "emma"],
            "no dict under `emma`; there are tensors under state_dict",
        ),
        (&["w.safetensors", "o.pth", "--key", "x"], "has nothing under \"x\""),
        (&["w.safetensors", "o.pth", "--key-map", "(a=b"], "--key-map: "),
        (&["w.safetensors", "o.pth", "--key-map", "a"], "a regular expression, `=`"),
        (&["w.safetensors", "o.pth", "--from", "timm"], "--from does not say"),
        (&["w.safetensors", "o.pth", "--from", "timm", "--arch", "resnte"], "no architecture `resnte`"),
        (
            &["w.safetensors", "o.pth", "--from", "timm", "--config", "model.py"],
            "would compute something else: MobileNetV3 of timm has eps 1e-5",
        ),
    ];
    for (args, wanted) in cases {
        let error = fails(dir, args);
        assert!(error.contains(wanted), "{args:?}: {error}");
    }
    let text = succeeds(dir, &["mmengine.pth", "o.safetensors"]);
    assert!(text.contains("(PyTorch, `state_dict`)"), "{text}");
    assert!(text.contains("there are weights under ema_state_dict too"), "{text}");
}

//! Trainings that remove channels reach their widths, resume to the same bits, and export the small model.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use occam::io::onnx::{ImportOptions, import};
use occam_testing::{assert_close, fill, values, workspace};
use serde_json::Value;

const HEAD: &str = "model = dict(type='ItePruneAlgorithm',\n";

/// Of the stem by half, of one inner unit to a number, of another by a part.
const TARGET: &str = "target_pruning_ratio={'backbone.conv1_(0, 8)_8': 0.5, \
    'backbone.layer1.0.conv1_(0, 8)_8': 3, 'backbone.layer2.0.conv1_(0, 16)_16': 0.7}";

fn architecture() -> &'static str {
    "dict(type='ImageClassifier',\n\
        backbone=dict(type='ResNet_CIFAR', depth=18, in_channels=1, stem_channels=8, base_channels=8,\n\
            num_stages=2, strides=(2, 2), dilations=(1, 1), out_indices=(1, )),\n\
        neck=dict(type='GlobalAveragePooling'),\n\
        head=dict(type='LinearClsHead', num_classes=10, in_channels=16))"
}

fn mutator() -> &'static str {
    "mutator_cfg=dict(type='ChannelMutator', channel_unit_cfg=dict(type='L1MutableChannelUnit',\n\
        default_args=dict(choice_mode='ratio')), parse_cfg=dict(type='ChannelAnalyzer',\n\
        demo_input=(1, 3, 224, 224), tracer_type='BackwardTracer'))"
}

fn write(dir: &Path, name: &str, model: &str, more: &str) -> PathBuf {
    let base = workspace().join("configs");
    let text = format!(
        "_base_ = ['{base}/_base_/datasets/fashion_mnist.py', '{base}/_base_/default_runtime.py']\n\
         {model}\n\
         train_dataloader = dict(batch_size=32, dataset=dict(indices=320))\n\
         val_dataloader = dict(dataset=dict(indices=100))\n\
         optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.05, momentum=0.9, weight_decay=5e-4),\n\
             accumulative_counts=3)\n\
         train_cfg = dict(by_epoch=True, max_epochs=3)\n\
         val_cfg = dict(type='mmrazor.ItePruneValLoop')\n\
         default_hooks = dict(checkpoint=dict(interval=7, by_epoch=False, max_keep_ckpts=20))\n\
         custom_hooks = [dict(type='EMAHook', momentum=0.1)]\n\
         {more}\n",
        base = base.display()
    );
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn occam(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_occam")).current_dir(workspace()).args(args).output().unwrap()
}

fn works(args: &[&str]) -> String {
    let output = occam(args);
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    text
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn shape(path: &Path, name: &str) -> Vec<usize> {
    let (weights, _) = occam::io::safetensors::load(path).unwrap();
    weights.get(name).unwrap_or_else(|| panic!("{:?}", weights.keys().collect::<Vec<_>>())).shape().to_vec()
}

#[test]
fn widths_are_reached_kept_resumed_and_exported() {
    let dir = tempfile::tempdir().unwrap();
    let model = format!(
        "{HEAD}architecture={}, {}, {TARGET}, step_freq=1, prune_times=2)",
        architecture(),
        mutator()
    );
    let config = write(dir.path(), "config.py", &model, "");
    let whole = dir.path().join("whole");
    let told = works(&["train", text(&config), "--work-dir", text(&whole)]);
    assert!(told.contains("pruned, 1 of 2") && told.contains("pruned, 2 of 2"), "{told}");

    let conv = "architecture.backbone.layer1.0.conv1.weight";
    // 10 iterations an epoch: the first pruning is before step 1, the second before step 11.
    assert_eq!(shape(&whole.join("iter_7.safetensors"), conv), [5, 6, 3, 3]);
    assert_eq!(shape(&whole.join("iter_14.safetensors"), conv), [3, 4, 3, 3]);
    let last = whole.join("iter_28.safetensors");
    assert_eq!(shape(&last, conv), [3, 4, 3, 3]);
    assert_eq!(
        shape(&last, "optimizer/architecture.backbone.layer1.0.conv1.weight.momentum_buffer"),
        [3, 4, 3, 3]
    );
    assert_eq!(shape(&last, "architecture.backbone.layer2.0.conv1.weight"), [11, 8, 3, 3]);

    let subnet: Value =
        serde_json::from_str(&std::fs::read_to_string(whole.join("fix_subnet.json")).unwrap()).unwrap();
    let units = &subnet["channel_unit_cfg"]["units"];
    assert_eq!(units["backbone.conv1_(0, 8)_8"]["choice"], 4);
    assert_eq!(units["backbone.layer1.0.conv1_(0, 8)_8"]["choice"], 3);
    assert_eq!(units["backbone.layer2.0.conv1_(0, 16)_16"]["choice"], 11);

    // From before the second pruning, with gradients that wait and averages.
    let resumed = dir.path().join("resumed");
    let from = whole.join("iter_7.safetensors");
    works(&["train", text(&config), "--work-dir", text(&resumed), &format!("--resume={}", text(&from))]);
    for name in ["iter_14.safetensors", "iter_28.safetensors"] {
        assert!(
            std::fs::read(whole.join(name)).unwrap() == std::fs::read(resumed.join(name)).unwrap(),
            "{name}"
        );
    }

    let small = dir.path().join("small.onnx");
    works(&["export", text(&config), text(&last), "-o", text(&small)]);
    let imported = import(&small, &ImportOptions::default()).unwrap();
    let elements = |w: &occam::graph::Weights| w.values().map(occam::graph::Array::len).sum::<usize>();
    let exported = elements(&imported.weights);

    // The files of the validation make the same model, whose widths a divisor makes round.
    let deploy = |divisor: u32| {
        let model = format!(
            "model = dict(type='mmrazor.GroupFisherDeploySubModel', architecture={}, fix_subnet='{}', divisor={divisor})",
            architecture(),
            text(&whole.join("fix_subnet.json"))
        );
        let config = write(dir.path(), &format!("deploy{divisor}.py"), &model, "");
        let onnx = dir.path().join(format!("deploy{divisor}.onnx"));
        let weights = whole.join("fix_subnet_weight.pth");
        works(&["export", text(&config), text(&weights), "-o", text(&onnx)]);
        (config, import(&onnx, &ImportOptions::default()).unwrap())
    };
    let (config, same) = deploy(1);
    assert_eq!(elements(&same.weights), exported);
    works(&["test", text(&config), text(&whole.join("fix_subnet_weight.pth"))]);
    let (_, round) = deploy(4);
    assert!(round.weights.values().any(|a| a.shape() == [4, 4, 3, 3]), "3 channels become 4");
    let input = fill("prune", &[1, 1, 28, 28], -1.0, 1.0);
    let outputs = [&same, &round].map(|m| {
        let interpreter = occam::interp::Interpreter::new(&m.graph, &m.weights).unwrap();
        values(&interpreter.call(std::slice::from_ref(&input)).unwrap()[0])
    });
    assert_close("round widths", &outputs[1], &outputs[0], 1e-5);
}

#[test]
fn wrong_configs_are_refused_with_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |model: String, wanted: &[&str]| {
        let config = write(dir.path(), "wrong.py", &model, "");
        let output = occam(&["config", "check", text(&config)]);
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(!output.status.success(), "{told}");
        for part in wanted {
            assert!(told.contains(part), "{part:?} is not in {told}");
        }
    };
    let with = |target: &str| format!("{HEAD}architecture={}, {}, {target})", architecture(), mutator());
    refused(
        with("target_pruning_ratio={'backbone.layer1.0.conv_(0, 8)_8': 0.5}"),
        &[
            "no channel unit `backbone.layer1.0.conv_(0, 8)_8`",
            "did you mean `backbone.layer1.0.conv1_(0, 8)_8`",
        ],
    );
    refused(
        with("target_pruning_ratio={'backbone.conv1_(0, 8)_8': 9}"),
        &["has 8 channels, it cannot keep 9"],
    );
    refused(with("target_pruning_ratio={'backbone.conv1_(0, 8)_8': 1.5}"), &["a part up to 1.0"]);
    refused(with("prune_times=0"), &["`prune_times` must be at least 1"]);
    refused(with("target=1"), &["target"]);
    refused(
        format!(
            "{HEAD}architecture={}, mutator_cfg=dict(type='ChannelMutator', parse_cfg=dict(type='Predefined')))",
            architecture()
        ),
        &["`Predefined` needs a model of dynamic operators"],
    );
    refused(
        format!(
            "{HEAD}architecture={}, mutator_cfg=dict(type='ChannelMutator', channel_unit_cfg='L2Unit'))",
            architecture()
        ),
        &["L2Unit"],
    );
    let other = dir.path().join("other.json");
    std::fs::write(&other, r#"{"backbone.layer9.0.conv1_(0, 512)_512": 8}"#).unwrap();
    let model = format!(
        "model = dict(type='GroupFisherDeploySubModel', architecture={}, fix_subnet='{}')",
        architecture(),
        text(&other)
    );
    refused(model, &["there is no channel unit `backbone.layer9.0.conv1_(0, 512)_512`"]);
    // A training that ends before its last pruning.
    let config = write(dir.path(), "short.py", &with("prune_times=9"), "");
    let output = occam(&["train", text(&config), "--work-dir", text(&dir.path().join("w"))]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && told.contains("the last of 9 prunings is due after 8 epochs"),
        "{told}"
    );
}

//! Group Fisher pruning on embedded data: one channel every interval down to a target, resumed to the same bits, taken over
//! by a fine-tuning and exported.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::process::Command;

use occam::io::onnx::{ImportOptions, import};
use occam_testing::{assert_close, fill, values, workspace};

const ARCHITECTURE: &str = "dict(type='ImageClassifier',\n\
    backbone=dict(type='ResNet_CIFAR', depth=18, in_channels=1, stem_channels=6, base_channels=6,\n\
        num_stages=2, strides=(2, 2), dilations=(1, 1), out_indices=(1, )),\n\
    neck=dict(type='GlobalAveragePooling'),\n\
    head=dict(type='LinearClsHead', num_classes=10, in_channels=12))";

fn algorithm(init_cfg: &str) -> String {
    format!(
        "dict(type='mmrazor.GroupFisherAlgorithm', architecture={ARCHITECTURE}, interval=2{init_cfg},\n\
         mutator=dict(type='GroupFisherChannelMutator',\n\
             parse_cfg=dict(type='ChannelAnalyzer', tracer_type='FxTracer'),\n\
             channel_unit_cfg=dict(type='GroupFisherChannelUnit',\n\
                 default_args=dict(normalization_type='flops'))))"
    )
}

fn write(dir: &Path, name: &str, model: &str, more: &str) -> PathBuf {
    let base = workspace().join("configs");
    let text = format!(
        "_base_ = ['{base}/_base_/datasets/fashion_mnist.py', '{base}/_base_/default_runtime.py']\n\
         model = {model}\n\
         train_dataloader = dict(batch_size=16, dataset=dict(indices=160))\n\
         val_dataloader = dict(dataset=dict(indices=100))\n\
         optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.02, momentum=0.9, weight_decay=5e-4),\n\
             accumulative_counts=3)\n\
         train_cfg = dict(by_epoch=True, max_epochs=4)\n\
         val_cfg = dict()\n\
         default_hooks = dict(checkpoint=dict(interval=7, by_epoch=False, max_keep_ckpts=20))\n\
         {more}\n",
        base = base.display()
    );
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

const HOOKS: &str = "custom_hooks = [dict(type='EMAHook', momentum=0.1), dict(type='mmrazor.PruningStructureHook'),\n\
    dict(type='mmrazor.ResourceInfoHook', interval=1, save_ckpt_thr=[0.9, 0.8],\n\
        demo_input=dict(type='mmrazor.DefaultDemoInput', input_shape=[1, 1, 28, 28]))]";

fn works(args: &[&str]) -> String {
    let output =
        Command::new(env!("CARGO_BIN_EXE_occam")).current_dir(workspace()).args(args).output().unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    text
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Channels of the units that may lose some, in a checkpoint: elements of their first normalizations.
fn channels(path: &Path) -> usize {
    let (weights, _) = occam::io::safetensors::load(path).unwrap();
    ["bn1", "layer1.0.bn1", "layer1.1.bn1", "layer2.0.bn1", "layer2.1.bn1"]
        .iter()
        .map(|name| weights[&format!("architecture.backbone.{name}.weight")].len())
        .sum()
}

fn same(a: &Path, b: &Path) {
    assert!(std::fs::read(a).unwrap() == std::fs::read(b).unwrap(), "{} and {}", a.display(), b.display());
}

#[test]
fn a_training_ends_at_its_target_resumes_and_is_taken_over() {
    let dir = tempfile::tempdir().unwrap();
    let config = write(dir.path(), "prune.py", &algorithm(""), HOOKS);
    let whole = dir.path().join("whole");
    let told = works(&["train", text(&config), "--work-dir", text(&whole)]);
    assert!(told.contains("lost a channel of importance"), "{told}");
    assert!(told.contains("units: "), "{told}");
    assert!(told.contains("the training ends: the model is as small as it should become"), "{told}");
    assert!(!told.contains("was wanted"), "{told}");

    // One channel before every second step but the first.
    let all = 6 + 6 + 6 + 12 + 12;
    assert_eq!(channels(&whole.join("iter_7.safetensors")), all - 3);
    let last: u64 = std::fs::read_to_string(whole.join("last_checkpoint"))
        .unwrap()
        .trim_start_matches("iter_")
        .trim()
        .trim_end_matches(".safetensors")
        .parse()
        .unwrap();
    assert!((8..40).contains(&last), "the training ended early: {last}");
    let last_checkpoint = whole.join(format!("iter_{last}.safetensors"));
    assert_eq!(channels(&last_checkpoint), all - ((last - 1) / 2) as usize);

    // From between two prunings, with importances of one batch, gradients that wait and averages.
    let resumed = dir.path().join("resumed");
    let from = whole.join("iter_7.safetensors");
    works(&["train", text(&config), "--work-dir", text(&resumed), &format!("--resume={}", text(&from))]);
    same(&last_checkpoint, &resumed.join(last_checkpoint.file_name().unwrap()));
    same(&whole.join("flops_0.80.pth"), &resumed.join("flops_0.80.pth"));
    // A run that ended at its target ends again.
    let again = works(&["train", text(&config), "--work-dir", text(&whole), "--resume"]);
    assert!(
        again.contains(&format!("{last} iterations done")) && !again.contains("lost a channel"),
        "{again}"
    );

    // What the hook wrote is what is fine-tuned and exported.
    let saved = whole.join("flops_0.80.pth");
    let init_cfg = format!(", init_cfg=dict(type='Pretrained', checkpoint='{}')", text(&saved));
    let sub =
        format!("dict(type='mmrazor.GroupFisherSubModel', algorithm={}, divisor=4)", algorithm(&init_cfg));
    let finetune = write(dir.path(), "finetune.py", &sub, "train_cfg = dict(by_epoch=True, max_epochs=1)");
    let tuned = dir.path().join("tuned");
    works(&["train", text(&finetune), "--work-dir", text(&tuned)]);
    let (weights, _) = occam::io::safetensors::load(tuned.join("iter_10.safetensors")).unwrap();
    let stem = weights["backbone.conv1.weight"].shape()[0];
    let (before, _) = occam::io::safetensors::load(&last_checkpoint).unwrap();
    assert_eq!(stem, before["architecture.backbone.conv1.weight"].shape()[0]);

    let exported = |config: &Path, checkpoint: &Path, name: &str| {
        let onnx = dir.path().join(name);
        works(&["export", text(config), text(checkpoint), "-o", text(&onnx)]);
        import(&onnx, &ImportOptions::default()).unwrap()
    };
    let run = |model: &occam::io::onnx::Imported| {
        let interpreter = occam::interp::Interpreter::new(&model.graph, &model.weights).unwrap();
        let input = fill("input", &[1, 1, 28, 28], -1.0, 1.0);
        values(&interpreter.call(&[input]).unwrap()[0])
    };
    let elements =
        |m: &occam::io::onnx::Imported| m.weights.values().map(occam::graph::Array::len).sum::<usize>();
    let small = exported(&config, &saved, "small.onnx");
    let round = exported(&finetune, &saved, "round.onnx");
    assert!(elements(&round) > elements(&small), "widths are multiples of 4");
    assert_close("round widths", &run(&round), &run(&small), 1e-4);
}

#[test]
fn a_training_that_misses_its_target_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let hooks = "custom_hooks = [dict(type='ResourceInfoHook', interval=5, save_ckpt_thr=[0.3], resource_type='params',\n\
        demo_input=[1, 1, 28, 28])]\ntrain_cfg = dict(by_epoch=True, max_epochs=1)";
    let config = write(dir.path(), "short.py", &algorithm(""), hooks);
    let work = dir.path().join("w");
    let told = works(&["train", text(&config), "--work-dir", text(&work)]);
    assert!(told.contains("of the params, 0.3 was wanted: train longer"), "{told}");
    assert!(!work.join("params_0.30.pth").exists());
    let refused = |hook: &str, wanted: &str| {
        let config = write(dir.path(), "wrong.py", &algorithm(""), &format!("custom_hooks = [{hook}]"));
        let output = Command::new(env!("CARGO_BIN_EXE_occam"))
            .current_dir(workspace())
            .args(["train", text(&config), "--work-dir", text(&dir.path().join("no"))])
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && told.contains(wanted), "{hook}: {told}");
    };
    refused("dict(type='ResourceInfoHook')", "`demo_input` is [1, 3, 224, 224], the model takes");
    refused("dict(type='ResourceInfoHook', demo_input=[1, 1, 28])", "must be the shape of images");
    refused("dict(type='ResourceInfoHook', resource_type='latency')", "latency");
    refused("dict(type='ResourceInfoHook', save_ckpt_thr=[1.5])", "parts above 0");
    refused("dict(type='PruningStructureHook', interval=0)", "`interval` must be at least 1");
}

#[test]
fn a_sub_model_needs_a_checkpoint_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |sub: String, wanted: &str| {
        let config = write(dir.path(), "wrong.py", &sub, "");
        let output = Command::new(env!("CARGO_BIN_EXE_occam"))
            .current_dir(workspace())
            .args(["train", text(&config), "--work-dir", text(&dir.path().join("no"))])
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && told.contains(wanted), "{sub}: {told}");
    };
    let sub = |init: &str| format!("dict(type='GroupFisherSubModel', algorithm={})", algorithm(init));
    let pretrained = |path: &str| format!(", init_cfg=dict(type='Pretrained', checkpoint='{path}')");
    refused(sub(&pretrained("https://example.com/a.pth")), "weights are never downloaded");
    refused(sub(&pretrained("/nowhere/a.pth")), "/nowhere/a.pth");
    refused(sub(", init_cfg=dict(type='Kaiming')"), "Kaiming");
    let other = dir.path().join("other.pth");
    let weights = [("head.fc.weight".to_owned(), fill("w", &[10, 99], -1.0, 1.0))].into_iter().collect();
    occam::io::pth::save(&other, &weights).unwrap();
    refused(sub(&pretrained(text(&other))), "these weights are of another model");
    refused(
        format!("dict(type='GroupFisherSubModel', algorithm={ARCHITECTURE})"),
        "unknown algorithm \"ImageClassifier\"",
    );
}

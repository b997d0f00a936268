//! Models that round: calibrated, trained, resumed to the same bits, measured and exported.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use occam_testing::workspace;
use serde_json::Value;

const BACKBONE: &str = "dict(type='ImageClassifier',\n\
    backbone=dict(type='ResNet_CIFAR', depth=18, in_channels=1, stem_channels=8, base_channels=8,\n\
        num_stages=2, strides=(2, 2), dilations=(1, 1), out_indices=(1, )),\n\
    neck=dict(type='GlobalAveragePooling'),\n\
    head=dict(type='LinearClsHead', num_classes=10, in_channels=16))";

fn qconfig(fake_quant: &str, [w_observer, a_observer]: [&str; 2], bit: u32) -> String {
    format!(
        "dict(w_observer=dict(type='mmrazor.{w_observer}'), a_observer=dict(type='mmrazor.{a_observer}'),\n\
         w_fake_quant=dict(type='mmrazor.{fake_quant}'), a_fake_quant=dict(type='mmrazor.{fake_quant}'),\n\
         w_qscheme=dict(qdtype='qint8', bit={bit}, is_symmetry=True, is_symmetric_range=True),\n\
         a_qscheme=dict(qdtype='quint8', bit={bit}, is_symmetry=False))"
    )
}

fn plain() -> String {
    qconfig("FakeQuantize", ["PerChannelMinMaxObserver", "MovingAverageMinMaxObserver"], 8)
}

fn write(dir: &Path, name: &str, model: &str, more: &str) -> PathBuf {
    let base = workspace().join("configs");
    let text = format!(
        "_base_ = ['{base}/_base_/datasets/fashion_mnist.py', '{base}/_base_/default_runtime.py']\n\
         model = {model}\n\
         train_dataloader = dict(batch_size=32, dataset=dict(indices=1920))\n\
         val_dataloader = dict(dataset=dict(indices=300))\n\
         test_dataloader = dict(dataset=dict(indices=300))\n\
         optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=5e-4))\n\
         train_cfg = dict(by_epoch=True, max_epochs=4)\n\
         param_scheduler = dict(type='CosineAnnealingLR', by_epoch=True, convert_to_iter_based=True)\n\
         val_cfg = dict()\n\
         test_cfg = dict()\n\
         {more}\n",
        base = base.display()
    );
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn quantized(qconfig: &str, more: &str) -> String {
    format!(
        "dict(type='mmrazor.MMArchitectureQuant', architecture={BACKBONE},\n\
         quantizer=dict(type='mmrazor.OpenVINOQuantizer', global_qconfig={qconfig}), {more})"
    )
}

fn occam(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_occam")).current_dir(workspace()).args(args).output().unwrap()
}

fn told(args: &[&str]) -> (bool, String) {
    let output = occam(args);
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text)
}

fn works(args: &[&str]) -> String {
    let (success, text) = told(args);
    assert!(success, "{text}");
    text
}

/// The figures that a command gives.
fn figures(args: &[&str]) -> Value {
    let told = works(&[args, &["--json"]].concat());
    let result = told.lines().filter_map(|l| serde_json::from_str::<Value>(l).ok());
    result.into_iter().find(|v| v["event"] == "result").unwrap_or_else(|| panic!("{told}"))["metrics"].clone()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn numbers(path: &Path, name: &str) -> Vec<f32> {
    let (weights, _) = occam::io::safetensors::load(path).unwrap();
    let found = weights.get(name).unwrap_or_else(|| panic!("{:?}", weights.keys().collect::<Vec<_>>()));
    found.as_f32().unwrap().to_vec()
}

/// Validations of a run: each a line of its log.
fn validations(work_dir: &Path) -> Vec<Value> {
    let log = std::fs::read_to_string(work_dir.join("log.jsonl")).unwrap();
    let lines = log.lines().map(|l| serde_json::from_str::<Value>(l).unwrap());
    lines.filter(|v| v["mode"] == "val").collect()
}

/// A trained float model.
fn float(dir: &Path) -> PathBuf {
    let config = write(dir, "float.py", BACKBONE, "");
    let work = dir.join("float");
    works(&["train", text(&config), "--work-dir", text(&work)]);
    work.join("epoch_4.safetensors")
}

fn accuracy(figures: &Value, name: &str) -> f64 {
    let all = figures.as_object().unwrap();
    let found = all.iter().find(|(key, _)| key.starts_with(name)).unwrap_or_else(|| panic!("{figures}"));
    found.1.as_f64().unwrap()
}

#[test]
fn post_training_quantization_keeps_the_accuracy() {
    let dir = tempfile::tempdir().unwrap();
    let checkpoint = float(dir.path());
    let whole = figures(&["test", text(&dir.path().join("float.py")), text(&checkpoint)]);
    let loop_ = "test_cfg = dict(type='mmrazor.PTQLoop', calibrate_steps=8,\n\
         calibrate_dataloader=dict(batch_size=32, dataset=dict(type='FashionMNIST', indices=300,\n\
         data_prefix=_base_.val_dataloader.dataset.data_prefix, test_mode=False,\n\
         pipeline=_base_.val_dataloader.dataset.pipeline), sampler=dict(type='DefaultSampler', shuffle=False)))";
    let config = write(dir.path(), "ptq.py", &quantized(&plain(), ""), loop_);
    let work = dir.path().join("ptq");
    let file = dir.path().join("int8.onnx");
    let args = ["ptq", text(&config), text(&checkpoint), "--work-dir", text(&work), "-o", text(&file)];
    let rounded = figures(&args);
    assert!(
        (accuracy(&whole, "accuracy") - accuracy(&rounded, "accuracy")).abs() <= 2.0,
        "{whole} {rounded}"
    );
    // Measured again it is the same.
    let saved = work.join("model_ptq.safetensors");
    assert_eq!(figures(&["test", text(&config), text(&saved)]), rounded);
    let scales = numbers(&saved, "architecture.backbone.conv1.weight.quant.scale");
    assert!(scales.len() == 8 && scales.iter().all(|&s| s > 0.0 && s < 0.5), "{scales:?}");
    let input = numbers(&saved, "architecture.input.quant.scale");
    assert!(input.len() == 1 && input[0] != 1.0, "{input:?}");
    assert!(std::fs::metadata(&file).unwrap().len() > 1000);
    // A model without grids is not measured.
    let (success, message) = told(&["test", text(&config), text(&checkpoint)]);
    assert!(!success && message.contains("occam ptq"), "{message}");
}

#[test]
fn training_follows_the_observers_and_resumes_to_the_same_bits() {
    let dir = tempfile::tempdir().unwrap();
    let checkpoint = float(dir.path());
    let model =
        quantized(&plain(), &format!("float_checkpoint={:?}, float_teacher=dict(tau=2)", text(&checkpoint)));
    let more = "train_cfg = dict(type='mmrazor.QATEpochBasedLoop', max_epochs=3,\n\
             disable_observer_begin=3, freeze_bn_begin=3)\n\
         val_cfg = dict(type='mmrazor.QATValLoop')\n\
         optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.005, momentum=0.9, weight_decay=5e-4))\n\
         default_hooks = dict(checkpoint=dict(interval=20, by_epoch=False, max_keep_ckpts=20), sync=dict(type='SyncBuffersHook'))";
    let config = write(dir.path(), "qat.py", &model, more);
    let whole = dir.path().join("whole");
    let told = works(&["train", text(&config), "--work-dir", text(&whole)]);
    let validations = validations(&whole);
    assert_eq!(validations.len(), 3, "{told}");
    let first = accuracy(&validations[0], "original.accuracy");
    for figures in &validations {
        // The float model does not drift, and the other one stays near it.
        assert_eq!(accuracy(figures, "original.accuracy"), first);
        assert!(accuracy(figures, "qat.accuracy") > first - 5.0, "{figures}");
    }
    let [a, b, c] = [20, 100, 120].map(|iter| whole.join(format!("iter_{iter}.safetensors")));
    let scale = "architecture.backbone.layer1.0.conv1.weight.quant.scale";
    let mean = "architecture.backbone.bn1.running_mean";
    for name in [scale, mean] {
        assert_ne!(numbers(&a, name), numbers(&b, name), "{name} follows");
    }
    let last = whole.join("iter_180.safetensors");
    for name in [scale, mean] {
        assert_eq!(numbers(&c, name), numbers(&last, name), "{name} stays in the third epoch");
    }
    let weight = "architecture.backbone.layer1.0.conv1.weight";
    assert_ne!(numbers(&c, weight), numbers(&last, weight));

    let resumed = dir.path().join("resumed");
    works(&["train", text(&config), "--work-dir", text(&resumed), &format!("--resume={}", text(&b))]);
    for name in ["iter_120.safetensors", "iter_180.safetensors"] {
        assert!(
            std::fs::read(whole.join(name)).unwrap() == std::fs::read(resumed.join(name)).unwrap(),
            "{name}"
        );
    }
    let figures = figures(&["test", text(&config), text(&last)]);
    assert!(accuracy(&figures, "accuracy") > first - 5.0, "{figures}");
    let file = dir.path().join("qat.onnx");
    works(&["export", text(&config), text(&last), "-o", text(&file)]);
}

#[test]
fn grids_learn_after_the_first_step() {
    let dir = tempfile::tempdir().unwrap();
    let checkpoint = float(dir.path());
    let lsq = qconfig("LearnableFakeQuantize", ["LSQPerChannelObserver", "LSQObserver"], 4);
    let model = quantized(&lsq, &format!("float_checkpoint={:?}", text(&checkpoint)));
    let more = "train_cfg = dict(type='mmrazor.LSQEpochBasedLoop', max_epochs=1, freeze_bn_begin=1)\n\
         val_cfg = dict(type='mmrazor.QATValLoop')\n\
         optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.005, momentum=0.9, weight_decay=5e-4))\n\
         default_hooks = dict(checkpoint=dict(interval=1, by_epoch=False, max_keep_ckpts=70))";
    let config = write(dir.path(), "lsq.py", &model, more);
    let whole = dir.path().join("whole");
    works(&["train", text(&config), "--work-dir", text(&whole)]);
    let at = |iter: u32| whole.join(format!("iter_{iter}.safetensors"));
    for name in ["architecture.backbone.layer1.0.conv1.weight.quant.scale", "architecture.input.quant.scale"]
    {
        let [one, two, last] = [1, 2, 60].map(|iter| numbers(&at(iter), name));
        assert!(one.iter().all(|&s| s != 1.0 && s > 0.0), "the first step sets {name}: {one:?}");
        assert_ne!(one, two, "{name} learns");
        let ratio = |i: usize| last[i] / one[i];
        assert!((0..one.len()).all(|i| (0.2..5.0).contains(&ratio(i))), "{name}: {one:?} {last:?}");
        let moved = numbers(&at(60), &format!("optimizer/{name}.momentum_buffer"));
        assert_eq!(moved.len(), one.len());
    }
    // Statistics are frozen from the first epoch on.
    let mean = "architecture.backbone.bn1.running_mean";
    assert_eq!(numbers(&at(1), mean), numbers(&checkpoint, "backbone.bn1.running_mean"));
    assert_eq!(numbers(&at(60), mean), numbers(&at(1), mean));
    let figures = validations(&whole);
    let last = figures.last().unwrap();
    assert!(
        accuracy(last, "qat.accuracy") > accuracy(last, "original.accuracy") - 15.0,
        "sixty steps bring four bits near the float model: {last}"
    );
    let resumed = dir.path().join("resumed");
    works(&["train", text(&config), "--work-dir", text(&resumed), &format!("--resume={}", text(&at(13)))]);
    for name in ["iter_14.safetensors", "iter_60.safetensors"] {
        assert!(
            std::fs::read(whole.join(name)).unwrap() == std::fs::read(resumed.join(name)).unwrap(),
            "{name}"
        );
    }
}

/// The configs of mmrazor 1.0 for mmcls, as they are there.
#[test]
fn configs_of_the_original_build() {
    let dir = workspace().join("tests/golden/config/quantization");
    for name in [
        "ptq/base/ptq_openvino_resnet18_8xb32_in1k_calib32xb32.py",
        "ptq/base/ptq_openvino_resnet50_8xb32_in1k_calib32xb32.py",
        "ptq/base/ptq_openvino_mbv2_8xb32_in1k_calib32xb32.py",
        "ptq/base/ptq_tensorrt_resnet18_8xb32_in1k_calib32xb32.py",
        "ptq/base/ptq_tensorrt_resnet50_8xb32_in1k_calib32xb32.py",
        "ptq/base/ptq_tensorrt_mbv2_8xb32_in1k_calib32xb32.py",
        "qat/base/qat_openvino_resnet18_10e_8xb32_in1k.py",
        "qat/lsq/lsq_openvino_resnet18_8xb32_10e_in1k.py",
        "qat/lsq/lsq_openvino_resnet18_8xb32_100e_in1k.py",
    ] {
        let told = works(&["config", "check", text(&dir.join(name))]);
        assert!(!told.contains("error") && !told.contains("warning"), "{name}: {told}");
    }
}

#[test]
fn what_makes_no_sense_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |model: &str, more: &str, wanted: &str| {
        let config = write(dir.path(), "bad.py", model, more);
        let (success, message) = told(&["config", "check", text(&config)]);
        assert!(!success && message.contains(wanted), "{wanted}: {message}");
    };
    let bits = plain().replace("bit=8", "bit=17");
    refused(&quantized(&bits, ""), "", "17 bits");
    refused(&quantized(&plain().replace("MinMaxObserver", "MinMaxObserved"), ""), "", "MinMaxObserved");
    refused(&quantized(&plain(), "float_teacher=dict(tau=0)"), "", "`tau` must be above 0");
    refused(&quantized(&plain(), "forward_mode=('loss', )"), "", "forward_modes");
    let model = quantized(&plain(), "float_checkpoint='https://download.openmmlab.com/x.pth'");
    let config = write(dir.path(), "url.py", &model, "");
    let (success, message) = told(&["train", text(&config), "--work-dir", text(&dir.path().join("w"))]);
    assert!(!success && message.contains("never downloaded"), "{message}");
    let config =
        write(dir.path(), "plain.py", BACKBONE, "train_cfg = dict(type='QATEpochBasedLoop', max_epochs=1)");
    let (success, message) = told(&["train", text(&config), "--work-dir", text(&dir.path().join("w"))]);
    assert!(!success && message.contains("MMArchitectureQuant"), "{message}");
}

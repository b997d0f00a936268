//! Models of several widths: trained, resumed to the same bits, measured, searched, deployed and exported.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use occam::io::onnx::{ImportOptions, import};
use occam_testing::workspace;
use serde_json::Value;

const ARCHITECTURE: &str = "dict(type='ImageClassifier', backbone=dict(type='ResNet_CIFAR', depth=18, in_channels=1, \
    stem_channels=8, base_channels=8, num_stages=2, strides=(2, 2), dilations=(1, 1), out_indices=(1, )), \
    neck=dict(type='GlobalAveragePooling'), head=dict(type='LinearClsHead', num_classes=10, in_channels=16))";

const AUTO_SLIM: &str = "model = dict(_scope_='mmrazor', type='AutoSlim', num_random_samples=1, norm_training=False, \
    mutator=dict(type='OneShotChannelMutator', channel_unit_cfg=dict(type='OneShotMutableChannelUnit', \
        default_args=dict(candidate_choices=[0.25, 0.5, 1.0], choice_mode='ratio', divisor=2)), \
        parse_cfg=dict(type='ChannelAnalyzer', demo_input=(1, 3, 224, 224), tracer_type='BackwardTracer')), \
    distiller=dict(type='ConfigurableDistiller', \
        teacher_recorders=dict(fc=dict(type='ModuleOutputs', source='head.fc')), \
        student_recorders=dict(fc=dict(type='ModuleOutputs', source='head.fc')), \
        distill_losses=dict(loss_kl=dict(type='KLDivergence', tau=1, loss_weight=1)), \
        loss_forward_mappings=dict(loss_kl=dict(preds_S=dict(recorder='fc', from_student=True), \
            preds_T=dict(recorder='fc', from_student=False)))), architecture=";

const SLIMMABLE: &str = "model = dict(type='SlimmableNetwork', mutator=dict(type='SlimmableChannelMutator', \
    channel_unit_cfg=dict(type='SlimmableChannelUnit', default_args=dict(candidate_choices=[0.25, 1.0]))), architecture=";

fn write(dir: &Path, name: &str, model: &str, more: &str) -> PathBuf {
    let base = workspace().join("configs");
    let text = format!(
        "_base_ = ['{base}/_base_/datasets/fashion_mnist.py', '{base}/_base_/default_runtime.py']\n\
         {model}{ARCHITECTURE})\n\
         train_dataloader = dict(batch_size=32, dataset=dict(indices=320))\n\
         val_dataloader = dict(batch_size=100, dataset=dict(indices=100))\n\
         test_dataloader = dict(batch_size=100, dataset=dict(indices=100))\n\
         optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.05, momentum=0.9, weight_decay=5e-4))\n\
         train_cfg = dict(by_epoch=True, max_epochs=2)\n\
         val_cfg = dict()\n\
         test_cfg = dict()\n\
         default_hooks = dict(logger=dict(interval=5), checkpoint=dict(interval=7, by_epoch=False, max_keep_ckpts=20))\n\
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

fn refused(args: &[&str]) -> String {
    let output = occam(args);
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn figures(dir: &Path) -> BTreeMap<String, f64> {
    serde_json::from_str(&std::fs::read_to_string(dir.join("test.json")).unwrap()).unwrap()
}

fn same(a: &Path, b: &Path, names: &[&str]) {
    for name in names {
        assert!(std::fs::read(a.join(name)).unwrap() == std::fs::read(b.join(name)).unwrap(), "{name}");
    }
}

#[test]
fn auto_slim_is_trained_measured_and_searched() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let val = "val_cfg = dict(type='mmrazor.SubnetValLoop', calibrate_sample_num=64)";
    let config = write(dir.path(), "supernet.py", AUTO_SLIM, val);
    works(&["config", "check", text(&config)]);
    let whole = at("whole");
    works(&["train", text(&config), "--work-dir", text(&whole)]);
    let log = std::fs::read_to_string(whole.join("log.jsonl")).unwrap();
    for name in [
        "max_subnet.loss",
        "min_subnet.loss_kl",
        "random0_subnet.loss_kl",
        "min_subnet.accuracy/top1",
        "random0_subnet.flops",
        "max_subnet.params",
    ] {
        assert!(log.contains(&format!("\"{name}\"")), "{name}: {log}");
    }
    assert!(!log.contains("max_subnet.loss_kl"));

    let resumed = at("resumed");
    let from = whole.join("iter_7.safetensors");
    works(&["train", text(&config), "--work-dir", text(&resumed), &format!("--resume={}", text(&from))]);
    same(&whole, &resumed, &["iter_14.safetensors", "iter_20.safetensors"]);

    // One search for two targets, and another that stops after the first.
    let last = whole.join("iter_20.safetensors");
    let search = |name: &str, work_dir: &Path, loop_: &str| {
        let more = format!(
            "model['norm_training'] = True\n\
             test_cfg = dict(type='mmrazor.AutoSlimGreedySearchLoop', dataloader=_base_.test_dataloader, \
             evaluator=_base_.test_evaluator, {loop_})\ntest_cfg['dataloader']['dataset']['indices'] = 50"
        );
        let config = write(dir.path(), name, AUTO_SLIM, &more);
        works(&["test", text(&config), text(&last), "--work-dir", text(work_dir)])
    };
    let (both, first) = (at("both"), at("first"));
    search("both.py", &both, "target_flops=(0.25, 0.5)");
    search("first.py", &first, "target_flops=(0.5,)");
    let state: Value =
        serde_json::from_str(&std::fs::read_to_string(first.join("latest.json")).unwrap()).unwrap();
    assert_eq!(state["searched_subnet"].as_array().unwrap().len(), 1);
    search(
        "second.py",
        &first,
        &format!("target_flops=(0.5, 0.25), resume_from='{}'", text(&first.join("latest.json"))),
    );
    let found: Vec<String> = std::fs::read_dir(&both)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .filter(|n| n.starts_with("FLOPS_") && n.ends_with("M.yaml"))
        .collect();
    assert_eq!(found.len(), 2, "{found:?}");
    same(&both, &first, &found.iter().map(String::as_str).collect::<Vec<_>>());
    same(&both, &first, &["test.json", "latest.json"]);
    for name in &found {
        let flops: f64 = name["FLOPS_".len()..name.len() - "M.yaml".len()].parse().unwrap();
        let figures = figures(&both);
        let stem = name.strip_suffix(".yaml").unwrap();
        assert!((figures[&format!("{stem}.flops")] - flops).abs() < 0.01, "{figures:?}");
        assert!(figures.contains_key(&format!("{stem}.accuracy/top1")));
        let file: Value = serde_json::from_str(&std::fs::read_to_string(both.join(name)).unwrap()).unwrap();
        assert_eq!(file["type"], "OneShotChannelMutator");
        assert!(flops <= 0.5);
    }

    // Targets and states that do not fit.
    let told = |loop_: &str| {
        let more = format!("test_cfg = dict(type='AutoSlimGreedySearchLoop', {loop_})");
        let config = write(dir.path(), "wrong.py", AUTO_SLIM, &more);
        refused(&["test", text(&config), text(&last), "--work-dir", text(&at("wrong"))])
    };
    assert!(told("target_flops=(0.001,)").contains("cannot be met"));
    assert!(told("target_flops=()").contains("above 0"));
    assert!(told("target_flops=(0.3,), score_key='f1'").contains("there are accuracy/top1"));
    std::fs::write(at("latest.pkl"), [0x80, 4]).unwrap();
    let state = format!("target_flops=(0.3,), resume_from='{}'", text(&at("latest.pkl")));
    assert!(told(&state).contains("no state of a search"));
}

#[test]
fn slimmable_networks_are_trained_deployed_and_exported() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let loops = "val_cfg = dict(type='mmrazor.SlimmableValLoop')\ntest_cfg = dict(type='SlimmableValLoop')";
    let config = write(dir.path(), "slimmable.py", SLIMMABLE, loops);
    let whole = at("whole");
    works(&["train", text(&config), "--work-dir", text(&whole)]);
    let resumed = at("resumed");
    let from = whole.join("iter_7.safetensors");
    works(&["train", text(&config), "--work-dir", text(&resumed), &format!("--resume={}", text(&from))]);
    same(&whole, &resumed, &["iter_14.safetensors", "iter_20.safetensors"]);
    let last = whole.join("iter_20.safetensors");
    let (weights, _) = occam::io::safetensors::load(&last).unwrap();
    assert_eq!(weights["architecture.backbone.bn1.candidate_bn.2.running_mean"].shape(), [2]);
    assert!(
        weights.contains_key("optimizer/architecture.backbone.bn1.candidate_bn.2.weight.momentum_buffer")
    );

    let all = at("all");
    works(&["test", text(&config), text(&last), "--work-dir", text(&all)]);
    let of_all = figures(&all);
    assert!(of_all["subnet_0.flops"] < of_all["subnet_1.flops"] / 8.0, "{of_all:?}");
    let log = std::fs::read_to_string(whole.join("log.jsonl")).unwrap();
    for name in ["subnet_0.loss", "subnet_1.loss"] {
        let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let losses: Vec<f64> = lines.filter_map(|line| line[name].as_f64()).collect();
        assert!(losses.len() > 2 && losses[losses.len() - 1] < losses[0], "{name}: {losses:?}");
    }

    let whole_onnx = at("whole.onnx");
    assert!(
        refused(&["export", text(&config), text(&last), "-o", text(&whole_onnx)]).contains("deploy_index")
    );
    for i in 0..2 {
        let option = format!("model.deploy_index={i}");
        let one = at(&format!("one{i}"));
        let options = ["--cfg-options", &option];
        works(&[&["test", text(&config), text(&last), "--work-dir", text(&one)][..], &options].concat());
        assert_eq!(figures(&one)["accuracy/top1"], of_all[&format!("subnet_{i}.accuracy/top1")]);
        let onnx = at(&format!("one{i}.onnx"));
        works(&[&["export", text(&config), text(&last), "-o", text(&onnx)][..], &options].concat());
        let model = import(&onnx, &ImportOptions::default()).unwrap();
        let widths = if i == 0 { [2, 4] } else { [8, 16] };
        let has = |shape: &[usize]| model.weights.values().any(|a| a.shape() == shape);
        assert!(has(&[widths[0], 1, 3, 3]) && has(&[10, widths[1]]), "{i}");
    }
    let told = refused(&["test", text(&config), text(&last), "--cfg-options", "model.deploy_index=2"]);
    assert!(told.contains("from 0 to 1"), "{told}");
}

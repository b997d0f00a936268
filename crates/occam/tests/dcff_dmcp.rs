//! Trainings that fuse filters (DCFF) or learn widths (DMCP) reach their targets, resume to the same bits, and export what they
//! trained.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use occam::graph::{Array, Weights};
use occam::io::onnx::{ImportOptions, import};
use occam_testing::{assert_close, fill, values, workspace};
use serde_json::Value;

fn architecture(channels: u32) -> String {
    format!(
        "dict(type='ImageClassifier', backbone=dict(type='ResNet_CIFAR', depth=18, in_channels=1, stem_channels={channels}, \
         base_channels={channels}, num_stages=2, strides=(2, 2), dilations=(1, 1), out_indices=(1, )), \
         neck=dict(type='GlobalAveragePooling'), head=dict(type='LinearClsHead', num_classes=10, in_channels={}))",
        2 * channels
    )
}

fn dcff(more: &str) -> String {
    format!(
        "model = dict(_scope_='mmrazor', type='DCFF', architecture={}, mutator_cfg=dict(type='DCFFChannelMutator', \
         channel_unit_cfg=dict(type='DCFFChannelUnit', default_args=dict(choice_mode='ratio')), \
         parse_cfg=dict(type='ChannelAnalyzer', demo_input=(1, 3, 224, 224), tracer_type='BackwardTracer')), \
         data_preprocessor=None, linear_schedule=False, {more})",
        architecture(8)
    )
}

/// Of a residual stream, an inner unit as a number, and another as a part.
const TARGET: &str = "target_pruning_ratio={'backbone.conv1_(0, 8)_8': 0.5, \
    'backbone.layer1.0.conv1_(0, 8)_8': 3, 'backbone.layer2.0.conv1_(0, 16)_16': 0.7}";

fn dmcp(more: &str) -> String {
    format!(
        "model = dict(_scope_='mmrazor', type='DMCP', architecture={}, distiller=dict(type='ConfigurableDistiller', \
         teacher_recorders=dict(fc=dict(type='ModuleOutputs', source='head.fc')), \
         student_recorders=dict(fc=dict(type='ModuleOutputs', source='head.fc')), \
         distill_losses=dict(loss_kl=dict(type='KLDivergence', tau=1, loss_weight=1)), \
         loss_forward_mappings=dict(loss_kl=dict(preds_S=dict(recorder='fc', from_student=True), \
         preds_T=dict(recorder='fc', from_student=False)))), mutator_cfg=dict(type='DMCPChannelMutator', \
         channel_unit_cfg=dict(type='DMCPChannelUnit', default_args=dict(choice_mode='number')), \
         pruning_cfg=(0.25, 1, 0.125)), {more})",
        architecture(16)
    )
}

const SGD: &str = "optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.05, momentum=0.9, weight_decay=5e-4), \
    accumulative_counts=3)\n";

const SEPARATE: &str = "optim_wrapper = dict(constructor='mmrazor.SeparateOptimWrapperConstructor', \
    architecture=dict(type='OptimWrapper', accumulative_counts=3, \
        optimizer=dict(type='SGD', lr=0.02, momentum=0.9, weight_decay=5e-4)), \
    mutator=dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=0.1, weight_decay=1e-3)))\n\
    param_scheduler = dict(architecture=dict(type='CosineAnnealingLR', by_epoch=True, convert_to_iter_based=True), \
        mutator=[dict(type='ConstantLR', factor=0.5, by_epoch=False, end=1000)])\n\
    custom_hooks = [dict(type='DMCPSubnetHook', subnet_sample_num=2)]\n\
    log_processor = dict(window_size=1)\n";

fn write(dir: &Path, name: &str, model: &str, more: &str) -> PathBuf {
    let base = workspace().join("configs");
    let text = format!(
        "_base_ = ['{base}/_base_/datasets/fashion_mnist.py', '{base}/_base_/default_runtime.py']\n\
         {model}\n\
         train_dataloader = dict(batch_size=16, dataset=dict(indices=160))\n\
         val_dataloader = dict(dataset=dict(indices=100))\n\
         train_cfg = dict(by_epoch=True, max_epochs=3)\n\
         default_hooks = dict(logger=dict(interval=1), checkpoint=dict(interval=7, by_epoch=False, max_keep_ckpts=20))\n\
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

fn weights(path: &Path) -> Weights {
    occam::io::safetensors::load(path).unwrap().0
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// What a file computes of one made-up image.
fn outputs(onnx: &Path) -> Vec<f64> {
    let model = import(onnx, &ImportOptions::default()).unwrap();
    let interpreter = occam::interp::Interpreter::new(&model.graph, &model.weights).unwrap();
    let input = fill("dcff_dmcp", &[1, 1, 28, 28], -1.0, 1.0);
    values(&interpreter.call(std::slice::from_ref(&input)).unwrap()[0])
}

fn same_bits(a: &Path, b: &Path) {
    assert!(
        std::fs::read(a).unwrap() == std::fs::read(b).unwrap(),
        "{} and {} differ",
        a.display(),
        b.display()
    );
}

/// Rows of a matrix of `rows` rows.
fn rows(array: &Array, rows: usize) -> Vec<Vec<f64>> {
    let all = values(array);
    all.chunks(all.len() / rows).map(<[f64]>::to_vec).collect()
}

#[test]
fn fused_filters_follow_all_filters_and_are_exported() {
    let dir = tempfile::tempdir().unwrap();
    let hooks = format!(
        "{SGD}val_cfg = dict(type='mmrazor.ItePruneValLoop')\ncustom_hooks = [dict(type='EMAHook', momentum=0.1)]"
    );
    let config = write(dir.path(), "config.py", &dcff(&format!("{TARGET}, step_freq=1")), &hooks);
    let whole = dir.path().join("whole");
    let told = works(&["train", text(&config), "--work-dir", text(&whole)]);
    // Temperatures of epochs 0, 1 and 2 of 3.
    for (time, temperature) in [(1, "1.0000"), (2, "0.0002"), (3, "0.0001")] {
        let line =
            format!("compared the filters, {time} of 3, at temperature {temperature}: 3 units are narrower");
        assert!(told.contains(&line), "{line:?} is not in {told}");
    }
    let units = &json(&whole.join("fix_subnet.json"))["channel_unit_cfg"]["units"];
    assert_eq!(units["backbone.conv1_(0, 8)_8"]["choice"], 4);
    assert_eq!(units["backbone.layer1.0.conv1_(0, 8)_8"]["choice"], 3);
    assert_eq!(units["backbone.layer2.0.conv1_(0, 16)_16"]["choice"], 11);

    // All filters are trained: each has moved between two checkpoints, also those whose row was not kept.
    let name = "architecture.backbone.layer1.0.conv1.weight";
    let (early, last) =
        (weights(&whole.join("iter_7.safetensors")), weights(&whole.join("iter_30.safetensors")));
    assert_eq!(early[name].shape(), [8, 8, 3, 3]);
    for (a, b) in rows(&early[name], 8).iter().zip(rows(&last[name], 8)) {
        assert!(a.iter().zip(b).any(|(x, y)| (x - y).abs() > 1e-4));
    }
    // What is written has sums of them, of the first inputs: 3 rows of the similarities, in order.
    let similarity = rows(&early["mutator.similarity.backbone.layer1.0.conv1"], 8);
    for row in &similarity {
        assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-5);
        assert!(row.iter().filter(|p| **p > 0.01).count() > 1, "at temperature 1 filters are mixed: {row:?}");
    }
    let written = whole.join("fix_subnet_weight.pth");
    let small =
        occam::io::weights::read(&written, &occam::io::weights::ReadOptions::default()).unwrap().weights;
    assert_eq!(small[name].shape(), [3, 4, 3, 3]);
    let similarity = rows(&last["mutator.similarity.backbone.layer1.0.conv1"], 8);
    let full = rows(&last[name], 8);
    let sums: Vec<Vec<f64>> = similarity
        .iter()
        .map(|row| (0..4 * 9).map(|i| row.iter().zip(&full).map(|(p, w)| p * w[i]).sum()).collect())
        .collect();
    let mut from = 0;
    for filter in rows(&small[name], 3) {
        let near = |sum: &Vec<f64>| sum.iter().zip(&filter).all(|(a, b)| (a - b).abs() < 1e-5);
        from += sums[from..].iter().position(near).expect("a sum of all filters") + 1;
    }

    // From the middle of an epoch, with gradients that wait, averages and similarities.
    let resumed = dir.path().join("resumed");
    let start = whole.join("iter_7.safetensors");
    works(&["train", text(&config), "--work-dir", text(&resumed), &format!("--resume={}", text(&start))]);
    for name in ["iter_14.safetensors", "iter_30.safetensors"] {
        same_bits(&whole.join(name), &resumed.join(name));
    }

    // The checkpoint and the small model's own weights make the same file.
    let onnx = dir.path().join("small.onnx");
    works(&["export", text(&config), text(&whole.join("iter_30.safetensors")), "-o", text(&onnx)]);
    let exported = import(&onnx, &ImportOptions::default()).unwrap();
    assert!(exported.weights.values().any(|a| a.shape() == [3, 4, 3, 3]));
    let model = format!(
        "model = dict(type='sub_model', cfg={}, fix_subnet='{}', mode='mutator', \
         init_cfg=dict(type='Pretrained', checkpoint='{}'))",
        architecture(8),
        text(&whole.join("fix_subnet.json")),
        text(&written)
    );
    let compact = write(dir.path(), "compact.py", &model, SGD);
    let other = dir.path().join("compact.onnx");
    works(&["export", text(&compact), text(&written), "-o", text(&other)]);
    assert_close("the compact model", &outputs(&other), &outputs(&onnx), 1e-6);
    works(&[
        "train",
        text(&compact),
        "--work-dir",
        text(&dir.path().join("w")),
        "--cfg-options",
        "train_cfg.max_epochs=1",
    ]);
    let told = works(&["test", text(&config), text(&whole.join("iter_30.safetensors"))]);
    assert!(told.contains("accuracy"), "{told}");
}

#[test]
fn widths_are_learned_towards_the_target() {
    let dir = tempfile::tempdir().unwrap();
    let keys = "strategy=['max', 'min', 'scheduled_random', 'arch_random'], arch_start_train=5, arch_train_freq=1, \
                distillation_times=8, target_flops=0.8, flop_loss_weight=1.0";
    let config = write(dir.path(), "config.py", &dmcp(keys), SEPARATE);
    let whole = dir.path().join("whole");
    let told = works(&["train", text(&config), "--work-dir", text(&whole)]);

    // Nothing of the architecture moves before its time.
    let arch = |name: &str| -> Vec<f64> {
        let all = weights(&whole.join(name));
        all.iter()
            .filter(|(n, _)| n.starts_with("mutator.arch_params."))
            .flat_map(|(_, a)| values(a))
            .collect()
    };
    let config_first = "iter_7.safetensors";
    assert!(!arch(config_first).is_empty() && arch(config_first).iter().any(|a| *a != 0.0));
    let log: Vec<Value> = std::fs::read_to_string(whole.join("log.jsonl"))
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|line: &Value| line["mode"] == "train")
        .collect();
    assert_eq!(log.len(), 30);
    let macs: Vec<Option<f64>> = log.iter().map(|line| line["expected_macs"].as_f64()).collect();
    assert!(macs[..6].iter().all(Option::is_none) && macs[6..].iter().all(Option::is_some), "{macs:?}");
    // From all channels to the target, of which the loss leaves 5 % below free.
    let (first, last) = (macs[6].unwrap(), macs[29].unwrap());
    assert!(first > 1.5 * 0.8 && (0.6..1.0).contains(&last), "{macs:?}");
    for (i, line) in log.iter().enumerate() {
        let has = |key: &str| line.get(key).is_some_and(Value::is_number);
        assert!(has("max_subnet1.loss") && has("min_subnet1.loss"), "{line}");
        assert!(has("random_subnet2.loss"), "{line}");
        assert_eq!(has("direct_subnet1.loss"), i > 5, "{line}");
        assert_eq!(has("min_subnet1.loss_kl"), i > 8, "{line}");
        assert_eq!(has("arch.loss") && has("flops.loss"), i > 5, "{line}");
    }
    let start = write(
        dir.path(),
        "start.py",
        &dmcp(&keys.replace("arch_start_train=5", "arch_start_train=99")),
        SEPARATE,
    );
    let frozen = dir.path().join("frozen");
    works(&["train", text(&start), "--work-dir", text(&frozen), "--cfg-options", "train_cfg.max_epochs=1"]);
    let all = weights(&frozen.join("iter_10.safetensors"));
    let moved = all.iter().filter(|(n, _)| n.starts_with("mutator.")).flat_map(|(_, a)| values(a));
    assert!(moved.clone().count() > 0 && moved.clone().all(|a| a == 0.0));

    // Both optimizers, the gradients that wait for the first, and the chains go on.
    let resumed = dir.path().join("resumed");
    let from = whole.join("iter_7.safetensors");
    works(&["train", text(&config), "--work-dir", text(&resumed), &format!("--resume={}", text(&from))]);
    for name in ["iter_14.safetensors", "iter_30.safetensors"] {
        same_bits(&whole.join(name), &resumed.join(name));
    }

    // Subnets near the target, which cost what is said.
    let last = whole.join("iter_30.safetensors");
    let export = |subnet: &Path| -> PathBuf {
        let model = format!(
            "model = dict(type='sub_model', cfg={}, fix_subnet='{}', mode='mutator')",
            architecture(16),
            text(subnet)
        );
        let config = write(dir.path(), "subnet.py", &model, SGD);
        let onnx = subnet.with_extension("onnx");
        works(&["export", text(&config), text(&last), "-o", text(&onnx)]);
        onnx
    };
    for name in ["subnet_1.json", "subnet_2.json"] {
        let subnet = whole.join("model_sample").join(name);
        let file = json(&subnet);
        assert_eq!(file["type"], "DMCPChannelMutator");
        assert_eq!(file["channel_unit_cfg"]["type"], "DMCPChannelUnit");
        let onnx = export(&subnet);
        let report: Value = serde_json::from_str(&works(&["inspect", text(&onnx), "--json"])).unwrap();
        let macs = report["total"]["macs"].as_f64().unwrap();
        assert!((macs - 0.8e6).abs() <= 0.05 * 0.8e6, "{name}: {macs}");
        let line = format!("wrote model_sample/{name}: {:.3} million multiply-accumulates", macs / 1e6);
        assert!(told.contains(&line), "{line:?} is not in {told}");
    }
    // What the run itself exports is the subnet of expected widths.
    let own = dir.path().join("own.onnx");
    works(&["export", text(&config), text(&last), "-o", text(&own)]);
    let expected = export(&whole.join("model_sample/excepted_ch.json"));
    assert_eq!(outputs(&own), outputs(&expected));
}

#[test]
fn wrong_configs_are_refused_with_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |model: String, more: &str, args: &[&str], wanted: &[&str]| {
        let config = write(dir.path(), "wrong.py", &model, more);
        let output = occam(&[args, &[text(&config)]].concat());
        let told =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{told}");
        for part in wanted {
            assert!(told.contains(part), "{part:?} is not in {told}");
        }
    };
    let check = ["config", "check"];
    refused(
        dcff("target_pruning_ratio={'backbone.layer1.0.conv_(0, 8)_8': 0.5}"),
        SGD,
        &check,
        &["did you mean"],
    );
    refused(dcff("step_freq=2, prune_times=3"), SGD, &check, &["one of `step_freq` and `prune_times`"]);
    refused(dcff("step_freq=0"), SGD, &check, &["must be at least 1"]);
    refused(dcff("fuse=True"), SGD, &check, &["fuse"]);
    refused(
        dcff(TARGET)
            .replace("type='DCFFChannelMutator'", "type='ChannelMutator'")
            .replace("DCFFChannelUnit", "L1MutableChannelUnit"),
        SGD,
        &check,
        &["must be a DCFFChannelMutator"],
    );
    refused(dmcp("strategy=['min', 'max']"), SEPARATE, &check, &["must begin with 'max'"]);
    refused(dmcp("strategy=['least']"), SEPARATE, &check, &["least"]);
    refused(dmcp("flops_loss_type='l3'"), SEPARATE, &check, &["l3"]);
    refused(dmcp("target_flops=0"), SEPARATE, &check, &["`target_flops` must be above 0"]);
    refused(
        dmcp("").replace("(0.25, 1, 0.125)", "(0.25, 0.5, 0.125)"),
        SEPARATE,
        &check,
        &["`pruning_cfg` must be"],
    );
    refused(
        dmcp("").replace("(0.25, 1, 0.125)", "(0.1, 1, 0.01)"),
        SEPARATE,
        &check,
        &["no width could be learned"],
    );
    let work = dir.path().join("w");
    let train = ["train", "--work-dir", text(&work)];
    refused(dmcp("target_flops=100"), SEPARATE, &train, &["`target_flops` is 100", "costs between"]);
    refused(
        dmcp("target_flops=0.8"),
        &SEPARATE.replace("mutator=dict(type", "mutators=dict(type"),
        &train,
        &["no part `mutators`", "architecture, mutator"],
    );
    refused(
        dcff(TARGET),
        &format!("{SGD}custom_hooks = [dict(type='DMCPSubnetHook')]"),
        &train,
        &["of the algorithm DMCP"],
    );
}

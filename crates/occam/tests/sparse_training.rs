//! Trainings with penalties, targets, compactors and masks do what they say, resume to the same bits, and export what is left.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use occam::graph::{Array, Bindings, Dim, Weights};
use occam::io::onnx::{ImportOptions, import};
use occam_testing::workspace;

const ARCHITECTURE: &str = "architecture=dict(type='ImageClassifier',\n\
    backbone=dict(type='ResNet_CIFAR', depth=18, in_channels=1, stem_channels=8, base_channels=8,\n\
        num_stages=2, strides=(2, 2), dilations=(1, 1), out_indices=(1, )),\n\
    neck=dict(type='GlobalAveragePooling'),\n\
    head=dict(type='LinearClsHead', num_classes=10, in_channels=16))";

/// A training of three epochs of eight steps.
fn write(dir: &Path, name: &str, model: &str, more: &str) -> PathBuf {
    let base = workspace().join("configs");
    let text = format!(
        "_base_ = ['{base}/_base_/datasets/fashion_mnist.py', '{base}/_base_/default_runtime.py']\n\
         model = dict({model})\n\
         train_dataloader = dict(batch_size=16, dataset=dict(indices=128))\n\
         val_dataloader = dict(dataset=dict(indices=64))\n\
         optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.05, momentum=0.9, weight_decay=5e-4))\n\
         train_cfg = dict(by_epoch=True, max_epochs=3)\n\
         val_cfg = dict()\n\
         default_hooks = dict(checkpoint=dict(interval=5, by_epoch=False, max_keep_ckpts=20))\n\
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

fn load(path: &Path) -> Weights {
    occam::io::safetensors::load(path).unwrap().0
}

fn floats(array: &Array) -> &[f32] {
    array.as_f32().unwrap()
}

/// Trains, then resumes from `from` in another folder and compares what both write last.
fn trains_and_resumes(dir: &Path, config: &Path, from: &str) -> (PathBuf, String) {
    let name = config.file_stem().unwrap().to_str().unwrap();
    let (whole, resumed) = (dir.join(format!("{name}_whole")), dir.join(format!("{name}_resumed")));
    let told = works(&["train", text(config), "--work-dir", text(&whole)]);
    let from = whole.join(from);
    works(&["train", text(config), "--work-dir", text(&resumed), &format!("--resume={}", text(&from))]);
    let last = "iter_24.safetensors";
    let read = |dir: &Path| std::fs::read(dir.join(last)).unwrap();
    assert!(read(&whole) == read(&resumed), "{name}: {last} differs");
    (whole, told)
}

fn macs(onnx: &Path) -> u64 {
    let mut model = import(onnx, &ImportOptions::default()).unwrap();
    occam::graph::recognize::recognize(&mut model.graph, &mut model.weights).unwrap();
    let input = &model.graph.value(model.graph.inputs()[0]).unwrap().fact;
    let open = input.shape.iter().filter_map(|d| match d {
        Dim::Symbol(name) => Some((name.to_string(), 1)),
        _ => None,
    });
    let bindings: Bindings = open.collect();
    model.graph.cost(&bindings).unwrap().total.macs
}

/// The MACs that are left of the model that a plain training exports.
fn left(dir: &Path, config: &Path, work: &Path) -> f64 {
    let plain =
        format!("type='SparseTraining', {ARCHITECTURE}, regularizer=dict(type='GroupNormRegularizer')");
    let plain = write(dir, "plain.py", &plain, "");
    let full = dir.join("full.onnx");
    if !full.exists() {
        let plain_work = dir.join("plain");
        works(&["train", text(&plain), "--work-dir", text(&plain_work)]);
        works(&["export", text(&plain), text(&plain_work.join("iter_24.safetensors")), "-o", text(&full)]);
    }
    let small = work.join("small.onnx");
    works(&["export", text(config), text(&work.join("iter_24.safetensors")), "-o", text(&small)]);
    macs(&small) as f64 / macs(&full) as f64
}

#[test]
fn a_target_is_met_in_steps_and_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let model = format!(
        "type='TargetPruneAlgorithm', {ARCHITECTURE}, target=dict(macs=0.5), importance='group-l2', round_to=1,\n\
         begin=0.25, step_freq=0.25, prune_times=2, keep=['backbone.conv1'],\n\
         regularizer=dict(type='GrowingRegularizer', delta_reg=0.1, interval=2)"
    );
    let more = "custom_hooks = [dict(type='EMAHook', momentum=0.1)]\nval_cfg = dict(type='ItePruneValLoop')";
    let config = write(dir.path(), "target.py", &model, more);
    // The checkpoint lies between the choice of what goes and the first pruning, before step 6.
    let (whole, told) = trains_and_resumes(dir.path(), &config, "iter_5.safetensors");
    assert!(told.contains("pruned, 1 of 2: 0.7") && told.contains("pruned, 2 of 2: 0.4"), "{told}");
    let before = load(&whole.join("iter_5.safetensors"));
    assert!(before.keys().any(|k| k.starts_with("algorithm/leaving.")), "{:?}", before.keys());
    let last = load(&whole.join("iter_24.safetensors"));
    assert_eq!(last["architecture.backbone.conv1.weight"].shape()[0], 8);
    assert!(whole.join("fix_subnet.json").exists());
    let part = left(dir.path(), &config, &whole);
    assert!(part < 0.505 && part > 0.44, "{part}");
    // From between the two prunings.
    let resumed = dir.path().join("between");
    let from = whole.join("iter_10.safetensors");
    works(&["train", text(&config), "--work-dir", text(&resumed), &format!("--resume={}", text(&from))]);
    let read = |dir: &Path| std::fs::read(dir.join("iter_24.safetensors")).unwrap();
    assert!(read(&whole) == read(&resumed), "resumed between the prunings");
}

/// Of one parameter the sum of `f` over the elements of the last checkpoint of a sparse training.
fn size(dir: &Path, regularizer: &str, name: &str, f: impl Fn(f32) -> f32) -> f32 {
    let config = write(
        dir,
        "sparse.py",
        &format!("type='SparseTraining', {ARCHITECTURE}, regularizer={regularizer}"),
        "",
    );
    let work = dir.join("sparse");
    let _ = std::fs::remove_dir_all(&work);
    works(&["train", text(&config), "--work-dir", text(&work)]);
    let weights = load(&work.join("iter_24.safetensors"));
    floats(&weights[name]).iter().map(|&x| f(x)).sum()
}

#[test]
fn penalized_weights_are_smaller() {
    let dir = tempfile::tempdir().unwrap();
    let scales = |reg: &str| {
        let config = format!("dict(type='BNScaleRegularizer', reg={reg})");
        size(dir.path(), &config, "architecture.backbone.layer1.0.bn1.weight", f32::abs)
    };
    let (weak, strong) = (scales("1e-9"), scales("0.05"));
    assert!(strong < 0.8 * weak, "{strong} and {weak}");
    let weights =
        |kind: &str| size(dir.path(), kind, "architecture.backbone.layer2.0.conv1.weight", |x| x * x);
    let weak = weights("dict(type='GroupNormRegularizer', reg=1e-9)");
    let strong = weights("dict(type='GroupNormRegularizer', reg=0.02)");
    assert!(strong < 0.8 * weak, "{strong} and {weak}");
    let growing =
        weights("dict(type='GrowingRegularizer', ratio=0.5, delta_reg=0.5, interval=2, ceiling=2.0)");
    assert!(growing < 0.8 * weak, "{growing} and {weak}");
}

#[test]
fn zeros_stay_zero() {
    let dir = tempfile::tempdir().unwrap();
    let model = format!(
        "type='SparsityAlgorithm', {ARCHITECTURE}, sparsity=0.75, begin=0.125, end=0.5, step_freq=0.125,\n\
         keep=['backbone.conv1']"
    );
    let more = "custom_hooks = [dict(type='EMAHook', momentum=0.1)]\n\
        optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.05, momentum=0.9, weight_decay=5e-4), accumulative_counts=2)";
    let config = write(dir.path(), "zeros.py", &model, more);
    // Masks are made before steps 4, 7, 10 and 13.
    let (whole, _) = trains_and_resumes(dir.path(), &config, "iter_10.safetensors");
    let mut sparse: Vec<f64> = Vec::new();
    for iter in [5, 10, 15, 20, 24] {
        let all = load(&whole.join(format!("iter_{iter}.safetensors")));
        let [mut zeros, mut count] = [0usize; 2];
        for (key, mask) in all.iter().filter_map(|(k, a)| Some((k.strip_prefix("algorithm/mask.")?, a))) {
            assert_ne!(key, "backbone.conv1.weight");
            let name = format!("architecture.{key}");
            // The averages have the names of the weights, which are in a space of their own then.
            let trained = format!("ema_state_dict/{name}");
            let buffer = format!("optimizer/{name}.momentum_buffer");
            for place in [&name, &trained, &buffer] {
                let own = floats(&all[place.as_str()]);
                for (x, stays) in own.iter().zip(mask.to_le_bytes()) {
                    assert!(stays == 1 || *x == 0.0, "{place} after {iter} steps");
                }
            }
            zeros += mask.to_le_bytes().iter().filter(|b| **b == 0).count();
            count += mask.len();
        }
        assert!(count > 0);
        sparse.push(zeros as f64 / count as f64);
    }
    // 0 before step 4; 0.75 · (1 − (2/3)³) before step 7, 0.75 · (1 − (1/3)³) before step 10.
    assert!(sparse[0] < 1e-9, "{sparse:?}");
    assert!((sparse[1] - 0.75 * (1.0 - 1.0 / 27.0)).abs() < 1e-3, "{sparse:?}");
    assert!(sparse[2..].iter().all(|s| (s - 0.75).abs() < 1e-3), "{sparse:?}");
    let onnx = dir.path().join("sparse.onnx");
    works(&["export", text(&config), text(&whole.join("iter_24.safetensors")), "-o", text(&onnx)]);
    let zeros: usize = import(&onnx, &ImportOptions::default())
        .unwrap()
        .weights
        .values()
        .filter(|a| a.shape().len() > 1)
        .map(|a| floats(a).iter().filter(|x| **x == 0.0).count())
        .sum();
    assert!(zeros > 4000, "{zeros}");
}

#[test]
fn two_of_four_are_left() {
    let dir = tempfile::tempdir().unwrap();
    let config = write(
        dir.path(),
        "runs.py",
        &format!("type='SparsityAlgorithm', {ARCHITECTURE}, sparsity='2:4'"),
        "",
    );
    let (whole, told) = trains_and_resumes(dir.path(), &config, "iter_5.safetensors");
    assert!(told.contains("weights are 0, 4") || told.contains("weights are 0, 5"), "{told}");
    let all = load(&whole.join("iter_24.safetensors"));
    let conv = &all["architecture.backbone.layer1.0.conv1.weight"];
    let (data, &[outputs, inputs, h, w]) = (floats(conv), conv.shape()) else { panic!() };
    for o in 0..outputs {
        for at in 0..h * w {
            for run in (0..inputs).step_by(4) {
                let zeros = (run..run + 4).filter(|i| data[(o * inputs + i) * h * w + at] == 0.0).count();
                assert_eq!(zeros, 2);
            }
        }
    }
    // One input is no multiple of four.
    assert!(floats(&all["architecture.backbone.conv1.weight"]).iter().all(|x| *x != 0.0));
}

#[test]
fn compactors_fade_and_are_merged() {
    let dir = tempfile::tempdir().unwrap();
    // A row is pulled by 0.1 a step until its norm is 0.1, and then to 0 at once, unless the loss moves it.
    let model = format!(
        "type='ResRep', {ARCHITECTURE}, target=dict(macs=0.6), lasso=1.0, epsilon=0.1, begin=2,\n\
         mask_interval=1, channels_per_mask=10"
    );
    let more = "train_cfg = dict(by_epoch=False, max_iters=24)\n\
        train_dataloader = dict(batch_size=16, dataset=dict(indices=128))\n\
        optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1, weight_decay=5e-4),\n\
            paramwise_cfg=dict(custom_keys={'compactor': dict(decay_mult=0.0)}))";
    let config = write(dir.path(), "resrep.py", &model, more);
    let (whole, told) = trains_and_resumes(dir.path(), &config, "iter_5.safetensors");
    assert!(told.contains("the target is met once the"), "{told}");
    let summary = told.lines().find(|l| l.contains("compactors: ")).unwrap();
    assert!(!summary.contains("the target is not met"), "{summary}");
    let last = load(&whole.join("iter_24.safetensors"));
    let compactor = &last["architecture.backbone.layer1.0.conv1.compactor.weight"];
    assert_eq!(compactor.shape(), [8, 8, 1, 1]);
    let part = left(dir.path(), &config, &whole);
    assert!(part <= 0.6 && part > 0.3, "{part}");
    let small = import(whole.join("small.onnx"), &ImportOptions::default()).unwrap();
    assert!(!small.graph.nodes().any(|(_, n)| n.name.contains("compactor")));
    assert!(!small.weights.keys().any(|n| n.contains("compactor")));
    // A plain model's weights are what it starts from; compactors are the identity then.
    let plain = dir.path().join("plain/iter_24.safetensors");
    let again = dir.path().join("again");
    let from = format!("load_from={}", text(&plain));
    works(&["train", text(&config), "--work-dir", text(&again), "--cfg-options", &from]);
}

#[test]
fn wrong_configs_are_refused_with_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |model: &str, wanted: &[&str]| {
        let config = write(dir.path(), "wrong.py", &format!("{model}, {ARCHITECTURE}"), "");
        let output = occam(&["config", "check", text(&config)]);
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(!output.status.success(), "{model}: {told}");
        for part in wanted {
            assert!(told.contains(part), "{part:?} is not in {told}");
        }
    };
    let target = "type='TargetPruneAlgorithm', target=dict(macs=0.5)";
    refused("type='TargetPruneAlgorithm'", &["target"]);
    refused("type='TargetPruneAlgorithm', target=dict(flops=0.5)", &["there is no target `flops`"]);
    refused("type='TargetPruneAlgorithm', target=dict(macs=1.5)", &["a part above 0 and at most 1"]);
    refused(&format!("{target}, importance='group-l3'"), &["there is no importance `group-l3`", "group-l2"]);
    refused(&format!("{target}, importance='fisher'"), &["fisher"]);
    refused(&format!("{target}, normalizer='x'"), &["there is no normalizer `x`"]);
    refused(&format!("{target}, keep=['backbone.cnv1']"), &["no unit or layer is called `backbone.cnv1`"]);
    refused(&format!("{target}, begin='soon'"), &["`begin` must be a number of epochs"]);
    refused(&format!("{target}, regularizer=dict(type='BNScale')"), &["BNScale"]);
    refused(
        &format!("{target}, regularizer=dict(type='BNScaleRegularizer', reg=0)"),
        &["`reg` must be above 0"],
    );
    refused(
        "type='SparseTraining', regularizer=dict(type='GrowingRegularizer')",
        &["give the regularizer a `ratio`"],
    );
    refused("type='SparsityAlgorithm', sparsity=1.0", &["a part from 0 up to 1"]);
    refused("type='SparsityAlgorithm', sparsity='2:4', end=0.5", &["`end` is of a part"]);
    refused("type='SparsityAlgorithm', sparsity=0.5, keep=['x']", &["no layer with weights is called `x`"]);
    refused("type='ResRep', target=dict(macs=0.5), lasso=-1", &["`lasso` must be above 0"]);
    refused("type='ResRep', target=dict(macs=0.5), keep=['*']", &["no unit that could have a compactor"]);
    // What only the data tells.
    for (model, wanted) in [
        ("type='TargetPruneAlgorithm', target=dict(macs=0.01)", "cannot be made 0.010 of"),
        ("type='ResRep', target=dict(macs=0.01), begin=0", "cannot be made 0.010"),
        (
            "type='TargetPruneAlgorithm', target=dict(macs=0.5), begin=3",
            "the last of 1 prunings is due after 24",
        ),
        ("type='SparsityAlgorithm', sparsity=0.5, end=3", "the last weights go after 24"),
    ] {
        let config = write(dir.path(), "wrong.py", &format!("{model}, {ARCHITECTURE}"), "");
        let output = occam(&["train", text(&config), "--work-dir", text(&dir.path().join("wrong"))]);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && told.contains(wanted), "{model}: {told}");
    }
}

#[test]
fn files_become_sparse() {
    let dir = tempfile::tempdir().unwrap();
    let model = workspace().join("tests/golden/onnx/small.onnx");
    let before = import(&model, &ImportOptions::default()).unwrap();
    let out = dir.path().join("sparse.onnx");
    let told = works(&["--json", "prune", text(&model), "--sparsity", "0.6", "-o", text(&out)]);
    let json: serde_json::Value = serde_json::from_str(told.lines().next().unwrap()).unwrap();
    let (all, zeros) = (json["elements"].as_u64().unwrap(), json["zeros"].as_u64().unwrap());
    assert!((zeros as f64 - 0.6 * all as f64).abs() <= 1.0, "{zeros} of {all}");
    let after = import(&out, &ImportOptions::default()).unwrap();
    assert_eq!(before.weights.len(), after.weights.len());
    let mut counted = 0;
    for (name, array) in &before.weights {
        let now = &after.weights[name];
        assert_eq!(array.shape(), now.shape(), "{name}");
        if array != now {
            counted += floats(now).iter().filter(|x| **x == 0.0).count();
            let kept = floats(array).iter().zip(floats(now)).filter(|(_, b)| **b != 0.0);
            assert!(kept.into_iter().all(|(a, b)| a == b), "{name}");
        }
    }
    assert_eq!(counted as u64, zeros);
    let told = works(&["prune", text(&model), "--sparsity", "2:4", "-o", text(&out)]);
    assert!(told.contains("50.0 %"), "{told}");
    for (args, wanted) in [
        (vec!["--sparsity", "1.2"], "neither a part"),
        (vec!["--sparsity", "4:2"], "no pattern N:M"),
        (vec!["--sparsity", "0.5", "--keep", "nothing"], "no unit or layer is called `nothing`"),
        (vec!["--sparsity", "0.5", "--macs", "0.5"], "cannot be used with"),
    ] {
        let mut all = vec!["prune", text(&model), "-o", text(&out)];
        all.extend(&args);
        let output = occam(&all);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && told.contains(wanted), "{args:?}: {told}");
    }
}

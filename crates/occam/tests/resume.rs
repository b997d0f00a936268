//! Killed at any moment and resumed, a training ends in the same weights, bit for bit.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use occam_testing::workspace;

/// A short training that saves often: some 40 iterations in two epochs.
///
/// Saving every 5 of 20 iterations an epoch also saves between an epoch's last step and its end.
///
/// Blocks are left out at random, and the first stage does not learn.
fn config(dir: &Path, by_epoch: bool, optimizer: &str, interval: u32, more: &str) -> PathBuf {
    let root = workspace();
    let train_cfg = if by_epoch {
        "dict(by_epoch=True, max_epochs=2, val_interval=2)"
    } else {
        "dict(by_epoch=False, max_iters=39, val_interval=20)"
    };
    let text = format!(
        "_base_ = ['{base}/_base_/datasets/fashion_mnist.py', '{base}/_base_/default_runtime.py']\n\
         model = dict(type='ImageClassifier',\n\
             backbone=dict(type='ResNet_CIFAR', depth=18, in_channels=1, stem_channels=4, base_channels=4,\n\
                 num_stages=3, strides=(2, 2, 2), dilations=(1, 1, 1), out_indices=(2, ),\n\
                 frozen_stages=1, drop_path_rate=0.2),\n\
             neck=dict(type='GlobalAveragePooling'),\n\
             head=dict(type='LinearClsHead', num_classes=10, in_channels=16))\n\
         train_dataloader = dict(batch_size=32, dataset=dict(indices=640))\n\
         val_dataloader = dict(dataset=dict(indices=100))\n\
         optim_wrapper = dict(optimizer={optimizer}, clip_grad=dict(max_norm=5.0))\n\
         param_scheduler = [\n\
             dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=10),\n\
             dict(type='CosineAnnealingLR', by_epoch=True, convert_to_iter_based=True),\n\
             dict(type='MultiStepLR', by_epoch=True, milestones=[1], gamma=0.5)]\n\
         train_cfg = {train_cfg}\n\
         default_hooks = dict(checkpoint=dict(interval={interval}, by_epoch=False, max_keep_ckpts=2))\n\
         {more}\n",
        base = root.join("configs").display()
    );
    let path = dir.join("config.py");
    std::fs::write(&path, text).unwrap();
    path
}

fn occam(config: &Path, work_dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_occam"));
    command
        .current_dir(workspace())
        .arg("train")
        .arg(config)
        .arg("--work-dir")
        .arg(work_dir)
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

fn final_weights(work_dir: &Path) -> Vec<u8> {
    let name = std::fs::read_to_string(work_dir.join("last_checkpoint")).unwrap();
    assert!(name.contains("iter_"), "{name}");
    std::fs::read(work_dir.join(name.trim())).unwrap()
}

/// A random time below `limit`.
fn moment(limit: Duration) -> Duration {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos();
    limit.mul_f64(f64::from(nanos % 1000) / 1000.0)
}

/// Kills at random moments: once soon after the start, then each time a little after another checkpoint.
fn survives(by_epoch: bool, optimizer: &str, interval: u32, more: &str) {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path(), by_epoch, optimizer, interval, more);
    let whole = dir.path().join("whole");
    let output = occam(&config, &whole).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let broken = dir.path().join("broken");
    let last = || std::fs::read_to_string(broken.join("last_checkpoint")).unwrap_or_default();
    let mut kills = 0;
    for round in 0..4 {
        let before = last();
        let mut child = occam(&config, &broken).arg("--resume").spawn().unwrap();
        if round > 0 {
            while last() == before && child.try_wait().unwrap().is_none() {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        std::thread::sleep(moment(Duration::from_millis(if round == 0 { 300 } else { 40 })));
        if child.try_wait().unwrap().is_some() {
            break;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
    }
    assert!(kills >= 2, "the training ended before it could be killed twice");
    let output = occam(&config, &broken).arg("--resume").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(final_weights(&whole), final_weights(&broken));
    let leftovers: Vec<_> = std::fs::read_dir(&broken)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .filter(|n| n.ends_with(".safetensors"))
        .collect();
    assert!(leftovers.len() <= 3, "{leftovers:?}");
}

#[test]
fn epoch_based_training_survives_kills() {
    survives(true, "dict(type='SGD', lr=0.05, momentum=0.9, weight_decay=5e-4, nesterov=True)", 5, "");
}

#[test]
fn iteration_based_training_survives_kills() {
    survives(false, "dict(type='AdamW', lr=0.001, weight_decay=0.05)", 3, "");
}

/// With averages, accumulated gradients, schedules of momentum, settings of single parameters, and early stopping that
/// counts. Every checkpoint but each third has gradients that wait for their step.
#[test]
fn everything_that_a_run_carries_along_survives_kills() {
    let more = "optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.05, momentum=0.9), accumulative_counts=3,\n\
                    clip_grad=dict(max_norm=5.0), paramwise_cfg=dict(norm_decay_mult=0.0,\n\
                    custom_keys=dict(head=dict(lr_mult=2.0))))\n\
                param_scheduler = [\n\
                    dict(type='OneCycleLR', eta_max=0.05, by_epoch=False),\n\
                    dict(type='CosineAnnealingMomentum', eta_min=0.5, by_epoch=True, convert_to_iter_based=True)]\n\
                custom_hooks = [dict(type='EMAHook', ema_type='StochasticWeightAverage', begin_iter=7),\n\
                    dict(type='EarlyStoppingHook', monitor='accuracy/top1', min_delta=1000, patience=6)]\n\
                train_cfg = dict(by_epoch=False, max_iters=39, val_interval=7)\n";
    survives(false, "dict(type='SGD', lr=0.05, momentum=0.9)", 4, more);
}

/// Ctrl-C: the step is finished, the run is saved, the exit code is 130, and people are told how it goes on.
#[cfg(unix)]
#[test]
fn a_run_that_is_interrupted_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path(), true, "dict(type='SGD', lr=0.05, momentum=0.9)", 20, "");
    let whole = dir.path().join("whole");
    assert!(occam(&config, &whole).output().unwrap().status.success());
    let stopped = dir.path().join("stopped");
    let child = occam(&config, &stopped).spawn().unwrap();
    while !stopped.join("log.jsonl").exists() {
        std::thread::sleep(Duration::from_millis(1));
    }
    std::thread::sleep(Duration::from_millis(30));
    let interrupt = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(interrupt.success());
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{text}");
    for part in ["press Ctrl-C again", "stopped after iteration", "--resume", "safetensors"] {
        assert!(text.contains(part), "{text}");
    }
    assert!(!text.contains("panicked"), "{text}");
    // What it says is what works; lines are broken to the width of the terminal.
    let hint = text.split_whitespace().collect::<Vec<_>>().join(" ").replace("│ ", "");
    let hint = hint.split("go on with: occam ").nth(1).unwrap().split(" --resume").next().unwrap();
    let mut again = Command::new(env!("CARGO_BIN_EXE_occam"));
    let output = again.current_dir(workspace()).args(hint.split(' ')).arg("--resume").output().unwrap();
    assert!(output.status.success(), "{hint}: {}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(final_weights(&whole), final_weights(&stopped));
}

/// The second Ctrl-C does not wait for anything.
#[cfg(unix)]
#[test]
fn a_second_interrupt_ends_the_run_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path(), true, "dict(type='SGD', lr=0.05)", 20, "");
    let work = dir.path().join("work");
    let mut child = occam(&config, &work).spawn().unwrap();
    while !work.join("log.jsonl").exists() {
        std::thread::sleep(Duration::from_millis(1));
    }
    while child.try_wait().unwrap().is_none() {
        Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        std::thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

/// Resumed exactly between the last step of an epoch and its end: schedules by epoch step once, and the last epoch is
/// not trained twice.
#[test]
fn resumes_between_a_step_and_the_end_of_its_epoch() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path(), true, "dict(type='SGD', lr=0.05, momentum=0.9)", 20, "");
    let whole = dir.path().join("whole");
    assert!(occam(&config, &whole).output().unwrap().status.success());
    let resumed = dir.path().join("resumed");
    let first = whole.join("iter_20.safetensors");
    let output = occam(&config, &resumed).arg("--resume").arg(&first).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(final_weights(&whole), final_weights(&resumed));
    let last = whole.join("iter_40.safetensors");
    let again = dir.path().join("again");
    let output = occam(&config, &again).arg("--resume").arg(&last).output().unwrap();
    assert!(output.status.success());
    let log = std::fs::read_to_string(again.join("log.jsonl")).unwrap();
    assert!(!log.contains("\"mode\":\"train\""), "{log}");
}

/// In `f16` the scale of the loss is part of what goes on: it begins too large here, so that the first steps are skipped.
#[test]
fn mixed_precision_resumes_with_its_loss_scale() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path(), false, "dict(type='SGD', lr=0.05, momentum=0.9)", 3, "");
    let run = |name: &str, more: &[&str]| {
        let work = dir.path().join(name);
        let mut command = occam(&config, &work);
        command.args(["--cfg-options", "train_cfg.max_iters=12"]).args(more);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        work
    };
    let amp = [
        "optim_wrapper.loss_scale.init_scale=3e7",
        "optim_wrapper.loss_scale.growth_interval=4",
        "default_hooks.checkpoint.max_keep_ckpts=-1",
        "--amp",
        "f16",
    ];
    let whole = run("whole", &amp);
    let text = std::fs::read_to_string(whole.join("config.py")).unwrap();
    assert!(text.contains("AmpOptimWrapper") && text.contains("float16"), "{text}");
    // [scale, good steps in two halves]
    let scaler = |file: &str| {
        let (tensors, _) = occam::io::safetensors::load(whole.join(file)).unwrap();
        match tensors["optimizer/loss_scaler"].data() {
            occam::graph::Data::F32(v) => v.clone(),
            other => panic!("{}", other.dtype()),
        }
    };
    let (first, last) = (scaler("iter_3.safetensors"), scaler("iter_12.safetensors"));
    assert!(first[0] < 3e7 && last[0] < first[0] && last[2] > 0.0, "{first:?}, {last:?}");
    for from in ["iter_3.safetensors", "iter_9.safetensors"] {
        let from = whole.join(from);
        let again = run("again", &[&amp[..], &["--resume", from.to_str().unwrap()]].concat());
        assert_eq!(final_weights(&whole), final_weights(&again));
    }
    // A scale that stays too large lets no weight move; running statistics still follow.
    let stuck = run("stuck", &["optim_wrapper.loss_scale=1e30", "--amp", "f16"]);
    let weights = |file: &str, part: &str| {
        let (tensors, _) = occam::io::safetensors::load(stuck.join(file)).unwrap();
        tensors
            .into_iter()
            .filter(|(n, _)| n.starts_with("backbone") && n.ends_with(part))
            .collect::<Vec<_>>()
    };
    let [early, late] = ["iter_9.safetensors", "iter_12.safetensors"];
    assert!(!weights(early, "weight").is_empty());
    assert_eq!(weights(early, "weight"), weights(late, "weight"));
    assert_ne!(weights(early, "running_mean"), weights(late, "running_mean"));
    // Where nothing overflows the same steps are taken as in `f32`, nearly.
    let loss = |work: &Path| -> f64 {
        let log = std::fs::read_to_string(work.join("log.jsonl")).unwrap();
        let mut values = log.lines().filter_map(|line| {
            let at = line.find("\"loss\":")? + 7;
            line[at..].split([',', '}']).next()?.parse::<f64>().ok()
        });
        values.next_back().unwrap()
    };
    let single = loss(&run("single", &["default_hooks.logger.interval=1"]));
    for low in ["bf16", "f16"] {
        let found = loss(&run(low, &["default_hooks.logger.interval=1", "--amp", low]));
        assert!((found - single).abs() < 0.02 * single, "{low}: {found}, in f32 {single}");
    }
}

/// A frozen stage and the stem keep weights and statistics, whatever the optimizer's decay; the rest learns.
#[test]
fn what_is_frozen_stays() {
    let dir = tempfile::tempdir().unwrap();
    let config =
        config(dir.path(), false, "dict(type='SGD', lr=0.05, momentum=0.9, weight_decay=0.1)", 10, "");
    let work_dir = dir.path().join("work");
    let output = occam(&config, &work_dir).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let load = |name: &str| occam::io::safetensors::load(work_dir.join(name)).unwrap().0;
    let (before, after) = (load("iter_30.safetensors"), load("iter_39.safetensors"));
    let mut kept = 0;
    for (name, array) in before.iter().filter(|(name, _)| !name.starts_with("optimizer/")) {
        let frozen = ["conv1.", "bn1.", "layer1."].iter().any(|p| name.starts_with(&format!("backbone.{p}")));
        assert_eq!(array == &after[name], frozen, "{name}");
        kept += usize::from(frozen);
    }
    assert_eq!(kept, 30);
    assert!(!before.keys().any(|name| name.contains("optimizer/backbone.layer1")));
}

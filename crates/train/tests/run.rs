//! Whole trainings of a tiny model on made-up images.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};

use occam_config::{Loader, Registry, Value};
use occam_data::{Dataset, InMemory};
use occam_engine::{Device, Mode, Request};
use occam_testing::{assert_close, values};
use occam_train::checkpoint::Checkpoint;
use occam_train::hooks::Hook;
use occam_train::reporter::Silent;
use occam_train::{Error, Metrics, Resume, RunOptions, Runner};

/// 40 images of 8 x 8 pixels and four classes, of which the pixels tell.
fn images(classes: usize) -> InMemory {
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for i in 0..40usize {
        let label = i % 4;
        labels.push(label as i64);
        for p in 0..64usize {
            let noise = (i * 64 + p).wrapping_mul(2_654_435_761) >> 7 & 63;
            pixels.push((noise + if p / 16 == label { 150 } else { 20 }) as u8);
        }
    }
    let names = (0..classes).map(|c| format!("class {c}")).collect();
    InMemory::new([8, 8, 1], pixels, labels, names).unwrap()
}

const BASE: &str = "
model = dict(type='ImageClassifier',
    backbone=dict(type='ResNet_CIFAR', depth=18, in_channels=1, stem_channels=4, base_channels=4, num_stages=2,
        strides=(2, 2), dilations=(1, 1), out_indices=(1, )),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=4, in_channels=8))
data_preprocessor = dict(mean=[100], std=[60], to_rgb=False)
train_dataloader = dict(batch_size=8, dataset=dict(type='Made'), sampler=dict(type='DefaultSampler', shuffle=True))
val_dataloader = dict(batch_size=20, dataset=dict(type='Made'), sampler=dict(type='DefaultSampler', shuffle=False))
val_evaluator = dict(type='Accuracy', topk=(1, ))
test_dataloader = val_dataloader
test_evaluator = val_evaluator
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.05, momentum=0.9))
train_cfg = dict(by_epoch=True, max_epochs=2)
";

fn registry() -> Registry {
    let mut registry = Registry::new();
    occam_data::register(&mut registry);
    occam_zoo::register(&mut registry);
    occam_train::register(&mut registry);
    registry
}

fn config(more: &str) -> Value {
    Loader::new().load_str("c.py", &format!("{BASE}{more}")).unwrap()
}

fn build_with(more: &str, work_dir: &Path, resume: Resume, classes: usize) -> Result<Runner, Error> {
    let (registry, loader) = (registry(), Loader::new());
    let options = RunOptions {
        registry: &registry,
        loader: &loader,
        work_dir: work_dir.to_owned(),
        seed: None,
        device: Device::cpu(),
        resume,
        reporter: Box::new(Silent),
    };
    Runner::with_datasets(&config(more), options, &|_, _| {
        let made: Box<dyn Dataset> = Box::new(images(classes).with_pipeline(packed()));
        Ok(made)
    })
}

fn packed() -> occam_data::Compose {
    let pipeline = Loader::new().load_str("p.py", "p = [dict(type='PackClsInputs')]").unwrap();
    occam_data::Compose::from_config(pipeline.get("p").unwrap(), &registry()).unwrap()
}

fn build(more: &str, work_dir: &Path) -> Result<Runner, Error> {
    build_with(more, work_dir, Resume::No, 4)
}

fn train(more: &str, work_dir: &Path) -> Runner {
    let mut runner = build(more, work_dir).unwrap();
    runner.train().unwrap();
    runner
}

/// Files of a work directory that are checkpoints, sorted.
fn checkpoints(dir: &Path) -> Vec<String> {
    let names = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|n| n.ends_with(".safetensors")).collect();
    names.sort();
    names
}

/// The lines of the log that have a mode.
fn log(dir: &Path, mode: &str) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(dir.join("log.jsonl")).unwrap();
    let lines = text.lines().map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap());
    lines.filter(|l| l["mode"] == mode).collect()
}

fn epochs_of(dir: &Path, mode: &str) -> Vec<u64> {
    log(dir, mode).iter().map(|l| l["epoch"].as_u64().unwrap()).collect()
}

/// Everything that a run may carry along: averages, accumulated gradients, schedules of rate and momentum, settings of
/// single parameters, exact statistics, the best score, and what early stopping counts.
const ALL: &str = "
optim_wrapper = dict(
    optimizer=dict(type='AdamW', lr=0.01, weight_decay=0.05), accumulative_counts=3, clip_grad=dict(max_norm=2.0),
    paramwise_cfg=dict(norm_decay_mult=0.0, custom_keys={'head': dict(lr_mult=2.0, betas=(0.8, 0.99))}))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=7),
    dict(type='CosineAnnealingLR', by_epoch=True, convert_to_iter_based=True, eta_min_ratio=0.1),
    dict(type='LinearMomentum', start_factor=0.8, by_epoch=False, end=12),
    dict(type='StepParamScheduler', param_name='weight_decay', step_size=2, gamma=0.5),
    dict(type='ReduceOnPlateauLR', monitor='accuracy/top1', rule='greater', patience=0)]
custom_hooks = [
    dict(type='EMAHook', ema_type='MomentumAnnealingEMA', gamma=5, momentum=0.05, update_buffers=True, begin_iter=4),
    dict(type='PreciseBNHook', num_samples=16),
    dict(type='EarlyStoppingHook', monitor='accuracy/top1', min_delta=1000, patience=3, priority='LOWEST')]
default_hooks = dict(
    logger=dict(type='LoggerHook', interval=2),
    checkpoint=dict(type='CheckpointHook', interval=1, by_epoch=False, save_best='auto'))
train_cfg = dict(by_epoch=True, max_epochs=9)
";

#[test]
fn a_resumed_run_is_the_uninterrupted_one() {
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("whole");
    let runner = train(ALL, &whole);
    // The first validation is the best that there will be; three more without an improvement end it.
    assert_eq!((runner.epoch(), runner.iter()), (4, 20));
    let figures = |dir: &Path| -> Vec<String> {
        let lines = log(dir, "val").into_iter();
        lines.map(|l| format!("{} {} {}", l["epoch"], l["iter"], l["accuracy/top1"])).collect()
    };
    let best: Vec<String> = checkpoints(&whole).into_iter().filter(|n| n.starts_with("best")).collect();
    for stop in [1, 4, 5, 8, 10, 13, 15, 19] {
        let resumed = dir.path().join(format!("from_{stop}"));
        std::fs::create_dir(&resumed).unwrap();
        for name in best.iter().map(String::as_str).chain(["log.jsonl"]) {
            std::fs::copy(whole.join(name), resumed.join(name)).unwrap();
        }
        let from = Resume::From(whole.join(format!("iter_{stop}.safetensors")));
        let mut runner = build_with(ALL, &resumed, from, 4).unwrap();
        runner.train().unwrap();
        let last = |dir: &Path| std::fs::read(dir.join("iter_20.safetensors")).unwrap();
        assert!(last(&whole) == last(&resumed), "resumed from {stop}");
        assert_eq!(figures(&whole), figures(&resumed), "resumed from {stop}");
        assert_eq!(checkpoints(&resumed).iter().filter(|n| n.starts_with("best")).count(), 1);
    }
}

#[test]
fn averages_follow_the_weights() {
    type Share = fn(u64) -> f64;
    let kinds: [(&str, Share); 3] = [
        ("momentum=0.3", |_| 0.3),
        ("ema_type='MomentumAnnealingEMA', gamma=2, momentum=0.1", |t| f64::max(0.1, 2.0 / (2.0 + t as f64))),
        ("ema_type='StochasticWeightAverage'", |t| 1.0 / (t as f64 + 1.0)),
    ];
    for (keys, share) in kinds {
        let dir = tempfile::tempdir().unwrap();
        let more = format!(
            "custom_hooks = [dict(type='EMAHook', {keys})]\n\
             default_hooks = dict(checkpoint=dict(type='CheckpointHook', interval=1, by_epoch=False))\n"
        );
        train(&more, dir.path());
        let mut average: Option<Vec<f64>> = None;
        for iter in 1..=10u64 {
            let file = Checkpoint::load(&dir.path().join(format!("iter_{iter}.safetensors"))).unwrap();
            let trained = values(&file.space("ema_state_dict").unwrap()["head.fc.weight"]);
            average = Some(match average {
                // The first update is a copy.
                None => trained.clone(),
                Some(before) => {
                    let step = |(a, w): (&f64, &f64)| a + share(iter - 1) * (w - a);
                    before.iter().zip(&trained).map(step).collect()
                }
            });
            let found = values(&file.weights()["head.fc.weight"]);
            assert_close(keys, &found, average.as_ref().unwrap(), 1e-6);
            // Buffers are copies.
            assert!(!file.space("ema_state_dict").unwrap().contains_key("backbone.bn1.running_mean"));
        }
    }
}

/// What a hook of the user sees of a validation.
struct Watch {
    before: Vec<f64>,
}

impl Hook for Watch {
    fn priority(&self) -> u32 {
        100
    }

    fn before_val(&mut self, runner: &mut Runner) -> occam_train::Result<()> {
        self.before = head(runner);
        Ok(())
    }

    fn after_val(&mut self, runner: &mut Runner, _: &Metrics) -> occam_train::Result<()> {
        let same = self.before == head(runner);
        runner.info_mut().insert("same".into(), same.into());
        Ok(())
    }
}

fn head(runner: &Runner) -> Vec<f64> {
    values(
        &runner.algorithm().architecture().params.get("head.fc.weight").unwrap().tensor.to_array().unwrap(),
    )
}

#[test]
fn validations_measure_the_averages_and_hooks_come_by_name() {
    let dir = tempfile::tempdir().unwrap();
    for (evaluate_on_ema, same) in [("True", false), ("False", true)] {
        let more = format!(
            "custom_hooks = [dict(type='EMAHook', evaluate_on_ema={evaluate_on_ema}, evaluate_on_origin=True), \
             dict(type='Watch')]"
        );
        let mut registry = registry();
        registry.register::<dyn Hook>("hook", "Watch", |_, _| Ok(Box::new(Watch { before: Vec::new() })));
        let loader = Loader::new();
        let options = RunOptions {
            registry: &registry,
            loader: &loader,
            work_dir: dir.path().join(evaluate_on_ema),
            seed: None,
            device: Device::cpu(),
            resume: Resume::No,
            reporter: Box::new(Silent),
        };
        let make = |_: &Value, _: &Registry| -> Result<Box<dyn Dataset>, occam_config::Error> {
            Ok(Box::new(images(4).with_pipeline(packed())))
        };
        let mut runner = Runner::with_datasets(&config(&more), options, &make).unwrap();
        runner.train().unwrap();
        assert_eq!(runner.info()["same"], same);
        let lines = log(&dir.path().join(evaluate_on_ema), "val");
        let origin = lines.iter().any(|l| l.get("accuracy/top1_origin").is_some());
        assert_eq!(origin, evaluate_on_ema == "True");
    }
}

fn hook(keys: &str) -> String {
    format!("default_hooks = dict(checkpoint=dict(type='CheckpointHook', {keys}))\n")
}

#[test]
fn checkpoints_are_kept_as_asked() {
    let dir = tempfile::tempdir().unwrap();
    for (i, (keys, wanted)) in [
        ("interval=1", vec!["epoch_1", "epoch_2"]),
        ("", vec!["epoch_2"]),
        ("save_last=False", vec![]),
        ("interval=1, max_keep_ckpts=1", vec!["epoch_2"]),
        ("interval=4, by_epoch=False, save_last=False", vec!["iter_4", "iter_8"]),
        ("interval=4, by_epoch=False, save_begin=5, save_last=False", vec!["iter_5", "iter_9"]),
        ("interval=3, by_epoch=False, max_keep_ckpts=2", vec!["iter_10", "iter_9"]),
        ("interval=1, filename_tmpl='net_{}_x.pth', max_keep_ckpts=1", vec!["net_2_x"]),
        ("save_best='accuracy/top1', rule='less'", vec!["best_accuracy_top1_epoch_1", "epoch_2"]),
        (
            "save_best=['accuracy/top1'], by_epoch=False, interval=5, rule=['less']",
            vec!["best_accuracy_top1_iter_5", "iter_10", "iter_5"],
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let work = dir.path().join(i.to_string());
        // Without learning the score stays, and the first is the best.
        let still = "optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.0))\n\
                     custom_hooks = [dict(type='PreciseBNHook', interval=100)]\n";
        train(&format!("{}{still}", hook(keys)), &work);
        let wanted: Vec<String> = wanted.iter().map(|n| format!("{n}.safetensors")).collect();
        let found = checkpoints(&work);
        // Statistics of normalization move even so.
        let best = |n: &String| n.starts_with("best");
        if wanted.iter().any(best) {
            assert_eq!(found.iter().filter(|n| best(n)).count(), 1, "{keys}: {found:?}");
        } else {
            assert_eq!(found, wanted, "{keys}");
        }
    }
    let out = dir.path().join("out");
    let keys = format!("interval=1, out_dir='{}', max_keep_ckpts=1", out.display());
    let work = dir.path().join("work");
    let mut runner = train(&hook(&keys), &work);
    assert_eq!(checkpoints(&out.join("work")), ["epoch_2.safetensors"]);
    let last = runner.last_checkpoint().unwrap().unwrap();
    assert_eq!(last, out.join("work/epoch_2.safetensors"));
    runner.load_weights(&last).unwrap();
}

#[test]
fn checkpoints_without_the_optimizer_cannot_be_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let more = hook("interval=1, save_optimizer=False");
    train(&more, dir.path());
    let path = dir.path().join("epoch_1.safetensors");
    assert!(!dir.path().join("last_checkpoint").exists());
    let mut runner = build_with(&more, &dir.path().join("r"), Resume::From(path.clone()), 4).unwrap();
    let error = runner.train().unwrap_err().to_string();
    assert!(error.contains("load_from"), "{error}");
    build(&format!("load_from = '{}'", path.display()), &dir.path().join("w")).unwrap();
    // Averages are no weights to be trained on.
    let averaged = "custom_hooks = [dict(type='EMAHook')]\n";
    train(averaged, &dir.path().join("averaged"));
    let path = dir.path().join("averaged/epoch_2.safetensors");
    let mut runner = build_with("", &dir.path().join("plain"), Resume::From(path), 4).unwrap();
    let error = runner.train().unwrap_err().to_string();
    assert!(error.contains("EMAHook"), "{error}");
}

#[test]
fn another_models_checkpoint_is_told_by_its_keys() {
    let dir = tempfile::tempdir().unwrap();
    train("", dir.path());
    let path = dir.path().join("epoch_2.safetensors");
    let wider = "model = dict(backbone=dict(base_channels=8), head=dict(in_channels=16))";
    let narrow = config("").merged(&Loader::new().load_str("m.py", wider).unwrap()).unwrap();
    let (registry, loader) = (registry(), Loader::new());
    let options = RunOptions {
        registry: &registry,
        loader: &loader,
        work_dir: dir.path().join("other"),
        seed: None,
        device: Device::cpu(),
        resume: Resume::From(path),
        reporter: Box::new(Silent),
    };
    let make = |_: &Value, _: &Registry| -> Result<Box<dyn Dataset>, occam_config::Error> {
        Ok(Box::new(images(4).with_pipeline(packed())))
    };
    let error = Runner::with_datasets(&narrow, options, &make).unwrap().train().unwrap_err().to_string();
    for part in
        ["epoch_2.safetensors", "another model", "`backbone.layer1.0.conv1.weight: f32[8, 4, 3, 3] wanted"]
    {
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[test]
fn early_stopping_and_intervals() {
    let dir = tempfile::tempdir().unwrap();
    let work = |name: &str| dir.path().join(name);
    train("train_cfg = dict(max_epochs=7, val_interval=3, val_begin=4)", &work("a"));
    assert_eq!(epochs_of(&work("a"), "val"), [6, 7]);
    train("train_cfg = dict(max_epochs=6, val_interval=4, dynamic_intervals=[(5, 1)])", &work("b"));
    assert_eq!(epochs_of(&work("b"), "val"), [4, 5, 6]);
    let iters = "train_cfg = dict(type='IterBasedTrainLoop', max_iters=12, val_interval=5)";
    train(iters, &work("c"));
    let found: Vec<u64> = log(&work("c"), "val").iter().map(|l| l["iter"].as_u64().unwrap()).collect();
    assert_eq!(found, [5, 10, 12]);
    let stop = "train_cfg = dict(max_epochs=9)\n\
                custom_hooks = [dict(type='EarlyStoppingHook', monitor='accuracy/top1', stopping_threshold=-1)]";
    assert_eq!(train(stop, &work("d")).epoch(), 1);
    // A figure that is not there is a warning, or an error.
    let other = "custom_hooks = [dict(type='EarlyStoppingHook', monitor='accuracy/top5')]";
    assert_eq!(train(other, &work("e")).epoch(), 2);
    let strict = "custom_hooks = [dict(type='EarlyStoppingHook', monitor='accuracy/top5', strict=True)]";
    let error = build(strict, &work("f")).unwrap().train().unwrap_err().to_string();
    assert!(error.contains("accuracy/top1"), "{error}");
}

#[test]
fn a_run_that_diverges_says_where_and_keeps_its_checkpoints() {
    let dir = tempfile::tempdir().unwrap();
    let more = "optim_wrapper = dict(optimizer=dict(type='SGD', lr=1e-3))\n\
                param_scheduler = dict(type='MultiStepLR', milestones=[1], gamma=1e33)\n\
                train_cfg = dict(max_epochs=4)\n";
    let mut runner = build(more, dir.path()).unwrap();
    let error = runner.train().unwrap_err();
    let Error::Diverged { iter, kept, .. } = &error else { panic!("{error}") };
    assert!((6..=10).contains(iter), "{error}");
    assert_eq!(kept.as_deref(), Some(dir.path().join("epoch_1.safetensors").as_path()));
    let text = error.to_string();
    assert!(text.contains(&format!("iteration {iter}")) && text.contains("epoch_1.safetensors"), "{text}");
    let file = Checkpoint::load(kept.as_ref().unwrap()).unwrap();
    let finite = |a: &occam_graph::Array| values(a).iter().all(|v| v.is_finite());
    assert!(file.weights().values().all(finite));
    assert_eq!(log(dir.path(), "error")[0]["failed_at"].as_f64(), Some(*iter as f64));
}

#[test]
fn learning_rates_follow_the_batch_size() {
    let dir = tempfile::tempdir().unwrap();
    let lr = |more: &str| build(more, dir.path()).map(|r| r.optim().unwrap().lr());
    assert_eq!(lr("auto_scale_lr = dict(base_batch_size=16)").unwrap(), 0.05);
    assert_eq!(lr("auto_scale_lr = dict(enable=True, base_batch_size=16)").unwrap(), 0.025);
    let warm = "auto_scale_lr = dict(enable=True, base_batch_size=4)\n\
                param_scheduler = dict(type='LinearLR', start_factor=0.5)";
    assert_eq!(lr(warm).unwrap(), 0.05);
    let error = lr("auto_scale_lr = dict(enable=True)").unwrap_err().to_string();
    assert!(error.contains("base_batch_size"), "{error}");
}

/// With one batch an epoch the running statistics are those of the batch, so that a step leaves them as they are.
#[test]
fn precise_statistics_are_those_of_the_data() {
    let dir = tempfile::tempdir().unwrap();
    let more = "train_dataloader = dict(batch_size=40, dataset=dict(type='Made'), \
                sampler=dict(type='DefaultSampler', shuffle=False))\n\
                custom_hooks = [dict(type='PreciseBNHook')]\n";
    let runner = train(more, dir.path());
    let model = runner.algorithm().architecture();
    let batch = runner.train_loader().unwrap().epoch(0, 0).next().unwrap().unwrap();
    let outputs = model.forward(&model.params.constants(), &batch, &Request::new(Mode::Train)).unwrap();
    assert!(!outputs.buffers.is_empty());
    for (name, tensor) in &outputs.buffers {
        let found = values(&model.params.get(name).unwrap().tensor.to_array().unwrap());
        assert_close(name, &found, &values(&tensor.to_array().unwrap()), 1e-5);
    }
}

#[test]
fn logs_tell_what_mmengines_do() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let more = format!(
        "default_hooks = dict(logger=dict(type='LoggerHook', interval=2, out_dir='{}'))\n\
         optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.5), clip_grad=dict(max_norm=1.0),\n\
             paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.5))))\n\
         log_processor = dict(window_size=2, custom_cfg=[\n\
             dict(data_src='loss', log_name='loss_max', method_name='max', window_size='epoch')])\n\
         visualizer = dict(type='ClsVisualizer', vis_backends=[dict(type='LocalVisBackend')])\n\
         env_cfg = dict(cudnn_benchmark=False)\nlauncher = 'none'\n",
        out.display()
    );
    let work = dir.path().join("work");
    train(&more, &work);
    let lines = log(&work, "train");
    let at: Vec<u64> = lines.iter().map(|l| l["iter"].as_u64().unwrap()).collect();
    assert_eq!(at, [2, 4, 7, 9]);
    for line in &lines {
        for key in ["loss", "loss_max", "grad_norm", "iter_time", "data_time", "eta"] {
            assert!(line[key].as_f64().unwrap() >= 0.0, "{key}: {line}");
        }
        assert_eq!((line["lr"].as_f64(), line["base_lr"].as_f64()), (Some(0.25), Some(0.5)));
        assert!(line["loss_max"].as_f64() >= line["loss"].as_f64());
    }
    assert_eq!(epochs_of(&work, "val"), [1, 2]);
    let copied = std::fs::read(out.join("work/log.jsonl")).unwrap();
    assert_eq!(copied, std::fs::read(work.join("log.jsonl")).unwrap());
    // An epoch shorter than the interval has a line.
    let more = "default_hooks = dict(logger=dict(type='LoggerHook', interval=50))";
    train(more, &dir.path().join("short"));
    assert_eq!(log(&dir.path().join("short"), "train").len(), 2);
}

#[test]
fn classes_of_model_and_data_are_compared() {
    let dir = tempfile::tempdir().unwrap();
    let more = "custom_hooks = [dict(type='ClassNumCheckHook')]";
    train(more, dir.path());
    let mut runner = build_with(more, &dir.path().join("x"), Resume::No, 6).unwrap();
    let error = runner.train().unwrap_err().to_string();
    assert!(error.contains("4 classes") && error.contains("has 6"), "{error}");
}

#[test]
fn hooks_of_one_machine_and_process_are_accepted() {
    let dir: PathBuf = tempfile::tempdir().unwrap().path().into();
    let more = "
default_hooks = dict(
    runtime_info=dict(type='RuntimeInfoHook'), timer=dict(type='IterTimerHook'),
    sampler_seed=dict(type='DistSamplerSeedHook'), visualization=dict(type='VisualizationHook', enable=False),
    logger=dict(type='LoggerHook', interval=100, interval_exp_name=10, ignore_last=False))
custom_hooks = [dict(type='SyncBuffersHook'), dict(type='EmptyCacheHook', after_iter=True, priority=49),
    dict(type='NaiveVisualizationHook', draw_gt=False, draw_pred=False, priority='low')]
vis_backends = [dict(type='TensorboardVisBackend')]
randomness = dict(seed=3, deterministic=True, diff_rank_seed=True)
";
    build(more, &dir).unwrap();
}

#[test]
fn impossible_runs_are_errors() {
    let dir = tempfile::tempdir().unwrap();
    let hooks = [
        ("dict(type='CheckpointHook', publish_keys=['x'])", "published_keys"),
        ("dict(type='CheckpointHook', published_keys=['x'])", "published_keys"),
        ("dict(type='CheckpointHook', backend_args=dict(backend='s3'))", "backend_args"),
        ("dict(type='CheckpointHook', filename_tmpl='a')", "filename_tmpl"),
        ("dict(type='CheckpointHook', save_best='error')", "rule="),
        ("dict(type='CheckpointHook', save_best='acc', rule='more')", "'greater' or 'less'"),
        ("dict(type='CheckpointHook', save_best=['auto', 'acc'])", "auto"),
        ("dict(type='CheckpointHook', save_best=['acc', 'acc'])", "twice"),
        ("dict(type='CheckpointHook', save_best=['acc', 'loss'], rule=['less', 'less', 'less'])", "rule"),
        ("dict(type='EMAHook', momentum=1.5)", "momentum"),
        ("dict(type='EMAHook', ema_type='Mean')", "Mean"),
        ("dict(type='EMAHook', ema_type='StochasticWeightAverage', momentum=0.1)", "momentum"),
        ("dict(type='EMAHook', gamma=3)", "gamma"),
        ("dict(type='EMAHook', begin_iter=3, begin_epoch=1)", "not both"),
        ("dict(type='EMAHook', interval=0)", "interval"),
        ("dict(type='EarlyStoppingHook')", "monitor"),
        ("dict(type='EarlyStoppingHook', monitor='error')", "rule="),
        ("dict(type='PreciseBNHook', num_samples=0)", "num_samples"),
        ("dict(type='LoggerHook', keep_local=False)", "keep_local"),
        ("dict(type='LoggerHook', interval=0)", "interval"),
        ("dict(type='VisualizationHook', enable=True)", "enable"),
        ("dict(type='NaiveVisualizationHook')", "NaiveVisualizationHook"),
        ("dict(type='EmaHook')", "EMAHook"),
        ("dict(type='EMAHook', priority='LOWER')", "priority"),
    ];
    let hooks = hooks.map(|(hook, wanted)| (format!("custom_hooks = [{hook}]"), wanted));
    let runs = [
        ("launcher = 'pytorch'", "launcher"),
        (
            "visualizer = dict(type='Visualizer', vis_backends=[dict(type='WandbVisBackend')])",
            "WandbVisBackend",
        ),
        ("log_processor = dict(type='LogProcessor', windowsize=3)", "window_size"),
        ("val_cfg = dict(fp16=True)", "fp16"),
        ("val_cfg = dict(fp=True)", "fp16"),
        ("train_cfg = dict(by_epoch=True, max_epochs=2, val_interval=0)", "val_interval"),
        ("train_cfg = dict(max_epochs=2, dynamic_intervals=[(5, 1), (3, 1)])", "dynamic_intervals"),
        ("train_cfg = dict(by_epoch=False, max_epochs=2)", "max_iters"),
        ("randomness = dict(sed=1)", "seed"),
        (
            "param_scheduler = dict(type='LinearMomentum')\noptim_wrapper = dict(optimizer=dict(type='Adagrad'))",
            "momentum",
        ),
    ];
    let runs = runs.map(|(text, wanted)| (text.to_owned(), wanted));
    for (more, wanted) in hooks.into_iter().chain(runs) {
        let error = build(&more, dir.path()).err().unwrap_or_else(|| panic!("{more} was accepted"));
        let text = format!("{error} {error:?}");
        assert!(text.contains(wanted), "{more}: {text}");
    }
    for (keys, wanted) in [("begin_epoch=9", "begin_epoch"), ("begin_iter=99", "begin_iter")] {
        let more = format!("custom_hooks = [dict(type='EMAHook', {keys})]");
        let error = build(&more, dir.path()).unwrap().train().unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
    }
    let error = build(&hook("save_best='acc'"), dir.path()).unwrap().train().unwrap_err().to_string();
    assert!(error.contains("accuracy/top1"), "{error}");
}

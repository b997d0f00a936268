//! Optimizers, their wrapper and schedules against PyTorch, mmcls and mmengine. Made by
//! `tools/golden/{optim,optim_wrapper,schedules}.py`.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use occam_config::{Loader, Registry, Value};
use occam_data::Seed;
use occam_engine::optim::Optimizer;
use occam_engine::schedule::Length;
use occam_engine::{Device, Tensor};
use occam_testing::{Golden, assert_close, fill, values, workspace};
use occam_train::optim::Optimizers;
use occam_train::{Algorithm, Env, GradientMap, schedules};

fn registry() -> Registry {
    let mut registry = Registry::new();
    occam_zoo::register(&mut registry);
    occam_train::register(&mut registry);
    registry
}

/// The rows of `tests/golden/<name>.json`.
fn rows(name: &str) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(workspace().join(format!("tests/golden/{name}.json"))).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn numbers(value: &serde_json::Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

fn tensor(name: &str, shape: &[usize]) -> Tensor {
    Tensor::from_array(&fill(name, shape, -1.0, 1.0), &Device::cpu()).unwrap()
}

fn elements(tensor: &Tensor) -> Vec<f64> {
    values(&tensor.to_array().unwrap())
}

/// The value of `text` in the config language.
fn config(text: &str) -> Value {
    Loader::new().load_str("c.py", &format!("x = {text}")).unwrap().get("x").unwrap().clone()
}

/// A model, as it is trained by its own loss.
fn algorithm(text: &str) -> Box<dyn Algorithm> {
    let (registry, loader) = (registry(), Loader::new());
    let env = Env { registry: &registry, loader: &loader, seed: Seed(0), device: Device::cpu() };
    env.algorithm(&config(text)).unwrap()
}

/// Twenty steps of every setting, and the same with the state written and read back in between.
#[test]
fn optimizers_are_pytorchs() {
    let golden = Golden::load("optim");
    let settings = golden.json("settings");
    assert!(settings.as_object().unwrap().len() >= 32);
    let mut worst = 0f64;
    for (name, setting) in settings.as_object().unwrap() {
        let mut config = setting.clone();
        let lrs = numbers(&config["lr"]);
        config["lr"] = lrs[0].into();
        let build = || registry().build::<dyn Optimizer>(&Value::from_json(&config)).unwrap();
        for interrupted in [false, true] {
            let mut optimizer = build();
            let shapes = [("weight", vec![5, 3]), ("bias", vec![7])];
            let mut params: Vec<Tensor> = shapes.iter().map(|(p, shape)| tensor(p, shape)).collect();
            for (step, &lr) in lrs.iter().enumerate() {
                let mut at = optimizer.settings();
                at.lr = lr;
                let grads = shapes.iter().map(|(p, shape)| tensor(&format!("grad.{p}.{step}"), shape));
                let grads: Vec<Tensor> = grads.collect();
                let square: f64 = grads.iter().map(|g| g.sum_of_squares().unwrap()).sum();
                let factor = optimizer.gradient_factor(square.sqrt());
                for (((param, _), value), grad) in shapes.iter().zip(&mut params).zip(&grads) {
                    let grad = grad.scale(factor).unwrap();
                    *value = optimizer.step(param, value.clone(), &grad, &at).unwrap();
                    let all = golden.values(&format!("{name}.{param}"));
                    let n = value.len();
                    let what = format!("{name}.{param} step {step}");
                    let wanted = &all[step * n..(step + 1) * n];
                    worst = worst.max(occam_testing::relative_error(&elements(value), wanted));
                    assert_close(&what, &elements(value), wanted, 2e-6);
                }
                if interrupted {
                    let state = optimizer.state();
                    optimizer = build();
                    optimizer.load_state(state).unwrap();
                }
            }
        }
    }
    eprintln!("worst relative error of optimizers: {worst:.2e}");
}

#[test]
fn impossible_optimizers_are_errors() {
    for (text, wanted) in [
        ("dict(type='SGD')", "lr"),
        ("dict(type='SGD', lr=-1)", "at least 0"),
        ("dict(type='SGD', lr=0.1, nesterov=True)", "momentum"),
        ("dict(type='SGD', lr=0.1, momentun=0.9)", "momentum"),
        ("dict(type='Adam', betas=(0.9, 1.0))", "below 1"),
        ("dict(type='Adam', differentiable=True)", "differentiable"),
        ("dict(type='Adam', maximize='yes')", "maximize"),
        ("dict(type='RMSprop', alpha=2)", "[0, 1]"),
        ("dict(type='Adamw')", "AdamW"),
    ] {
        let error = registry().build::<dyn Optimizer>(&config(text)).err().unwrap();
        let text = format!("{error:?} {error}");
        assert!(text.contains(wanted), "{text}");
    }
    for text in [
        "dict(type='SGD', lr=0.1, foreach=True, differentiable=False)",
        "dict(type='Adam', fused=None, capturable=False, maximize=False)",
    ] {
        assert!(registry().build::<dyn Optimizer>(&config(text)).is_ok(), "{text}");
    }
}

#[test]
fn parameters_get_mmengines_settings() {
    let algorithm = algorithm(
        "dict(type='ImageClassifier', backbone=dict(type='MobileNetV2', widen_factor=0.1), \
         neck=dict(type='GlobalAveragePooling'), head=dict(type='LinearClsHead', num_classes=10, in_channels=1280))",
    );
    let mut cases = 0;
    for row in rows("optim_wrapper").iter().filter(|row| row["kind"] == "paramwise") {
        let value = Value::from_json(&row["optim_wrapper"]);
        let wrapper = Optimizers::from_config(&value, &registry(), &*algorithm).unwrap();
        let mut count = 0;
        for group in row["groups"].as_array().unwrap() {
            for name in group["names"].as_array().unwrap() {
                let name = name.as_str().unwrap();
                let found = wrapper.settings_of(name).unwrap_or_else(|| panic!("{name} does not learn"));
                let what = format!("{} {name}", row["name"]);
                assert_eq!(found.lr, group["lr"].as_f64().unwrap(), "{what}");
                assert_eq!(found.weight_decay, group["weight_decay"].as_f64().unwrap(), "{what}");
                assert_eq!(found.momentum, group["momentum"].as_f64(), "{what}");
                count += 1;
            }
        }
        let learning = algorithm.architecture().params.iter().filter(|(_, p)| p.trainable).count();
        assert_eq!(count, learning);
        cases += 1;
    }
    assert_eq!(cases, 7);
}

const SMALL: &str = "dict(type='ImageClassifier', backbone=dict(type='ResNet_CIFAR', depth=18, in_channels=1, \
    stem_channels=4, base_channels=4, num_stages=3, strides=(2, 2, 2), dilations=(1, 1, 1), out_indices=(2, )), \
    neck=dict(type='GlobalAveragePooling'), head=dict(type='LinearClsHead', num_classes=10, in_channels=16))";

/// Clipping by norm and value, and accumulation, over ten iterations.
#[test]
fn gradients_are_clipped_and_accumulated_as_mmengine_does() {
    let shapes = [("head.fc.weight", vec![10, 16]), ("head.fc.bias", vec![10])];
    let mut cases = 0;
    for row in rows("optim_wrapper").iter().filter(|row| row["kind"] == "steps") {
        let name = row["name"].as_str().unwrap();
        let mut algorithm = algorithm(SMALL);
        let value = Value::from_json(&row["optim_wrapper"]);
        let mut wrapper = Optimizers::from_config(&value, &registry(), &*algorithm).unwrap();
        wrapper.set_count(0, 10);
        for (param, shape) in &shapes {
            let (_, model) = algorithm.models_mut().into_iter().next().unwrap();
            model.params.set(param, tensor(param, shape)).unwrap();
        }
        let mut norm = None;
        for k in 0..10 {
            let grad =
                |(p, shape): &(&str, Vec<usize>)| (p.to_string(), tensor(&format!("grad.{p}.{k}"), shape));
            let grads: GradientMap = shapes.iter().map(grad).collect();
            norm = wrapper.step(&mut *algorithm, grads).unwrap().filter(|_| wrapper.clips_by_norm()).or(norm);
            for (param, _) in &shapes {
                let found = elements(&algorithm.architecture().params.get(param).unwrap().tensor);
                let wanted = numbers(&row["values"][param][k]);
                assert_close(&format!("{name} {param} {k}"), &found[..wanted.len()], &wanted, 2e-6);
            }
        }
        match row["norm"].as_f64() {
            Some(wanted) => assert_close(name, &[norm.unwrap()], &[wanted], 1e-6),
            None => assert!(norm.is_none()),
        }
        cases += 1;
    }
    assert_eq!(cases, 10);
}

#[test]
fn impossible_wrappers_are_errors() {
    let algorithm = algorithm(SMALL);
    for (rest, wanted) in [
        ("type='ApexOptimWrapper'", "ApexOptimWrapper"),
        ("accumulative_counts=0", "at least 1"),
        ("clip_grad=dict(max_norm=0)", "above 0"),
        ("clip_grad=dict(max_norm=1, norm_type=-2)", "norm_type"),
        ("clip_grad=dict(type='value')", "clip_value"),
        ("clip_grad=dict(type='percentile', q=3)", "percentile"),
        ("paramwise_cfg=dict(norm_decay_mul=0)", "norm_decay_mult"),
        ("paramwise_cfg=dict(custom_keys=dict(head=3))", "custom key"),
        ("paramwise_cfg=dict(custom_keys=dict(head=dict(lr_mult='x')))", "lr_mult"),
        ("paramwise_cfg=dict(custom_keys=dict(head=dict(momentu=0.1)))", "momentum"),
        ("constructor='SeparateOptimWrapperConstructor'", "SeparateOptimWrapperConstructor"),
        ("accumulate=2", "accumulative_counts"),
    ] {
        let value = config(&format!("dict(optimizer=dict(type='SGD', lr=0.1), {rest})"));
        let error = Optimizers::from_config(&value, &registry(), &*algorithm).err().unwrap();
        let text = format!("{error:?} {error}");
        assert!(text.contains(wanted), "{rest}: {text}");
    }
}

/// Learning rate, momentum and weight decay of each of 300 iterations.
#[test]
fn schedules_are_mmengines() {
    let rows = rows("schedules");
    assert!(rows.len() >= 50);
    let algorithm = algorithm(SMALL);
    let figures = values(&fill("figure", &[300], 0.4, 1.0));
    for row in &rows {
        let name = row["name"].as_str().unwrap();
        let number = |key: &str| row[key].as_u64().unwrap();
        let length = Length {
            epoch: number("epoch_length"),
            max_epochs: number("max_epochs"),
            max_iters: number("max_iters"),
        };
        let base = &row["base"];
        let kind = if name == "betas" { "AdamW" } else { "SGD" };
        let momentum = match kind {
            "AdamW" => format!("betas=({}, 0.999)", base["momentum"]),
            _ => format!("momentum={}", base["momentum"]),
        };
        let wrapper = config(&format!(
            "dict(optimizer=dict(type='{kind}', lr={}, {momentum}, weight_decay={}))",
            base["lr"], base["weight_decay"]
        ));
        let mut optim = Optimizers::from_config(&wrapper, &registry(), &*algorithm).unwrap();
        let value = Value::from_json(&row["param_scheduler"]);
        let mut list = schedules::from_config(Some(&value), &registry(), length).unwrap();
        for schedule in &mut list {
            optim.start(schedule, None).unwrap();
        }
        let (mut lr, mut momentum, mut weight_decay) = (Vec::new(), Vec::new(), Vec::new());
        for iter in 1..=length.max_iters {
            let at = optim.settings().next().unwrap();
            lr.push(at.lr);
            momentum.push(at.momentum.unwrap());
            weight_decay.push(at.weight_decay);
            for schedule in list.iter_mut().filter(|s| !s.by_epoch()) {
                optim.advance(schedule, None);
            }
            if iter.is_multiple_of(length.epoch) {
                for schedule in list.iter_mut().filter(|s| s.by_epoch()) {
                    optim.advance(schedule, None);
                }
                for schedule in list.iter_mut().filter(|s| s.monitor().is_some()) {
                    optim.observe(schedule, None, figures[(iter / length.epoch) as usize - 1]);
                }
            }
        }
        for (key, found) in [("lr", lr), ("momentum", momentum), ("weight_decay", weight_decay)] {
            let mut wanted = vec![base[key].as_f64().unwrap(); found.len()];
            for change in row["values"][key].as_array().into_iter().flatten() {
                let from = change[0].as_u64().unwrap() as usize;
                wanted[from..].fill(change[1].as_f64().unwrap());
            }
            assert_close(&format!("{name} {key}"), &found, &wanted, 1e-12);
        }
    }
}

#[test]
fn impossible_schedules_are_errors() {
    let length = Length { epoch: 10, max_epochs: 3, max_iters: 30 };
    let cases = [
        ("dict(type='CosineAnnealingLR', begin=3)", "begin before it ends"),
        ("dict(type='CosineAnnealingLR', by_epoch=False, convert_to_iter_based=True)", "by_epoch=True"),
        ("dict(type='CosineAnnealingLR', T_max=0)", "T_max"),
        ("dict(type='CosineAnnealingLR', eta_min=0, eta_min_ratio=0.1)", "not both"),
        ("dict(type='CosineAnnealingLR', last_step=3)", "last_step"),
        ("dict(type='CosineAnnealingLR', param_name='lr')", "param_name"),
        ("dict(type='CosineAnnealingParamScheduler')", "param_name"),
        ("dict(type='CosineAnnealingParamScheduler', param_name='eps')", "cannot be scheduled"),
        ("dict(type='CosineRestartLR', eta_min=0)", "periods"),
        ("dict(type='CosineRestartLR', periods=[3])", "eta_min"),
        ("dict(type='CosineRestartLR', periods=[3, 4], eta_min=0)", "one length"),
        ("dict(type='ConstantLR', factor=0)", "factor"),
        ("dict(type='LinearLR', start_factor=0)", "start_factor"),
        ("dict(type='ExponentialLR')", "gamma"),
        ("dict(type='StepLR', step_size=0)", "step_size"),
        ("dict(type='OneCycleLR')", "eta_max"),
        ("dict(type='OneCycleLR', eta_max=1, total_steps=2)", "total_steps"),
        ("dict(type='OneCycleLR', eta_max=1, anneal_strategy='sine')", "linear"),
        ("dict(type='ReduceOnPlateauLR', by_epoch=False)", "by_epoch=True"),
        ("dict(type='ReduceOnPlateauLR', factor=1)", "factor"),
        ("dict(type='ReduceOnPlateauLR', rule='more')", "greater"),
        ("dict(type='CosineLR')", "unknown param_scheduler"),
        ("dict(type='MultiStepLR', milestone=[1])", "milestones"),
        ("dict(type='MultiStepLR')", "milestones"),
    ];
    for (text, wanted) in cases {
        let value = config(text);
        let error = schedules::from_config(Some(&value), &registry(), length).err().unwrap();
        let text = format!("{error:?} {error}");
        assert!(text.contains(wanted), "{text}");
    }
    let value = config("dict(type='LinearMomentum')");
    let mut list = schedules::from_config(Some(&value), &registry(), length).unwrap();
    let wrapper = config("dict(optimizer=dict(type='Adagrad'))");
    let mut optim = Optimizers::from_config(&wrapper, &registry(), &*algorithm(SMALL)).unwrap();
    assert!(optim.start(&mut list[0], None).unwrap_err().to_string().contains("no momentum"));
}

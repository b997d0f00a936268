//! Optimizers and schedules against PyTorch and mmengine. Made by `tools/golden/{optim,schedules}.py`.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use occam_config::{Registry, Value};
use occam_engine::optim::Optimizer;
use occam_engine::schedule::Length;
use occam_engine::{Device, Tensor};
use occam_testing::{Golden, assert_close, fill, values, workspace};
use occam_train::schedules;

fn registry() -> Registry {
    let mut registry = Registry::new();
    occam_train::register(&mut registry);
    registry
}

/// Ten steps of every setting, and the same with the state written and read back in between.
#[test]
fn optimizers_are_pytorchs() {
    let golden = Golden::load("optim");
    let settings = golden.json("settings");
    for (name, setting) in settings.as_object().unwrap() {
        let mut config = setting.clone();
        let lrs: Vec<f64> = config["lr"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
        config["lr"] = lrs[0].into();
        let build = || registry().build::<dyn Optimizer>(&Value::from_json(&config)).unwrap();
        for interrupted in [false, true] {
            let mut optimizer = build();
            let shapes = [("weight", vec![5, 3]), ("bias", vec![7])];
            let mut params: Vec<Tensor> = shapes
                .iter()
                .map(|(p, shape)| Tensor::from_array(&fill(p, shape, -1.0, 1.0), &Device::cpu()).unwrap())
                .collect();
            for (step, &lr) in lrs.iter().enumerate() {
                for ((param, shape), value) in shapes.iter().zip(&mut params) {
                    let grad = fill(&format!("grad.{param}.{step}"), shape, -1.0, 1.0);
                    let grad = Tensor::from_array(&grad, &Device::cpu()).unwrap();
                    *value = optimizer.step(param, value.clone(), &grad, lr).unwrap();
                    let all = golden.values(&format!("{name}.{param}"));
                    let n = value.len();
                    let what = format!("{name}.{param} step {step}");
                    assert_close(
                        &what,
                        &values(&value.to_array().unwrap()),
                        &all[step * n..(step + 1) * n],
                        2e-6,
                    );
                }
                if interrupted {
                    let state = optimizer.state();
                    optimizer = build();
                    optimizer.load_state(state).unwrap();
                }
            }
        }
    }
}

/// The learning rate before each of 60 iterations.
#[test]
fn schedules_are_mmengines() {
    let text = std::fs::read_to_string(workspace().join("tests/golden/schedules.json")).unwrap();
    let rows: serde_json::Value = serde_json::from_str(&text).unwrap();
    let rows = rows.as_array().unwrap();
    assert!(rows.len() >= 20);
    for row in rows {
        let number = |key: &str| row[key].as_u64().unwrap();
        let length = Length {
            epoch: number("epoch_length"),
            max_epochs: number("max_epochs"),
            max_iters: number("max_iters"),
        };
        let base = row["base_lr"].as_f64().unwrap();
        let config = Value::from_json(&row["param_scheduler"]);
        let mut list = schedules::from_config(Some(&config), &registry(), length, base).unwrap();
        let mut lr = base;
        for schedule in &mut list {
            lr = schedule.step(lr);
        }
        let mut found = Vec::new();
        let wanted: Vec<f64> = row["lr"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
        for iter in 1..=wanted.len() as u64 {
            found.push(lr);
            for schedule in list.iter_mut().filter(|s| !s.by_epoch()) {
                lr = schedule.step(lr);
            }
            if iter.is_multiple_of(length.epoch) {
                for schedule in list.iter_mut().filter(|s| s.by_epoch()) {
                    lr = schedule.step(lr);
                }
            }
        }
        assert_close(row["name"].as_str().unwrap(), &found, &wanted, 1e-12);
    }
}

#[test]
fn impossible_schedules_are_errors() {
    let length = Length { epoch: 10, max_epochs: 3, max_iters: 30 };
    let cases = [
        ("dict(type='CosineAnnealingLR', begin=3)", "begin before it ends"),
        ("dict(type='CosineAnnealingLR', by_epoch=False, convert_to_iter_based=True)", "by_epoch=True"),
        ("dict(type='CosineAnnealingLR', T_max=0)", "T_max"),
        ("dict(type='LinearLR', start_factor=0)", "start_factor"),
        ("dict(type='CosineLR')", "unknown param_scheduler"),
        ("dict(type='MultiStepLR', milestone=[1])", "milestones"),
    ];
    for (text, wanted) in cases {
        let config = occam_config::Loader::new().load_str("c.py", &format!("s = {text}")).unwrap();
        let error = schedules::from_config(config.get("s"), &registry(), length, 0.1).err().unwrap();
        let text = format!("{error:?} {error}");
        assert!(text.contains(wanted), "{text}");
    }
}

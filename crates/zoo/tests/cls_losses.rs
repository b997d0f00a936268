//! Losses of soft and several labels against mmcls. Made by `tools/golden/cls_losses.py`.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::registry;
use occam_config::{Loader, Value};
use occam_engine::{Device, Tensor};
use occam_testing::{Golden, assert_close, fill, labels, values};
use occam_zoo::ClsLoss;

const ROWS: usize = 6;
const CLASSES: usize = 5;

fn target(kind: &str) -> Tensor {
    let cpu = Device::cpu();
    if kind == "hard" {
        return Tensor::from_i64(&[ROWS], labels("label", ROWS, CLASSES), &cpu).unwrap();
    }
    let numbers = values(&fill(kind, &[ROWS, CLASSES], 0.0, 1.0));
    let weights = match kind {
        "several" => numbers.iter().map(|&u| if u > 0.6 { 1.0 } else { 0.0 }).collect(),
        _ => numbers
            .chunks_exact(CLASSES)
            .flat_map(|row| {
                let sum: f64 = row.iter().sum();
                row.iter().map(move |u| (u / sum) as f32)
            })
            .collect(),
    };
    Tensor::from_f32(&[ROWS, CLASSES], weights, &cpu).unwrap()
}

#[test]
fn losses_are_the_originals() {
    let golden = Golden::load("cls_losses");
    let cpu = Device::cpu();
    let cases = golden.json("cases");
    let cases = cases.as_array().unwrap();
    assert!(cases.len() >= 27);
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let mut config = case["loss"].clone();
        for (key, high) in [("class_weight", 1.5), ("pos_weight", 3.0)] {
            if config.get(key).is_some() {
                config[key] = values(&fill(key, &[CLASSES], 0.5, high)).into();
            }
        }
        let loss = registry().build::<dyn ClsLoss>(&Value::from_json(&config)).unwrap();
        let score = fill("cls_score", &[ROWS, CLASSES], -3.0, 3.0);
        let score = Tensor::from_array(&score, &cpu).unwrap().require_grad();
        let factor = case["call"].get("avg_factor").and_then(serde_json::Value::as_f64);
        let out = loss.forward(&score, &target(case["label"].as_str().unwrap()), factor).unwrap();
        assert_close(name, &values(&out.to_array().unwrap()), &golden.values(&format!("{name}.loss")), 1e-5);
        let scalar = if out.len() > 1 {
            let upstream = Tensor::from_array(&fill("upstream", &out.shape(), -1.0, 1.0), &cpu).unwrap();
            out.mul(&upstream).unwrap().sum().unwrap()
        } else {
            out
        };
        let grad = scalar.backward().unwrap().take(&score).unwrap();
        assert_close(name, &values(&grad.to_array().unwrap()), &golden.values(&format!("{name}.grad")), 1e-5);
    }
}

fn build(text: &str) -> Result<Box<dyn ClsLoss>, occam_config::Error> {
    let value = Loader::new().load_str("loss.py", &format!("loss = {text}")).unwrap();
    registry().build::<dyn ClsLoss>(value.get("loss").unwrap())
}

/// Scores so large that probabilities are 0 or 1 give losses and gradients that are numbers, and a score of 0 has the
/// slope of the curve there.
#[test]
fn extremes_stay_numbers() {
    let cpu = Device::cpu();
    let types = [
        "dict(type='CrossEntropyLoss', use_sigmoid=True)",
        "dict(type='CrossEntropyLoss', use_soft=True)",
        "dict(type='FocalLoss')",
        "dict(type='FocalLoss', gamma=0.0)",
        "dict(type='AsymmetricLoss')",
        "dict(type='AsymmetricLoss', clip=None)",
        "dict(type='AsymmetricLoss', use_sigmoid=False)",
        "dict(type='LabelSmoothLoss', label_smooth_val=0.1)",
    ];
    for text in types {
        let loss = build(text).unwrap();
        let score = vec![90.0, -90.0, 0.0, -90.0, 90.0, 0.0];
        let score = Tensor::from_f32(&[2, 3], score, &cpu).unwrap().require_grad();
        let target = Tensor::from_f32(&[2, 3], vec![1.0, 0.0, 1.0, 1.0, 0.0, 0.0], &cpu).unwrap();
        let out = loss.forward(&score, &target, None).unwrap();
        assert!(out.item().unwrap().is_finite(), "{text}");
        let grad = out.backward().unwrap().take(&score).unwrap().to_f32().unwrap();
        assert!(grad.iter().all(|g| g.is_finite()), "{text}: {grad:?}");
        assert!(grad[2] != 0.0 && grad[5] != 0.0, "{text}: {grad:?}");
    }
}

#[test]
fn what_is_impossible_is_said() {
    let cases = [
        ("dict(type='CrossEntropyLoss', use_sigmoid=True, use_soft=True)", "exclude each other"),
        ("dict(type='LabelSmoothLoss')", "label_smooth_val"),
        ("dict(type='LabelSmoothLoss', label_smooth_val=1.0)", "below 1"),
        ("dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='modern')", "modern"),
        ("dict(type='FocalLoss', gamma=-1.0)", "gamma"),
        ("dict(type='AsymmetricLoss', eps=0.0)", "eps"),
        ("dict(type='FocalLoss', reduction='average')", "average"),
    ];
    for (text, wanted) in cases {
        let error = build(text).err().unwrap().to_string();
        assert!(error.contains(wanted), "{text}: {error}");
    }
    let score = Tensor::full(&[2, 3], 0.0, &Device::cpu());
    let float = |shape: &[usize]| Tensor::full(shape, 0.5, &Device::cpu());
    let index = |v: Vec<i64>| Tensor::from_i64(&[v.len()], v, &Device::cpu()).unwrap();
    for text in [
        "dict(type='CrossEntropyLoss', use_sigmoid=True)",
        "dict(type='FocalLoss')",
        "dict(type='AsymmetricLoss')",
        "dict(type='LabelSmoothLoss', label_smooth_val=0.1)",
    ] {
        let loss = build(text).unwrap();
        for bad in [float(&[2, 4]), float(&[2]), index(vec![0, 3]), index(vec![-1, 0]), index(vec![0])] {
            assert!(loss.forward(&score, &bad, None).is_err(), "{text}: {bad:?}");
        }
        assert!(loss.forward(&score, &index(vec![0, 2]), None).is_ok(), "{text}");
    }
    let loss = build("dict(type='LabelSmoothLoss', label_smooth_val=0.1, num_classes=4)").unwrap();
    assert!(loss.forward(&score, &index(vec![0, 1]), None).is_err());
}

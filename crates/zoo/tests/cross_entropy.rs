//! Cross entropy against mmcls. Made by `tools/golden/cross_entropy.py`.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use occam_config::{Registry, Value};
use occam_engine::{Device, Tensor};
use occam_testing::{Golden, assert_close, fill, labels, values};
use occam_zoo::ClsLoss;

#[test]
fn agrees_with_mmcls() {
    let mut registry = Registry::new();
    occam_zoo::register(&mut registry);
    let golden = Golden::load("cross_entropy");
    let cases = golden.json("cases");
    let cpu = Device::cpu();
    let mut compared = 0;
    for case in cases.as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let call = case["call"].as_object().unwrap();
        // Sample weights, overrides and ignored rows are not part of a head's call.
        let ignored = !case["ignored_rows"].as_array().unwrap().is_empty();
        if ignored || call.keys().any(|k| k != "avg_factor") {
            continue;
        }
        let mut config = case["loss"].clone();
        config["type"] = "CrossEntropyLoss".into();
        if config.get("class_weight").is_some() {
            config["class_weight"] = values(&fill("class_weight", &[5], 0.5, 1.5)).into();
        }
        let factor = call.get("avg_factor").and_then(serde_json::Value::as_f64);
        let loss = registry.build::<dyn ClsLoss>(&Value::from_json(&config)).unwrap();
        let score = Tensor::from_array(&fill("cls_score", &[6, 5], -3.0, 3.0), &cpu).unwrap().require_grad();
        let label = Tensor::from_i64(&[6], labels("label", 6, 5), &cpu).unwrap();
        let out = loss.forward(&score, &label, factor).unwrap();
        assert_close(name, &values(&out.to_array().unwrap()), &golden.values(&format!("{name}.loss")), 1e-6);
        let scalar = if out.len() == 6 {
            let upstream = Tensor::from_array(&fill("upstream", &[6], -1.0, 1.0), &cpu).unwrap();
            out.mul(&upstream).unwrap().sum().unwrap()
        } else {
            out
        };
        let grad = scalar.backward().unwrap().take(&score).unwrap();
        assert_close(name, &values(&grad.to_array().unwrap()), &golden.values(&format!("{name}.grad")), 1e-6);
        compared += 1;
    }
    assert!(compared >= 10, "{compared} cases");
}

#[test]
fn labels_outside_the_classes_are_errors() {
    let mut registry = Registry::new();
    occam_zoo::register(&mut registry);
    let config = Value::from_json(&serde_json::json!({ "type": "mmcls.CrossEntropyLoss" }));
    let loss = registry.build::<dyn ClsLoss>(&config).unwrap();
    let score = Tensor::full(&[2, 3], 0.0, &Device::cpu());
    for bad in [3, -1, i64::MAX] {
        let label = Tensor::from_i64(&[2], vec![0, bad], &Device::cpu()).unwrap();
        assert!(loss.forward(&score, &label, None).is_err(), "{bad}");
    }
    let short = Tensor::from_i64(&[1], vec![0], &Device::cpu()).unwrap();
    assert!(loss.forward(&score, &short, None).is_err());
}

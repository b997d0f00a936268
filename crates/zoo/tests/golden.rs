//! ResNets against the original: same weights, same input. Made by `tools/golden/resnet.py`.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{features, input_shape, norm, parsed, probe, sizes, step};
use occam_testing::{Golden, assert_close, relative_error, values};

/// Logits, loss, every gradient, running statistics after one step.
fn check(name: &str, config: &str, logits: f64, gradient: f64) {
    let golden = Golden::load(name);
    let found = step(parsed(config), &golden);
    assert_close("eval logits", &found.eval_logits, &golden.values("eval.logits"), logits);
    assert_close("train logits", &found.train_logits, &golden.values("train.logits"), logits);
    assert_close("loss", &[found.loss], &golden.values("train.loss"), 1e-4);

    for (key, statistics) in &found.buffers {
        assert_close(key, statistics, &golden.values(&format!("after.{key}")), 1e-5);
    }
    assert_eq!(found.buffers.len(), golden.keys().filter(|k| k.starts_with("after.")).count());

    for (key, all) in &found.grads {
        let wanted_norm = golden.values(&format!("grad_norm.{key}"))[0];
        let sampled = golden.values(&format!("grad.{key}"));
        let stride = if all.len() <= 512 { 1 } else { all.len() / 256 };
        let picked: Vec<f64> = all.iter().step_by(stride).take(sampled.len()).copied().collect();
        // Differences are measured against the typical size of the gradient's elements: single ones may be 0.
        let typical = wanted_norm / (all.len() as f64).sqrt();
        let scale = sampled.iter().fold(typical, |m, x| m.max(x.abs()));
        let worst = picked.iter().zip(&sampled).fold(0f64, |m, (a, b)| m.max((a - b).abs()));
        assert!(worst <= gradient * scale, "{key}: {worst:.3e} of {scale:.3e}");
        let (found_norm, found_probe) = (norm(all), probe(key, all));
        assert!(
            (found_norm - wanted_norm).abs() <= gradient * wanted_norm,
            "{key}: norm {found_norm} of {wanted_norm}"
        );
        let wanted = golden.values(&format!("grad_probe.{key}"))[0];
        assert!(
            (found_probe - wanted).abs() <= gradient * wanted_norm,
            "{key}: probe {found_probe} of {wanted}"
        );
    }
    assert_eq!(found.grads.len(), golden.keys().filter(|k| k.starts_with("grad_norm.")).count());
}

#[test]
fn resnet18_is_the_originals() {
    let config = "dict(type='ImageClassifier', backbone=dict(type='ResNet', depth=18), \
        neck=dict(type='GlobalAveragePooling'), head=dict(type='LinearClsHead', num_classes=10, in_channels=512, \
        loss=dict(type='CrossEntropyLoss', loss_weight=1.0)))";
    check("resnet18", config, 1e-4, 1e-3);
}

#[test]
fn cifar_resnet_is_the_originals() {
    let config = "dict(type='ImageClassifier', backbone=dict(type='ResNet_CIFAR', depth=18, base_channels=16, \
        stem_channels=16), neck=dict(type='GlobalAveragePooling'), head=dict(type='LinearClsHead', num_classes=10, \
        in_channels=128, loss=dict(type='CrossEntropyLoss', loss_weight=1.0)))";
    check("resnet_cifar", config, 1e-4, 1e-3);
}

#[test]
fn bottlenecks_are_the_originals() {
    let config = "dict(type='ImageClassifier', backbone=dict(type='ResNet_CIFAR', depth=50, base_channels=8, \
        stem_channels=8), neck=dict(type='GlobalAveragePooling'), head=dict(type='LinearClsHead', num_classes=10, \
        in_channels=256, loss=dict(type='CrossEntropyLoss', loss_weight=1.0)))";
    check("resnet_cifar50", config, 1e-4, 1e-3);
}

/// Options of the family: features of all stages that are returned.
#[test]
fn variants_are_the_originals() {
    let golden = Golden::load("resnet_variants");
    let variants = golden.json("variants");
    for (name, variant) in variants.as_object().unwrap() {
        let config = &variant["config"]["backbone"];
        let (found, _) = features(&occam_config::Value::from_json(config), &input_shape(&variant["input"]));
        let stages = match &config["out_indices"] {
            serde_json::Value::Null => vec![3],
            list => sizes(list),
        };
        assert_eq!(found.len(), stages.len());
        for (stage, tensor) in stages.iter().zip(&found) {
            let wanted = golden.get(&format!("{name}.stage{stage}"));
            assert_eq!(tensor.shape(), wanted.shape(), "{name}.stage{stage}");
            let error = relative_error(&values(&tensor.to_array().unwrap()), &values(wanted));
            assert!(error < 1e-5, "{name}.stage{stage}: {error:.2e}");
        }
    }
}

//! ResNets against the original: same weights, same input. Made by `tools/golden/resnet.py`.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use occam_config::{Loader, Registry};
use occam_data::DataSample;
use occam_engine::{Device, Executor, Mode, Params, Request, Tensor, collect};
use occam_testing::{Golden, assert_close, fill, labels, relative_error, unit, values, weights};
use occam_zoo::{Architecture, Backbone, Net, Sites};

fn registry() -> Registry {
    let mut registry = Registry::new();
    occam_zoo::register(&mut registry);
    registry
}

fn sizes(shape: &serde_json::Value) -> Vec<usize> {
    shape.as_array().unwrap().iter().map(|d| d.as_u64().unwrap() as usize).collect()
}

/// Logits, loss, every gradient, running statistics after one step.
fn check(name: &str, config: &str, logits: f64, gradient: f64) {
    let golden = Golden::load(name);
    let value = Loader::new().load_str("model.py", &format!("model = {config}")).unwrap();
    let model = registry().build::<dyn Architecture>(value.get("model").unwrap()).unwrap().build().unwrap();

    let wanted: Vec<(String, Vec<usize>)> = golden
        .json("state_dict")
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row[0].as_str().unwrap().to_owned(), sizes(&row[1])))
        .filter(|(key, _)| !key.ends_with("num_batches_tracked"))
        .collect();
    let found: Vec<(String, Vec<usize>)> =
        model.graph.params().map(|(_, v)| (v.name.clone(), v.fact.known_shape().unwrap())).collect();
    assert_eq!(found, wanted, "state dict");

    let cpu = Device::cpu();
    let params = Params::new(&model.graph, &weights(&model.graph), &cpu).unwrap();
    let shape = match golden.json("input") {
        serde_json::Value::Object(o) => sizes(&o["shape"]),
        list => sizes(&list),
    };
    let input = Tensor::from_array(&fill("input", &shape, -2.0, 2.0), &cpu).unwrap();
    let samples: Vec<DataSample> = labels("label", shape[0], 10)
        .into_iter()
        .map(|l| DataSample { gt_label: vec![l], ..DataSample::default() })
        .collect();
    let executor = Executor::new(Arc::new(model.graph)).unwrap();

    let out =
        executor.run(&params.constants(), std::slice::from_ref(&input), &Request::new(Mode::Eval)).unwrap();
    assert_close(
        "eval logits",
        &values(&out.outputs[0].to_array().unwrap()),
        &golden.values("eval.logits"),
        logits,
    );

    let leaves = params.leaves();
    let out = executor.run(&leaves, &[input], &Request::new(Mode::Train)).unwrap();
    assert_close(
        "train logits",
        &values(&out.outputs[0].to_array().unwrap()),
        &golden.values("train.logits"),
        logits,
    );
    let losses = model.task.loss(&out.outputs, &samples, &mut Sites::default()).unwrap();
    assert_close("loss", &[f64::from(losses["loss"].item().unwrap())], &golden.values("train.loss"), 1e-4);

    let mut statistics = 0;
    for (key, tensor) in &out.buffers {
        assert_close(
            key,
            &values(&tensor.to_array().unwrap()),
            &golden.values(&format!("after.{key}")),
            1e-5,
        );
        statistics += 1;
    }
    assert_eq!(statistics, golden.keys().filter(|k| k.starts_with("after.")).count());

    let grads = collect(&leaves, &mut losses["loss"].clone().backward().unwrap());
    let mut compared = 0;
    for (key, grad) in &grads {
        let all = values(&grad.to_array().unwrap());
        let norm = golden.values(&format!("grad_norm.{key}"))[0];
        let sampled = golden.values(&format!("grad.{key}"));
        let stride = if all.len() <= 512 { 1 } else { all.len() / 256 };
        let picked: Vec<f64> = all.iter().step_by(stride).take(sampled.len()).copied().collect();
        // Differences are measured against the typical size of the gradient's elements: single ones may be 0.
        let typical = norm / (all.len() as f64).sqrt();
        let scale = sampled.iter().fold(typical, |m, x| m.max(x.abs()));
        let worst = picked.iter().zip(&sampled).fold(0f64, |m, (a, b)| m.max((a - b).abs()));
        assert!(worst <= gradient * scale, "{key}: {worst:.3e} of {scale:.3e}");
        let found = all.iter().map(|g| g * g).sum::<f64>().sqrt();
        assert!((found - norm).abs() <= gradient * norm, "{key}: norm {found} of {norm}");
        let probe: f64 = all
            .iter()
            .zip(unit(&format!("probe.{key}"), all.len()))
            .map(|(g, u)| g * f64::from((2.0 * u - 1.0) as f32))
            .sum();
        let wanted = golden.values(&format!("grad_probe.{key}"))[0];
        assert!((probe - wanted).abs() <= gradient * norm, "{key}: probe {probe} of {wanted}");
        compared += 1;
    }
    assert_eq!(compared, golden.keys().filter(|k| k.starts_with("grad_norm.")).count());
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
        let config = occam_config::Value::from_json(&variant["config"]["backbone"]);
        let backbone = registry().build::<dyn Backbone>(&config).unwrap();
        let shape = match &variant["input"] {
            serde_json::Value::Object(o) => sizes(&o["shape"]),
            list => sizes(list),
        };
        let mut net = Net::new();
        let x = net.input("input", occam_graph::Fact::f32(shape.clone())).unwrap();
        let features = net
            .tuple("backbone", &[x], |net| Ok(occam_zoo::Returned::Tuple(backbone.build(net, x)?)))
            .unwrap();
        let stages = match &variant["config"]["backbone"]["out_indices"] {
            serde_json::Value::Null => vec![3],
            list => sizes(list),
        };
        for (stage, &v) in stages.iter().zip(&features) {
            net.output(&format!("stage{stage}"), v).unwrap();
        }
        let graph = net.into_parts().0.finish().unwrap();
        let params = Params::new(&graph, &weights(&graph), &Device::cpu()).unwrap();
        let input = Tensor::from_array(&fill("input", &shape, -2.0, 2.0), &Device::cpu()).unwrap();
        let executor = Executor::new(Arc::new(graph)).unwrap();
        let out = executor.run(&params.constants(), &[input], &Request::default()).unwrap();
        assert_eq!(out.outputs.len(), stages.len());
        for (stage, tensor) in stages.iter().zip(&out.outputs) {
            let wanted = golden.get(&format!("{name}.stage{stage}"));
            assert_eq!(tensor.shape(), wanted.shape(), "{name}.stage{stage}");
            let error = relative_error(&values(&tensor.to_array().unwrap()), &values(wanted));
            assert!(error < 1e-5, "{name}.stage{stage}: {error:.2e}");
        }
    }
}

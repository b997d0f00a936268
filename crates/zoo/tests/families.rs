//! Members of the ResNet family, wide ResNets, VGG's classifier and what is frozen, against the originals: same weights,
//! same input. Made by `tools/golden/families.py`.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::Arc;

use common::{input_shape, model, named_shapes, noise, norm, parsed, probe, registry, state_dict, step_on};
use occam_config::{Loader, Value};
use occam_data::DataSample;
use occam_engine::{Device, Executor, Mode, Params, Request, Tensor, collect};
use occam_graph::Op;
use occam_testing::{Golden, assert_close, fill, labels, values, weights};
use occam_zoo::{Backbone, Sites};

/// Logits, loss, gradients of what learns and of nothing else, statistics that move and no others.
#[test]
fn families_are_the_originals() {
    let golden = Golden::load("families");
    let shape = input_shape(&golden.json("input"));
    let mut with_gradients = 0;
    for (name, case) in golden.json("cases").as_object().unwrap() {
        let names = |key: &str| -> Vec<String> {
            case[key].as_array().unwrap().iter().map(|n| n.as_str().unwrap().to_owned()).collect()
        };
        let state = named_shapes(&case["state_dict"]);
        let found = step_on(model(&Value::from_json(&case["config"])), &state, &shape);
        let wanted = |key: &str| golden.values(&format!("{name}.{key}"));
        assert_close(&format!("{name} logits"), &found.eval_logits, &wanted("logits"), 1e-4);
        assert_close(&format!("{name} loss"), &[found.loss], &wanted("loss"), 1e-4);

        assert_eq!(found.grads.keys().cloned().collect::<Vec<_>>(), names("learned"), "{name}");
        let moved = names("moved");
        assert_eq!(found.buffers.keys().cloned().collect::<Vec<_>>(), moved, "{name}");
        for key in moved.first().into_iter().chain(moved.last()) {
            assert_close(key, &found.buffers[key], &wanted(&format!("after.{key}")), 1e-4);
        }

        if golden.keys().all(|k| k != format!("{name}.grad")) {
            continue;
        }
        with_gradients += 1;
        let (norms, probes, mut samples) =
            (wanted("grad_norm"), wanted("grad_probe"), wanted("grad").into_iter());
        let largest = norms.iter().copied().fold(0.0, f64::max);
        for ((key, all), (wanted_norm, wanted_probe)) in found.grads.iter().zip(norms.iter().zip(&probes)) {
            let least = wanted_norm.max(1e-6 * largest);
            let count = all.len().min(16);
            let wanted: Vec<f64> = samples.by_ref().take(count).collect();
            let typical = least / (all.len() as f64).sqrt();
            let scale = wanted.iter().fold(typical, |m, x| m.max(x.abs()));
            let picked = all.iter().step_by(all.len() / count).take(count);
            let worst = picked.zip(&wanted).fold(0f64, |m, (a, b)| m.max((a - b).abs()));
            assert!(worst <= 1e-4 * scale, "{name}: {key}: {worst:.3e} of {scale:.3e}");
            for (found, wanted) in [(norm(all), wanted_norm), (probe(key, all), wanted_probe)] {
                assert!((found - wanted).abs() <= 1e-4 * least, "{name}: {key}: {found} of {wanted}");
            }
        }
        assert_eq!(samples.len(), 0);
    }
    assert!(with_gradients >= 9, "{with_gradients}");
}

/// Scores of the three linear layers, whose gradients are of 120 million weights, in evaluation, where dropout leaves
/// nothing out.
#[test]
fn the_classifier_of_vgg_is_the_originals() {
    let golden = Golden::load("vgg_classifier");
    let model = model(&Value::from_json(&golden.json("config")));
    let found: Vec<(String, Vec<usize>)> =
        model.graph.params().map(|(_, v)| (v.name.clone(), v.fact.known_shape().unwrap())).collect();
    assert_eq!(found, state_dict(&golden));
    let dropped = model.graph.nodes().filter(|(_, n)| matches!(n.op, Op::Dropout(_))).count();
    assert_eq!(dropped, 2);

    let cpu = Device::cpu();
    let params = Params::new(&model.graph, &weights(&model.graph), &cpu).unwrap();
    let shape = input_shape(&golden.json("input"));
    let input = Tensor::from_array(&fill("input", &shape, -2.0, 2.0), &cpu).unwrap();
    let executor = Executor::new(Arc::new(model.graph)).unwrap();
    let leaves = params.leaves();
    let out = executor.run(&leaves, &[input], &Request::new(Mode::Eval)).unwrap();
    let logits = values(&out.outputs[0].to_array().unwrap());
    assert_close("logits", &logits, &golden.values("logits"), 1e-4);
    let samples: Vec<DataSample> = labels("label", shape[0], 10)
        .into_iter()
        .map(|l| DataSample { gt_label: vec![l], ..DataSample::default() })
        .collect();
    let losses = model.task.loss(&out.outputs, &samples, &mut Sites::default()).unwrap();
    assert_close("loss", &[f64::from(losses["loss"].item().unwrap())], &golden.values("loss"), 1e-4);
    let grads = collect(&leaves, &mut losses["loss"].clone().backward().unwrap());
    assert_eq!(grads.len(), golden.keys().filter(|k| k.starts_with("grad_norm.")).count());
    for (key, grad) in &grads {
        let found_norm = grad.sum_of_squares().unwrap().sqrt();
        let wanted_norm = golden.values(&format!("grad_norm.{key}"))[0];
        assert!(
            (found_norm - wanted_norm).abs() <= 1e-4 * wanted_norm,
            "{key}: {found_norm} of {wanted_norm}"
        );
        let all = grad.to_f32().unwrap();
        let wanted = golden.values(&format!("grad.{key}"));
        let count = all.len().min(16);
        let typical = wanted_norm / (all.len() as f64).sqrt();
        let scale = wanted.iter().fold(typical, |m, x| m.max(x.abs()));
        for (a, b) in all.iter().step_by(all.len() / count).take(count).zip(&wanted) {
            assert!((f64::from(*a) - b).abs() <= 1e-4 * scale, "{key}: {a} of {b}");
        }
    }
}

/// Rates grow evenly over the blocks, a frozen stage leaves nothing out, and a step leaves out what its number says.
#[test]
fn drop_path_leaves_out_blocks_by_sample() {
    let backbone = "type='ResNet_CIFAR', depth=34, base_channels=4, stem_channels=4, drop_path_rate=0.3";
    let model = |more: &str| {
        parsed(&format!(
            "dict(type='ImageClassifier', backbone=dict({backbone}{more}), \
             neck=dict(type='GlobalAveragePooling'), \
             head=dict(type='LinearClsHead', num_classes=10, in_channels=32))"
        ))
    };
    let rates = |more: &str| -> Vec<(String, f64)> {
        let model = model(more);
        let nodes = model.graph.nodes();
        nodes
            .filter_map(
                |(_, n)| if let Op::Dropout(d) = &n.op { Some((n.name.clone(), d.rate)) } else { None },
            )
            .collect()
    };
    let all = rates("");
    assert_eq!(all.len(), 15, "the first of sixteen has a rate of 0");
    assert_eq!(all[0].0, "backbone.layer1.1.drop_path");
    for (i, (name, rate)) in all.iter().enumerate() {
        assert!((rate - 0.3 * (i + 1) as f64 / 15.0).abs() < 1e-12, "{name}: {rate}");
    }
    assert_eq!(rates(", frozen_stages=1")[0], all[2]);

    // Samples whose last block is left out leave it as they came: their share is the rate.
    let model = model("");
    let params = Params::new(&model.graph, &weights(&model.graph), &Device::cpu()).unwrap();
    let last = model.graph.find("backbone.layer4.2.drop_path").unwrap();
    let executor = Executor::new(Arc::new(model.graph)).unwrap();
    let input = Tensor::from_array(&fill("input", &[8, 3, 8, 8], -2.0, 2.0), &Device::cpu()).unwrap();
    let step = |i: u64| {
        let request = Request { taps: vec![last], noise: Some(noise(i)), ..Request::new(Mode::Train) };
        let out = executor.run(&params.constants(), std::slice::from_ref(&input), &request).unwrap();
        (out.taps[&last].to_f32().unwrap(), out.outputs[0].to_f32().unwrap())
    };
    let mut left_out = 0;
    for i in 0..60 {
        let (path, _) = step(i);
        let samples = path.chunks_exact(path.len() / 8);
        left_out += samples.filter(|s| s.iter().all(|v| *v == 0.0)).count();
    }
    let share = left_out as f64 / 480.0;
    assert!((share - 0.3).abs() < 0.07, "{share}");
    assert_eq!(step(3), step(3));
    assert_ne!(step(3).1, step(4).1);
}

#[test]
fn what_is_impossible_is_said() {
    let cases = [
        ("dict(type='ResNet', depth=18, frozen_stages=5)", "frozen_stages=5"),
        ("dict(type='ResNet', depth=18, drop_path_rate=1.5)", "drop_path_rate"),
        ("dict(type='ResNet', depth=18, expansion=4)", "expansion must be 1"),
        ("dict(type='ResNet', depth=18, groups=32)", "unknown key \"groups\""),
        ("dict(type='ResNetV1c', depth=50, deep_stem=True)", "`deep_stem` is settled"),
        ("dict(type='ResNetV1d', depth=50, avg_down=True)", "`avg_down` is settled"),
        ("dict(type='ResNeXt', depth=18)", "50, 101, 152"),
        ("dict(type='ResNeXt', depth=50, groups=0)", "groups"),
        ("dict(type='ResNeXt', depth=50, widht_per_group=4)", "widht_per_group"),
        ("dict(type='WideResNet', depth=50)", "10, 16, 22, 28, 40"),
        ("dict(type='WideResNet', depth=16, num_stages=4)", "num_stages"),
        ("dict(type='VGG', depth=11, num_classes=10, out_indices=(6,))", "out_indices"),
        ("dict(type='MobileNetV2', frozen_stages=8)", "frozen_stages=8"),
    ];
    for (text, wanted) in cases {
        let value = Loader::new().load_str("model.py", &format!("model = {text}")).unwrap();
        let error = registry().build::<dyn Backbone>(value.get("model").unwrap()).err().unwrap();
        assert!(error.to_string().contains(wanted), "{text}: {error}");
    }
}

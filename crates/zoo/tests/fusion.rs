//! What kernels compute together equals what the nodes compute one by one.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::Arc;

use common::{noise, parsed};
use indexmap::IndexMap;
use occam_data::DataSample;
use occam_engine::{Device, Executor, Mode, Outputs, Params, Request, Tensor, collect};
use occam_graph::ValueId;
use occam_testing::{fill, labels, weights};
use occam_zoo::Sites;

const HEAD: &str = "neck=dict(type='GlobalAveragePooling'), head=dict(type='LinearClsHead', num_classes=10, \
                    loss=dict(type='CrossEntropyLoss'), in_channels=";

/// Differences against the largest element.
fn close(what: &str, a: &Tensor, b: &Tensor, tolerance: f32) {
    let (a, b) = (a.to_f32().unwrap(), b.to_f32().unwrap());
    let scale = b.iter().fold(0f32, |m, v| m.max(v.abs()));
    let worst = a.iter().zip(&b).fold(0f32, |m, (x, y)| m.max((x - y).abs()));
    assert!(worst <= tolerance * scale, "{what}: {worst:.2e} of {scale:.2e}");
}

fn check(backbone: &str, channels: usize, size: usize) {
    let model = parsed(&format!("dict(type='ImageClassifier', backbone={backbone}, {HEAD}{channels}))"));
    let cpu = Device::cpu();
    let params = Params::new(&model.graph, &weights(&model.graph), &cpu).unwrap();
    let executor = Executor::new(Arc::new(model.graph)).unwrap();
    // A tap on every value makes every node a step of its own.
    let graph = executor.graph().clone();
    let all: Vec<ValueId> = graph.nodes().flat_map(|(_, n)| n.outputs.clone()).collect();
    let input = Tensor::from_array(&fill("input", &[3, 3, size, size], -2.0, 2.0), &cpu).unwrap();
    let run = |mode: Mode, taps: &[ValueId]| -> (Outputs, usize) {
        let request =
            Request { taps: taps.to_vec(), timed: true, noise: Some(noise(0)), ..Request::new(mode) };
        let out = executor.run(&params.constants(), std::slice::from_ref(&input), &request).unwrap();
        let steps = out.times.len();
        (out, steps)
    };
    for mode in [Mode::Eval, Mode::Train] {
        let ((fused, few), (plain, many)) = (run(mode, &[]), run(mode, &all));
        assert!(few < many, "{backbone} in {mode:?}: {few} steps of {many}");
        close(&format!("{backbone} in {mode:?}"), &fused.outputs[0], &plain.outputs[0], 2e-5);
        assert_eq!(fused.buffers.len(), plain.buffers.len());
        for ((name, a), (_, b)) in fused.buffers.iter().zip(&plain.buffers) {
            close(name, a, b, 1e-5);
        }
    }

    let samples: Vec<DataSample> = labels("label", 3, 10)
        .into_iter()
        .map(|l| DataSample { gt_label: vec![l], ..DataSample::default() })
        .collect();
    let gradients = |taps: &[ValueId]| -> IndexMap<String, Tensor> {
        let leaves = params.leaves();
        let request = Request { taps: taps.to_vec(), noise: Some(noise(0)), ..Request::new(Mode::Train) };
        let out = executor.run(&leaves, std::slice::from_ref(&input), &request).unwrap();
        let losses = model.task.loss(&out.outputs, &samples, &mut Sites::default()).unwrap();
        collect(&leaves, &mut losses["loss"].clone().backward().unwrap())
    };
    let (fused, plain) = (gradients(&[]), gradients(&all));
    assert_eq!(fused.keys().collect::<Vec<_>>(), plain.keys().collect::<Vec<_>>());
    let largest = plain.values().map(|g| g.sum_of_squares().unwrap().sqrt()).fold(0.0, f64::max);
    for (name, a) in &fused {
        let difference = a.sub(&plain[name]).unwrap().sum_of_squares().unwrap().sqrt();
        let norm = plain[name].sum_of_squares().unwrap().sqrt();
        assert!(
            difference <= 1e-4 * norm + 1e-6 * largest,
            "{backbone}: {name}: {difference:.2e} of {norm:.2e}"
        );
    }
}

#[test]
fn residual_networks() {
    check("dict(type='ResNet_CIFAR', depth=18, base_channels=16, stem_channels=16)", 128, 16);
}

#[test]
fn inverted_residuals() {
    check("dict(type='MobileNetV2', widen_factor=0.25)", 1280, 40);
}

#[test]
fn shuffled_channels() {
    check("dict(type='ShuffleNetV2', widen_factor=0.5)", 1024, 40);
}

#[test]
fn plain_networks() {
    check("dict(type='VGG', depth=11, norm_cfg=dict(type='BN'))", 512, 32);
}

/// Evaluation computes convolution, norm, drop path, sum and activation together; training leaves frozen norms alone.
#[test]
fn frozen_stages_and_drop_path() {
    check(
        "dict(type='ResNet_CIFAR', depth=18, base_channels=16, stem_channels=16, frozen_stages=2, drop_path_rate=0.4)",
        128,
        16,
    );
}

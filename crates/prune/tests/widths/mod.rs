//! Tiny models and batches.
#![allow(dead_code, missing_docs, clippy::unwrap_used)]

use occam_config::{Loader, Registry, Value};
use occam_data::{Batch, DataSample, Seed};
use occam_engine::Device;
use occam_testing::{fill, labels};
use occam_train::{Env, Model, StepContext};

pub const SEED: Seed = Seed(7);

pub const RESNET: &str = "dict(type='ImageClassifier', backbone=dict(type='ResNet_CIFAR', depth=18, \
    base_channels=8, stem_channels=8, num_stages=2, strides=(2, 2), dilations=(1, 1), out_indices=(1, )), \
    neck=dict(type='GlobalAveragePooling'), head=dict(type='LinearClsHead', num_classes=5, in_channels=16, \
    loss=dict(type='CrossEntropyLoss', loss_weight=1.0)))";

pub const MOBILENET: &str = "dict(type='ImageClassifier', backbone=dict(type='MobileNetV2', widen_factor=0.25), \
    neck=dict(type='GlobalAveragePooling'), head=dict(type='LinearClsHead', num_classes=5, in_channels=1280, \
    loss=dict(type='CrossEntropyLoss', loss_weight=1.0)))";

/// Concatenation: units of several layers on one axis.
pub const DENSENET: &str = "dict(type='ImageClassifier', backbone=dict(type='DenseNet', \
    arch=dict(growth_rate=4, depths=[2, 2], init_channels=8)), neck=dict(type='GlobalAveragePooling'), \
    head=dict(type='LinearClsHead', num_classes=5, in_channels=16, \
    loss=dict(type='CrossEntropyLoss', loss_weight=1.0)))";

pub fn registry() -> Registry {
    let mut registry = Registry::new();
    occam_data::register(&mut registry);
    occam_zoo::register(&mut registry);
    occam_train::register(&mut registry);
    occam_distill::register(&mut registry);
    occam_prune::register(&mut registry);
    registry
}

/// The value of `x = ..`.
pub fn value(text: &str) -> Value {
    Loader::new().load_str("a.py", &format!("x = {text}")).unwrap().get("x").unwrap().clone()
}

pub fn with_env<T>(f: impl FnOnce(&Env<'_>) -> T) -> T {
    let (registry, loader) = (registry(), Loader::new());
    f(&Env { registry: &registry, loader: &loader, seed: SEED, device: Device::cpu() })
}

pub fn model(text: &str) -> Model {
    with_env(|env| Model::new(env.task_model(&value(text)).unwrap(), SEED, &env.device).unwrap())
}

pub fn batch(n: usize, size: usize) -> Batch {
    let sample = |label| DataSample { gt_label: vec![label], ..DataSample::default() };
    Batch {
        inputs: fill("input", &[n, 3, size, size], -2.0, 2.0),
        samples: labels("label", n, 5).into_iter().map(sample).collect(),
    }
}

pub fn context(iter: u64) -> StepContext {
    StepContext { epoch: 0, iter, seed: SEED }
}

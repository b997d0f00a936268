//! Tiny models and batches.
#![allow(dead_code, missing_docs, clippy::unwrap_used)]

use occam_config::{Loader, Registry, Value};
use occam_data::{Batch, DataSample, Seed};
use occam_engine::Device;
use occam_testing::{fill, labels};
use occam_train::{Env, Model, StepContext};

pub const SEED: Seed = Seed(7);

pub const MODEL: &str = "dict(type='ImageClassifier', backbone=dict(type='ResNet_CIFAR', depth=18, \
    base_channels=4, stem_channels=4, out_indices=(2, 3)), neck=dict(type='GlobalAveragePooling'), \
    head=dict(type='LinearClsHead', num_classes=5, in_channels=32, \
    loss=dict(type='CrossEntropyLoss', loss_weight=1.0)))";

pub fn registry() -> Registry {
    let mut registry = Registry::new();
    occam_zoo::register(&mut registry);
    occam_train::register(&mut registry);
    occam_distill::register(&mut registry);
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

pub fn model(seed: Seed) -> Model {
    with_env(|env| Model::new(env.task_model(&value(MODEL)).unwrap(), seed, &env.device).unwrap())
}

pub fn batch(n: usize) -> Batch {
    let sample = |label| DataSample { gt_label: vec![label], ..DataSample::default() };
    Batch {
        inputs: fill("input", &[n, 3, 8, 8], -2.0, 2.0),
        samples: labels("label", n, 5).into_iter().map(sample).collect(),
    }
}

pub fn context() -> StepContext {
    StepContext { epoch: 0, iter: 0, seed: SEED }
}

//! Tiny models and batches.
#![allow(dead_code, missing_docs, clippy::unwrap_used)]

use occam_config::{Loader, Registry, Value};
use occam_data::{Batch, DataSample, Seed};
use occam_engine::Device;
use occam_testing::{fill, labels};
use occam_train::{Algorithm, Env, Model};

pub const SEED: Seed = Seed(7);

/// The net of `tools/golden/importance.py` and `tools/golden/group_fisher.py`.
pub const RESNET: &str = "dict(type='ImageClassifier', backbone=dict(type='ResNet_CIFAR', depth=18, \
    stem_channels=6, base_channels=6, num_stages=2, strides=(1, 2), dilations=(1, 1), out_indices=(1, )), \
    neck=dict(type='GlobalAveragePooling'), head=dict(type='LinearClsHead', num_classes=5, in_channels=12, \
    loss=dict(type='CrossEntropyLoss', loss_weight=1.0)))";

/// One with depthwise convolutions.
pub const MOBILENET: &str = "dict(type='ImageClassifier', backbone=dict(type='MobileNetV2', widen_factor=0.25, \
    out_indices=(2, )), neck=dict(type='GlobalAveragePooling'), head=dict(type='LinearClsHead', num_classes=5, \
    in_channels=8, loss=dict(type='CrossEntropyLoss', loss_weight=1.0)))";

pub fn registry() -> Registry {
    let mut registry = Registry::new();
    occam_zoo::register(&mut registry);
    occam_train::register(&mut registry);
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

/// A model with the weights of the formula.
pub fn model(text: &str) -> Model {
    let mut model =
        with_env(|env| Model::new(env.task_model(&value(text)).unwrap(), SEED, &env.device).unwrap());
    let weights = occam_testing::weights(model.graph());
    model.load(&weights).unwrap();
    model
}

/// An algorithm whose architecture has the weights of the formula.
pub fn algorithm(text: &str) -> Result<Box<dyn Algorithm>, String> {
    let mut built = with_env(|env| env.algorithm(&value(text)).map_err(|e| e.to_string()))?;
    for (_, model) in built.models_mut() {
        let weights = occam_testing::weights(model.graph());
        model.load(&weights).unwrap();
    }
    Ok(built)
}

/// Images and labels of the formula.
pub fn batch(images: &str, classes: &str, shape: [usize; 4]) -> Batch {
    let sample = |label| DataSample { gt_label: vec![label], ..DataSample::default() };
    Batch {
        inputs: fill(images, &shape, -2.0, 2.0),
        samples: labels(classes, shape[0], 5).into_iter().map(sample).collect(),
    }
}

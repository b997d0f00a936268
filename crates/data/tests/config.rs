//! Loaders, pipelines and evaluators from config text, as a user writes them.

#![allow(clippy::unwrap_used, reason = "the helpers of a test file are tests too")]

use std::sync::Arc;

use occam_config::{Loader as Config, Registry, Value};
use occam_data::{DataPreprocessor, DataSample, Dataset, Evaluator, LoaderConfig, Sampler, Seed, Transform};

fn registry() -> Registry {
    let mut registry = Registry::new();
    occam_data::register(&mut registry);
    registry
}

fn value(text: &str) -> Value {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/fashion-mnist-small");
    let text = text.replace("FOLDER", folder);
    Config::new().load_str("config.py", &format!("x = {text}\n")).unwrap().get("x").unwrap().clone()
}

const TRAIN: &str = "dict(
    batch_size=128, num_workers=2, persistent_workers=True, pin_memory=True, drop_last=False,
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='mmcls.FashionMNIST', data_prefix='FOLDER', test_mode=False, indices=1000,
        pipeline=[
            dict(type='RandomCrop', crop_size=28, padding=4),
            dict(type='RandomFlip', prob=0.5, direction='horizontal'),
            dict(type='PackClsInputs'),
        ]),
    sampler=dict(type='DefaultSampler', shuffle=True))";

#[test]
fn a_dataloader_makes_batches() {
    let registry = registry();
    let preprocessor =
        value("dict(type='mmcls.ClsDataPreprocessor', mean=[72.94], std=[90.02], batch_augments=None)");
    let preprocessor: Arc<dyn DataPreprocessor> =
        registry.build::<dyn DataPreprocessor>(&preprocessor).unwrap().into();
    let config = LoaderConfig::from_value(&value(TRAIN)).unwrap();
    let loader = config.build(&registry, preprocessor, Seed(7)).unwrap();
    assert_eq!((loader.len(), loader.batch_size(), loader.dataset().len()), (8, 128, 1000));
    let batches: Vec<_> = loader.epoch(0, 0).map(Result::unwrap).collect();
    assert_eq!(batches[0].inputs.shape(), [128, 1, 28, 28]);
    assert_eq!(batches[7].inputs.shape(), [104, 1, 28, 28]);
    let mut indices: Vec<_> =
        batches.iter().flat_map(|batch| &batch.samples).map(|sample| sample.index).collect();
    indices.sort_unstable();
    assert_eq!(indices, (0..1000).collect::<Vec<_>>());
}

#[test]
fn evaluators_take_one_metric_or_a_list() {
    let sample =
        DataSample { gt_label: vec![1], pred_score: Some(vec![0.3, 0.2, 0.5]), ..Default::default() };
    for text in
        ["dict(type='mmcls.Accuracy', topk=(1, 2))", "[dict(type='Accuracy', topk=[1, 2], thrs=None)]"]
    {
        let mut evaluator = Evaluator::from_config(&value(text), &registry()).unwrap();
        evaluator.process(std::slice::from_ref(&sample)).unwrap();
        let figures: Vec<_> = evaluator.compute().unwrap().into_iter().collect();
        assert_eq!(figures, [("accuracy/top1".to_owned(), 0.0), ("accuracy/top2".to_owned(), 0.0)]);
    }
}

#[test]
fn every_component_builds_from_its_documented_arguments() {
    let registry = registry();
    for text in [
        "dict(type='RandomCrop', crop_size=(32, 30), padding=(1, 2, 3, 4), pad_if_needed=True, pad_val=(1, 2, 3.5), \
         padding_mode='symmetric')",
        "dict(type='RandomCrop', crop_size=32, padding=None)",
        "dict(type='RandomFlip', prob=[0.1, 0.2], direction=['vertical', 'diagonal'])",
        "dict(type='CenterCrop', crop_size=28)",
        "dict(type='PackInputs', meta_keys=('flip', 'img_shape'))",
    ] {
        registry.build::<dyn Transform>(&value(text)).unwrap();
    }
    registry
        .build::<dyn Sampler>(&value("dict(type='DefaultSampler', shuffle=False, round_up=False)"))
        .unwrap();
    registry.build::<dyn Sampler>(&value("dict(type='InfiniteSampler', seed=3)")).unwrap();
    let set = "dict(type='FashionMNIST', data_root='FOLDER', data_prefix='', test_mode=True, indices=[3, -1], \
               metainfo=dict(classes=['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j']))";
    let set = registry.build::<dyn Dataset>(&value(set)).unwrap();
    assert_eq!((set.len(), set.classes()[9].as_str()), (2, "j"));
}

/// What is wrong, where, and what to do.
#[test]
fn errors_say_where() {
    let registry = registry();
    let transform = |text| registry.build::<dyn Transform>(&value(text)).unwrap_err().to_string();
    for (message, expected) in [
        (transform("dict(type='RandomFlip', prob=1.5)"), "RandomFlip: `prob` is 1.5, it must be from 0 to 1"),
        (
            transform("dict(type='RandomCrop', crop_size=0)"),
            "RandomCrop: `crop_size` is 0 x 0, it must be above 0",
        ),
        (transform("dict(type='RandomCrop', crop_size=-4)"), "a non-negative int or a pair of them"),
        (transform("dict(type='RandomCrop', crop_size=4, pading=3)"), "pading"),
    ] {
        assert!(message.starts_with("config.py:1:") && message.contains(expected), "{message}");
    }

    let loader = |text: &str| LoaderConfig::from_value(&value(text)).unwrap_err().to_string();
    assert!(loader("dict(batch_size=0, dataset=dict(), sampler=dict())").contains("must be above 0"));
    assert!(loader("dict(batch_size=1, datset=dict(), sampler=dict())").contains("datset"));
    assert!(loader("dict(batch_size=1, dataset=dict())").contains("sampler"));

    let missing = value("dict(type='MNIST', data_prefix='nowhere', test_mode=True)");
    let message = registry.build::<dyn Dataset>(&missing).map(|set| set.len()).unwrap_err().to_string();
    assert!(
        message.contains("found neither t10k-images-idx3-ubyte.gz nor") && message.contains("nowhere"),
        "{message}"
    );
}

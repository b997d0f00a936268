//! Folders of images, from config text to batches.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::sync::Arc;

use occam_config::{Loader as Config, Registry, Value};
use occam_data::{Batch, DataPreprocessor, Dataset, LoaderConfig, Result, Seed, Transform};

fn registry() -> Registry {
    let mut registry = Registry::new();
    occam_data::register(&mut registry);
    registry
}

fn value(text: &str) -> Value {
    Config::new().load_str("config.py", &format!("x = {text}\n")).unwrap().get("x").unwrap().clone()
}

fn golden(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/data/files");
    std::fs::read(Path::new(folder).join(name)).unwrap()
}

/// Two classes of JPEG, PNG and WebP images of several kinds.
fn images() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let names = [
        ("cat/1.jpg", "420.jpg"),
        ("cat/2.JPEG", "cmyk.jpg"),
        ("cat/3.png", "gray.png"),
        ("dog/1.png", "rgba.png"),
        ("dog/2.webp", "lossy.webp"),
        ("dog/more/3.jpeg", "gray.jpg"),
    ];
    for (name, source) in names {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, golden(source)).unwrap();
    }
    folder
}

/// The pipeline of MMClassification's `imagenet_bs64_swin_224.py`.
const PIPELINE: &str = "[
    dict(type='LoadImageFromFile'),
    dict(type='RandomResizedCrop', scale=24, backend='pillow', interpolation='bicubic'),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='RandAugment', policies='timm_increasing', num_policies=2, total_level=10, magnitude_level=9,
         magnitude_std=0.5, hparams=dict(pad_val=[104, 116, 124], interpolation='bicubic')),
    dict(type='RandomErasing', erase_prob=0.25, mode='rand', min_area_ratio=0.02, max_area_ratio=1 / 3,
         fill_color=[103.53, 116.28, 123.675], fill_std=[57.375, 57.12, 58.395]),
    dict(type='PackClsInputs')]";

fn batches(text: &str, workers: usize, seed: u64) -> Result<Vec<Batch>> {
    let registry = registry();
    let preprocessor = value(
        "dict(type='ClsDataPreprocessor', num_classes=2, mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], \
         to_rgb=True, batch_augments=dict(augments=[dict(type='mmcls.Mixup', alpha=0.8), dict(type='CutMix', \
         alpha=1.0), dict(type='ResizeMix', alpha=1.0)], probs=[0.4, 0.3, 0.2]))",
    );
    let preprocessor: Arc<dyn DataPreprocessor> =
        registry.build::<dyn DataPreprocessor>(&preprocessor).unwrap().into();
    let text = text.replace("WORKERS", &workers.to_string());
    let config = LoaderConfig::from_value(&value(&text)).unwrap().for_training();
    let loader = config.build(&registry, preprocessor, Seed(seed))?;
    loader.epoch(3, 0).collect()
}

fn dataloader(folder: &Path, pipeline: &str) -> String {
    format!(
        "dict(batch_size=4, num_workers=WORKERS, dataset=dict(type='CustomDataset', data_root='{}', data_prefix='', \
         pipeline={pipeline}), sampler=dict(type='DefaultSampler', shuffle=True))",
        folder.display()
    )
}

#[test]
fn batches_depend_on_the_seed_alone() {
    let folder = images();
    let text = dataloader(folder.path(), PIPELINE);
    let one = batches(&text, 0, 1).unwrap();
    assert_eq!(one[0].inputs.shape(), [4, 3, 24, 24]);
    assert_eq!(one[1].inputs.shape(), [2, 3, 24, 24]);
    for workers in [1, 2, 5] {
        assert_eq!(batches(&text, workers, 1).unwrap(), one);
    }
    assert_ne!(batches(&text, 2, 2).unwrap(), one);
    let mut labels: Vec<_> = one.iter().flat_map(|batch| &batch.samples).map(|s| s.gt_label[0]).collect();
    labels.sort_unstable();
    assert_eq!(labels, [0, 0, 0, 1, 1, 1]);
    for sample in one.iter().flat_map(|batch| &batch.samples) {
        let score = sample.gt_score.as_ref().unwrap();
        assert!((score.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        assert!(sample.path.is_some() && sample.img_shape == [24, 24]);
    }
}

#[test]
fn wrappers_have_pipelines_of_their_own() {
    let folder = images();
    let text = format!(
        "dict(type='ConcatDataset', datasets=[
            dict(type='RepeatDataset', times=2, dataset=dict(type='CustomDataset', data_prefix='{0}', pipeline=[
                dict(type='LoadImageFromFile'), dict(type='Resize', scale=(7, 5))])),
            dict(type='ClassBalancedDataset', oversample_thr=0.5, dataset=dict(type='CustomDataset', data_prefix='{0}',
                pipeline=[dict(type='LoadImageFromFile', color_type='grayscale'), dict(type='ResizeEdge', scale=9)])),
            dict(type='KFoldDataset', fold=1, num_splits=3, test_mode=True, dataset=dict(type='CustomDataset',
                data_prefix='{0}', pipeline=[dict(type='LoadImageFromFile', imdecode_backend='pillow'),
                dict(type='EfficientNetCenterCrop', crop_size=6)]))])",
        folder.path().display()
    );
    let set = registry().build::<dyn Dataset>(&value(&text)).unwrap();
    assert_eq!((set.len(), set.classes()), (20, ["cat".to_owned(), "dog".to_owned()].as_slice()));
    let shape = |index| {
        let image = set.prepare(index, &mut Seed(0).stream("test", &[])).unwrap().image;
        [image.height(), image.width(), image.channels()]
    };
    assert_eq!((shape(11), shape(12), shape(19)), ([5, 7, 3], [9, 12, 1], [6, 6, 3]));
    assert_eq!(set.labels(19).unwrap(), [1]);
}

#[test]
fn errors_say_what_and_where() {
    let folder = images();
    let error = |text: &str| batches(text, 2, 0).unwrap_err().to_string();
    let message = error(&dataloader(folder.path(), "[dict(type='Resize', scale=4)]"));
    assert!(message.contains("must begin with dict(type='LoadImageFromFile')"), "{message}");

    std::fs::write(folder.path().join("dog/0.jpg"), &golden("420.jpg")[..700]).unwrap();
    let message = error(&dataloader(folder.path(), PIPELINE));
    assert!(message.contains("dog/0.jpg: the JPEG is cut short"), "{message}");
    std::fs::write(folder.path().join("dog/0.jpg"), "").unwrap();
    assert!(error(&dataloader(folder.path(), PIPELINE)).contains("dog/0.jpg: the file is empty"));

    std::fs::create_dir(folder.path().join("eel")).unwrap();
    let message = error(&dataloader(folder.path(), PIPELINE));
    assert!(message.contains("no file in \"eel\" ends in .jpg"), "{message}");
}

#[test]
fn every_transform_builds_from_its_documented_arguments() {
    let registry = registry();
    for text in [
        "dict(type='LoadImageFromFile', to_float32=False, color_type='unchanged', imdecode_backend='cv2', \
         file_client_args=dict(backend='disk'), ignore_empty=False, backend_args=None)",
        "dict(type='Resize', scale=(224, 224), keep_ratio=True, backend='pillow', interpolation='lanczos')",
        "dict(type='ResizeEdge', scale=256, edge='short', backend='pillow', interpolation='bicubic')",
        "dict(type='RandomResizedCrop', scale=(224, 192), crop_ratio_range=(0.2, 1), aspect_ratio_range=(1, 2), \
         max_attempts=5, interpolation='area', backend='cv2')",
        "dict(type='EfficientNetRandomCrop', scale=224, min_covered=0.1, crop_padding=32, backend='pillow')",
        "dict(type='EfficientNetCenterCrop', crop_size=224, crop_padding=32, interpolation='bicubic')",
        "dict(type='Pad', size_divisor=32, pad_val=dict(img=(1, 2, 3), seg=255), padding_mode='reflect')",
        "dict(type='CenterCrop', crop_size=(3, 4), auto_pad=True, pad_cfg=dict(type='Pad', pad_val=7), \
         clip_object_border=True)",
        "dict(type='RandomGrayscale', prob=0.2, keep_channels=True, channel_weights=(0.114, 0.587, 0.299), \
         color_format='bgr')",
        "dict(type='ColorJitter', brightness=0.4, contrast=(0.6, 1.4), saturation=0.4, hue=0.1)",
        "dict(type='Lighting', eigval=[55.46, 4.79, 1.15], eigvec=[[-0.57, 0.72, 0.4], [-0.58, 0, -0.81], \
         [-0.58, -0.69, 0.42]], alphastd=0.1, to_rgb=True)",
        "dict(type='RandomErasing', erase_prob=0.2, aspect_range=0.3, mode='const', fill_color=0)",
        "dict(type='Normalize', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)",
        "dict(type='RandomApply', transforms=[dict(type='ColorJitter', hue=0.1), dict(type='Invert')], prob=0.8)",
        "dict(type='RandomApply', transforms=dict(type='Invert'))",
        "dict(type='RandomChoice', transforms=[[dict(type='Invert')], [dict(type='Equalize')]], prob=[0.25, 0.75])",
        "dict(type='AutoAugment', policies='imagenet', hparams=dict(pad_val=[104, 116, 124], interpolation='bicubic'))",
        "dict(type='AutoAugment', policies=[[dict(type='Posterize', bits=4, prob=0.4), dict(type='Rotate', \
         angle=30., prob=0.6)]])",
        "dict(type='RandAugment', policies=[dict(type='Rotate', magnitude_range=(0, 30)), dict(type='Cutout', \
         magnitude_key='shape', magnitude_range=(1, 41))], num_policies=2, magnitude_level=6, magnitude_std='inf')",
        "dict(type='Shear', magnitude=0.2, pad_val=(1, 2, 3), direction='vertical', interpolation='nearest')",
        "dict(type='Translate', magnitude=0.2, random_negative_prob=0.)",
        "dict(type='SolarizeAdd', magnitude=10, thr=100)",
    ] {
        registry.build::<dyn Transform>(&value(text)).unwrap_or_else(|error| panic!("{text}: {error}"));
    }
    let error = |text: &str| registry.build::<dyn Transform>(&value(text)).unwrap_err().to_string();
    assert!(error("dict(type='AutoAugment', policies='cifar')").contains("'imagenet'"));
    assert!(error("dict(type='Posterize', bits=4, prob=2)").contains("`prob` is 2"));
    let message = error("dict(type='RandomResizedCrop', scale=4, interpolation='cubic')");
    assert!(message.contains(r#"unknown value "cubic""#), "{message}");
    assert!(error("dict(type='RandomApply', transforms=[dict(type='Inverd')])").contains("Inverd"));
}

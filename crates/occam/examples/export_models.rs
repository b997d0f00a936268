//! Writes models to check in ONNX Runtime: `export_models FOLDER [CONFIG ..]`, then `python tools/check_models.py FOLDER`.
//!
//! A config is a file with a `model`; without any, a small one of every family is written. Every model is `NAME.onnx` with
//! `NAME.safetensors`: an `input` and the `output` that the executor computes for it. Weights are made by a formula.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use occam::config::{Loader, Registry, Value};
use occam::engine::{Device, Executor, Params, Request, Tensor};
use occam::graph::{Bindings, Weights};
use occam::io::onnx::{ExportOptions, export, write_model};
use occam::io::safetensors;
use occam::zoo::Architecture;
use occam_testing::{fill, weights};

/// Name and, in config language, backbone and head of a small model of each family.
const FAMILIES: &[(&str, &str, &str)] = &[
    ("resnet", "type='ResNet', depth=18, base_channels=16", "type='LinearClsHead', in_channels=128"),
    (
        "resnext",
        "type='ResNeXt', depth=50, base_channels=16, groups=8",
        "type='LinearClsHead', in_channels=512",
    ),
    ("seresnet", "type='SEResNet', depth=50, base_channels=16", "type='LinearClsHead', in_channels=512"),
    // With all stages and these weights, rounding alone moves the scores by 2e-4 in PyTorch too.
    (
        "seresnext",
        "type='SEResNeXt', depth=50, num_stages=2, strides=(1, 2), dilations=(1, 1), out_indices=(1,)",
        "type='LinearClsHead', in_channels=512",
    ),
    ("regnet", "type='RegNet', arch='regnetx_400mf'", "type='LinearClsHead', in_channels=384"),
    ("vgg", "type='VGG', depth=11", "type='LinearClsHead', in_channels=512"),
    ("densenet", "type='DenseNet'", "type='LinearClsHead', in_channels=1024"),
    ("mobilenet_v2", "type='MobileNetV2'", "type='LinearClsHead', in_channels=1280"),
    (
        "mobilenet_v3",
        "type='MobileNetV3'",
        "type='StackedLinearClsHead', in_channels=576, mid_channels=[64], dropout_rate=0.2, \
         act_cfg=dict(type='HSwish')",
    ),
    ("mobilenet_v3_050", "type='MobileNetV3', arch='small_050'", "type='LinearClsHead', in_channels=288"),
    ("shufflenet_v1", "type='ShuffleNetV1'", "type='LinearClsHead', in_channels=960"),
    ("shufflenet_v2", "type='ShuffleNetV2'", "type='LinearClsHead', in_channels=1024"),
    ("efficientnet", "type='EfficientNet', drop_path_rate=0.2", "type='LinearClsHead', in_channels=1280"),
    ("efficientnet_em", "type='EfficientNet', arch='em'", "type='LinearClsHead', in_channels=1280"),
    ("efficientnet_lite", "type='EfficientNet', arch='lite0'", "type='LinearClsHead', in_channels=1280"),
    (
        "convnext",
        "type='ConvNeXt', arch=dict(depths=[1, 1, 2, 1], channels=[16, 32, 48, 64]), drop_path_rate=0.1",
        "type='LinearClsHead', in_channels=64",
    ),
    (
        "swin_transformer",
        "type='SwinTransformer', arch=dict(embed_dims=24, depths=[2, 2], num_heads=[2, 4]), img_size=(64, 56), \
         out_indices=(1,)",
        "type='LinearClsHead', in_channels=48",
    ),
    ("alexnet", "type='AlexNet'", "type='LinearClsHead', in_channels=256"),
    ("inception_v3", "type='InceptionV3', num_classes=10, aux_logits=True", "type='ClsHead'"),
    ("squeezenet", "type='SqueezeNet', version='1_1', num_classes=10", "type='ClsHead'"),
    ("mnasnet", "type='MNASNet', alpha=0.5, num_classes=10", "type='ClsHead'"),
    ("googlenet", "type='GoogLeNet', num_classes=10", "type='ClsHead'"),
    (
        "vision_transformer",
        "type='VisionTransformer', arch='deit-tiny', img_size=64, drop_rate=0.1",
        "type='VisionTransformerClsHead', in_channels=192, hidden_dim=32",
    ),
    (
        "deit",
        "type='DistilledVisionTransformer', arch='deit-tiny', img_size=(64, 90)",
        "type='DeiTClsHead', in_channels=192",
    ),
];

fn write(folder: &Path, name: &str, config: &Value) -> Result<(), Box<dyn Error>> {
    let mut registry = Registry::new();
    occam::zoo::register(&mut registry);
    let graph = registry.build::<dyn Architecture>(config)?.build()?.graph;
    let weights = weights(&graph);
    let options = ExportOptions::default();
    write_model(folder.join(format!("{name}.onnx")), &export(&graph, &weights, &options)?)?;

    let input = graph.inputs().first().ok_or("the model has no input")?;
    // Odd and unequal sizes, where the model takes them.
    let bindings = Bindings::from([("N".into(), 2), ("H".into(), 91), ("W".into(), 80)]);
    let input = fill("input", &graph.value(*input)?.fact.eval_shape(&bindings)?, -2.0, 2.0);
    let params = Params::new(&graph, &weights, &Device::cpu())?;
    let x = Tensor::from_array(&input, &Device::cpu())?;
    let run = Executor::new(Arc::new(graph))?.run(&params.constants(), &[x], &Request::default())?;
    let output = run.outputs.first().ok_or("the model has no output")?.to_array()?;
    let arrays = Weights::from([("input".to_owned(), input), ("output".to_owned(), output)]);
    safetensors::save(folder.join(format!("{name}.safetensors")), &arrays, &Default::default())?;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args_os().skip(1).map(PathBuf::from);
    let folder = args.next().ok_or("usage: export_models FOLDER [CONFIG ..]")?;
    std::fs::create_dir_all(&folder)?;
    let files: Vec<PathBuf> = args.collect();
    for file in &files {
        let config = Loader::new().load(file)?;
        let name = file.file_stem().ok_or("a config has no name")?.to_string_lossy().into_owned();
        write(&folder, &name, config.get("model").ok_or("the config has no model")?)?;
    }
    if files.is_empty() {
        for (name, backbone, head) in FAMILIES {
            // The heads of transformers, and of backbones that give scores, take what the backbone returns.
            let pooled = head.contains("Linear") && *name != "convnext";
            let neck = match pooled {
                true => "dict(type='GlobalAveragePooling')",
                false => "None",
            };
            let classes = if head.contains("'ClsHead'") { "" } else { ", num_classes=10" };
            let text = format!(
                "model = dict(type='ImageClassifier', backbone=dict({backbone}), neck={neck}, \
                 head=dict({head}{classes}))"
            );
            let config = Loader::new().load_str("model.py", &text)?;
            write(&folder, name, config.get("model").ok_or("the config has no model")?)?;
        }
    }
    Ok(())
}

//! torchvision's and timm's state dicts under the names here: every name is known, every parameter found in its shape, and
//! the logits are those of the original. Rows made by `tools/golden/names.py`.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::Arc;

use common::{named_shapes, parsed, sizes};
use occam_engine::{Device, Executor, Params, Request, Tensor};
use occam_graph::{Array, Data, Weights};
use occam_testing::{assert_close, fill, parameter, values, workspace};
use occam_zoo::names::{self, Source, backbone_of, rename};

/// The backbone's class, and what of the config differs from the architecture's defaults.
fn config(model: &str, source: Source) -> (&'static str, String) {
    let linear = |channels: usize| {
        format!(
            "neck=dict(type='GlobalAveragePooling'), head=dict(type='LinearClsHead', num_classes=1000, in_channels={channels})"
        )
    };
    let stacked = |channels: usize, mid: usize| {
        format!(
            "neck=dict(type='GlobalAveragePooling'), head=dict(type='StackedLinearClsHead', num_classes=1000, \
             in_channels={channels}, mid_channels=[{mid}], act_cfg=dict(type='HSwish'))"
        )
    };
    let scores = || "head=dict(type='ClsHead')".to_owned();
    let normed = |channels: usize, classes: usize| {
        format!("head=dict(type='LinearClsHead', num_classes={classes}, in_channels={channels})")
    };
    // timm's mobile families have PyTorch's epsilon unless their weights were converted from TensorFlow.
    let epsilon = if source == Source::Timm { ", norm_cfg=dict(type='BN', eps=1e-5)" } else { "" };
    let (class, args, rest) = match model {
        "resnet18" => ("ResNet", "depth=18".into(), linear(512)),
        "seresnet50" => ("SEResNet", "depth=50".into(), linear(2048)),
        "resnext50_32x4d" => ("ResNeXt", "depth=50, groups=32, width_per_group=4".into(), linear(2048)),
        "wide_resnet50_2" => ("ResNet", "depth=50, base_channels=128, expansion=2".into(), linear(2048)),
        "vgg11" => ("VGG", "depth=11, num_classes=1000".into(), "head=dict(type='ClsHead')".into()),
        "vgg11_bn" => (
            "VGG",
            "depth=11, num_classes=1000, norm_cfg=dict(type='BN')".into(),
            "head=dict(type='ClsHead')".into(),
        ),
        "mobilenet_v2" | "mobilenetv2_100" => ("MobileNetV2", "widen_factor=1.0".into(), linear(1280)),
        "mobilenet_v3_small" => ("MobileNetV3", "arch='small'".into(), stacked(576, 1024)),
        "mobilenet_v3_large" | "mobilenetv3_large_100" => {
            ("MobileNetV3", format!("arch='large'{epsilon}"), stacked(960, 1280))
        }
        "shufflenet_v2_x1_0" => ("ShuffleNetV2", "widen_factor=1.0".into(), linear(1024)),
        "densenet121" => ("DenseNet", "arch='121'".into(), linear(1024)),
        "regnet_x_800mf" => ("RegNet", "arch='regnetx_800mf'".into(), linear(672)),
        "regnetx_004" => ("RegNet", "arch='regnetx_400mf'".into(), linear(384)),
        "efficientnet_b0" => (
            "EfficientNet",
            "arch='b0', conv_cfg=None, norm_cfg=dict(type='BN', eps=1e-5)".into(),
            linear(1280),
        ),
        "efficientnet_lite0" => (
            "EfficientNet",
            "arch='lite0', conv_cfg=None, norm_cfg=dict(type='BN', eps=1e-5)".into(),
            linear(1280),
        ),
        "vit_b_16" | "vit_base_patch16_224" => (
            "VisionTransformer",
            "arch='b'".into(),
            "head=dict(type='VisionTransformerClsHead', num_classes=1000, in_channels=768)".into(),
        ),
        "deit_tiny_distilled_patch16_224" => (
            "DistilledVisionTransformer",
            "arch='deit-tiny'".into(),
            "head=dict(type='DeiTClsHead', num_classes=1000, in_channels=192)".into(),
        ),
        "alexnet" => ("AlexNet", "num_classes=1000".into(), scores()),
        "convnext_of_two_stages" => {
            ("ConvNeXt", "arch=dict(depths=[1, 2], channels=[16, 32])".into(), normed(32, 10))
        }
        "convnext_of_four_stages" => (
            "ConvNeXt",
            "arch=dict(depths=[1, 1, 2, 1], channels=[16, 32, 48, 64])".into(),
            normed(64, 10),
        ),
        "convnext_tiny" => ("ConvNeXt", "arch='tiny'".into(), normed(768, 1000)),
        "convnext_atto" => ("ConvNeXt", "arch='atto', linear_pw_conv=False".into(), normed(320, 1000)),
        "googlenet" => ("GoogLeNet", "num_classes=1000".into(), scores()),
        "inception_v3" => {
            let aux = if source == Source::Torchvision { "True" } else { "False" };
            ("InceptionV3", format!("num_classes=1000, aux_logits={aux}"), scores())
        }
        "mnasnet0_5" | "mnasnet_050" => ("MNASNet", "alpha=0.5".into(), scores()),
        "squeezenet1_1" => ("SqueezeNet", "version='1_1'".into(), scores()),
        "swin_t" => ("SwinTransformer", "arch='tiny'".into(), linear(768)),
        "swin_of_three_stages" => (
            "SwinTransformer",
            "arch=dict(embed_dims=32, depths=[2, 2, 2], num_heads=[1, 2, 4]), img_size=64, window_size=4, \
             out_indices=(2,)"
                .into(),
            "neck=dict(type='GlobalAveragePooling'), head=dict(type='LinearClsHead', num_classes=10, in_channels=128)"
                .into(),
        ),
        other => panic!("no config for {other}"),
    };
    (class, format!("dict(type='ImageClassifier', backbone=dict(type='{class}', {args}), {rest})"))
}

fn check(source: Source, file: &str) {
    let text = std::fs::read_to_string(workspace().join("tests/golden").join(file)).unwrap();
    let rows: serde_json::Value = serde_json::from_str(&text).unwrap();
    let mut with_numbers = 0;
    for row in rows.as_array().unwrap() {
        let name = row["model"].as_str().unwrap();
        let (class, config) = config(name, source);
        let logits = row["logits"].as_array();
        let state: Weights = named_shapes(&row["state_dict"])
            .into_iter()
            .map(|(name, shape)| {
                let array = match logits {
                    Some(_) if !name.ends_with("relative_position_index") => parameter(&name, &shape),
                    _ => Array::new(shape.clone(), Data::I8(vec![0; shape.iter().product()])).unwrap(),
                };
                (name, array)
            })
            .collect();
        let (weights, unknown) = rename(source, class, &state).unwrap();
        assert!(unknown.is_empty(), "{name}: {unknown:?}");
        let model = parsed(&config);
        // Models of sizes that no library has are of no architecture.
        let arch = (!name.contains("_of_")).then_some(name);
        if let Some(name) = arch {
            let family = backbone_of(source, name).unwrap();
            assert_eq!(
                rename(source, family, &state).unwrap().0.keys().collect::<Vec<_>>(),
                weights.keys().collect::<Vec<_>>()
            );
        }
        names::check(source, class, arch, &model.graph, "").unwrap();
        let fit = occam_graph::fit(&model.graph, &weights).unwrap();
        assert!(fit.is_exact(), "{name}: {:?} {:?} {:?}", fit.missing, fit.unexpected, fit.mismatched);

        let Some(logits) = logits else { continue };
        let wanted: Vec<f64> = logits.iter().map(|x| x.as_f64().unwrap()).collect();
        let cpu = Device::cpu();
        let params = Params::new(&model.graph, &weights, &cpu).unwrap();
        let input = Tensor::from_array(&fill("input", &sizes(&row["input"]), -2.0, 2.0), &cpu).unwrap();
        let executor = Executor::new(Arc::new(model.graph)).unwrap();
        let out = executor.run(&params.constants(), &[input], &Request::default()).unwrap();
        let found = values(&out.outputs[0].to_array().unwrap());
        assert_close(name, &found[..wanted.len()], &wanted, 1e-4);
        with_numbers += 1;
    }
    assert!(with_numbers >= 3, "{with_numbers}");
}

#[test]
fn torchvision() {
    check(Source::Torchvision, "names_torchvision.json");
}

#[test]
fn timm() {
    check(Source::Timm, "names_timm.json");
}

/// The original authors' files join patches at the end of a stage, timm's at the beginning of the next one.
#[test]
fn both_orders_of_joined_patches_are_known() {
    let text = std::fs::read_to_string(workspace().join("tests/golden/names_timm.json")).unwrap();
    let rows: serde_json::Value = serde_json::from_str(&text).unwrap();
    let row = rows.as_array().unwrap().iter().find(|r| r["model"] == "swin_of_three_stages").unwrap();
    let ours: Weights = named_shapes(&row["state_dict"])
        .into_iter()
        .map(|(n, shape)| (n.clone(), parameter(&n, &shape)))
        .collect();
    let mut older = Weights::new();
    for (name, array) in &ours {
        let earlier = ["layers.1.", "layers.2."].iter().enumerate().find_map(|(i, start)| {
            Some(format!("layers.{i}.{}", name.strip_prefix(start).filter(|r| r.starts_with("downsample."))?))
        });
        older.insert(earlier.unwrap_or_else(|| name.replace("head.fc.", "head.")), array.clone());
    }
    older.insert("layers.0.blocks.1.attn_mask".into(), Array::full([16, 16, 16], 0.0));
    let (mut found, unknown) = rename(Source::Timm, "SwinTransformer", &older).unwrap();
    assert!(unknown.is_empty(), "{unknown:?}");
    assert!(found.shift_remove("backbone.stages.0.blocks.1.attn.attn_mask").is_some());
    assert_eq!(found, rename(Source::Timm, "SwinTransformer", &ours).unwrap().0);
}

/// No name and no shape shows what is added to variances, and how images are padded: the model must do what the library's does.
#[test]
fn what_weights_do_not_show_is_compared() {
    let (timm, torchvision) = (Source::Timm, Source::Torchvision);
    let mobile = |more: &str| {
        format!(
            "dict(type='ImageClassifier', backbone=dict(type='MobileNetV3', arch='small'{more}), \
             neck=dict(type='GlobalAveragePooling'), head=dict(type='StackedLinearClsHead', num_classes=10, \
             in_channels=576, mid_channels=[1024], act_cfg=dict(type='HSwish')))"
        )
    };
    let efficient = |more: &str| {
        format!(
            "dict(type='ImageClassifier', backbone=dict(type='EfficientNet', arch='b0'{more}), \
             neck=dict(type='GlobalAveragePooling'), head=dict(type='LinearClsHead', num_classes=10, in_channels=1280))"
        )
    };
    let even = ", conv_cfg=None, norm_cfg=dict(type='BN', eps=1e-5)";
    let small = ", norm_cfg=dict(type='BN', eps=1e-5)";
    let (v3, b) = ("MobileNetV3", "EfficientNet");
    for (source, class, arch, config, wanted) in [
        (timm, v3, Some("mobilenetv3_small_100.lamb_in1k"), mobile(small), ""),
        (timm, v3, None, mobile(small), ""),
        (timm, v3, None, mobile(""), "has eps 1e-3"),
        (torchvision, v3, Some("mobilenet_v3_small"), mobile(""), ""),
        (torchvision, v3, None, mobile(small), "has eps 1e-5"),
        (timm, b, Some("efficientnet_b0"), efficient(even), ""),
        (timm, b, Some("efficientnet_b0"), efficient(small), "pads adaptively"),
        (timm, b, Some("efficientnet_b0"), efficient(", conv_cfg=None"), "has eps 1e-3"),
        (timm, b, Some("tf_efficientnet_b0"), efficient(""), ""),
        (timm, b, Some("tf_efficientnet_b0"), efficient(even), "has eps 1e-5"),
        (timm, b, Some("tf_efficientnet_b0"), efficient(", conv_cfg=None"), "even on both sides"),
        (timm, b, None, efficient(""), "the names do not say which EfficientNet of timm"),
        (torchvision, b, Some("efficientnet_b0"), efficient(even), ""),
        (torchvision, b, Some("efficientnet_b5"), efficient(", conv_cfg=None"), ""),
        (Source::EfficientnetPytorch, b, None, efficient(""), ""),
        (Source::Mmcls, b, None, efficient(even), ""),
    ] {
        let graph = parsed(&config).graph;
        match names::check(source, class, arch, &graph, "") {
            Ok(()) => assert_eq!(wanted, "", "{source} {arch:?} {config}"),
            Err(e) => assert!(!wanted.is_empty() && e.to_string().contains(wanted), "{arch:?} {config}: {e}"),
        }
    }
    // Layers elsewhere are not the weights'.
    let graph = parsed(&mobile("")).graph;
    assert!(names::check(timm, v3, None, &graph, "teacher.").is_ok());
}

#[test]
fn unknown_families_are_told() {
    let error = backbone_of(Source::Timm, "resnte18").unwrap_err().to_string();
    assert!(error.contains("no architecture `resnte18`"), "{error}");
    let none = Weights::new();
    let error = rename(Source::Timm, "ShuffleNetV1", &none).unwrap_err().to_string();
    assert!(error.contains("no names of other libraries for `ShuffleNetV1`"), "{error}");
    assert!(rename(Source::EfficientnetPytorch, "VGG", &none).is_err());
    assert!(rename(Source::Mmcls, "Anything", &none).is_ok());
}

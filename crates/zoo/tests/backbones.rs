//! VGG, MobileNetV2 and ShuffleNetV2 against the original: same weights, same input. Made by
//! `tools/golden/backbones.py`.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{check_packed, features, input_shape, model, norm, parsed, registry};
use occam_config::{Loader, Value};
use occam_data::Seed;
use occam_graph::{Bindings, Fact};
use occam_testing::{Golden, relative_error, values, workspace};
use occam_zoo::{Backbone, Net, initialize};

fn check(name: &str) {
    let golden = Golden::load(name);
    check_packed(model(&Value::from_json(&golden.json("config"))), &golden);
}

#[test]
fn vgg_is_the_originals() {
    check("vgg11");
}

#[test]
fn mobilenet_v2_is_the_originals() {
    check("mobilenet_v2");
}

#[test]
fn shufflenet_v2_is_the_originals() {
    check("shufflenet_v2");
}

/// Options of the families: features of all stages that are returned, and how many parameters there are.
#[test]
fn variants_are_the_originals() {
    let golden = Golden::load("backbone_variants");
    let mut compared = 0;
    for (name, variant) in golden.json("variants").as_object().unwrap() {
        let config = Value::from_json(&variant["backbone"]);
        let (found, count) = features(&config, &input_shape(&variant["input"]));
        assert_eq!(count, variant["parameters"].as_u64().unwrap(), "{name}");
        for (i, tensor) in found.iter().enumerate() {
            let wanted = golden.get(&format!("{name}.{i}"));
            assert_eq!(tensor.shape(), wanted.shape(), "{name}.{i}");
            let error = relative_error(&values(&tensor.to_array().unwrap()), &values(wanted));
            assert!(error < 1e-4, "{name}.{i}: {error:.2e}");
            compared += 1;
        }
    }
    assert_eq!(compared, golden.keys().count());
}

/// The models in `configs/_base_/models`: the values of mmcls' files of the same names, and the parameters and
/// multiply-accumulates that hooks count on the convolutions and linear layers of what mmcls builds from them. Made by
/// `tools/golden/families.py`.
#[test]
fn model_configs_are_the_originals() {
    let path = workspace().join("tests/golden/model_configs.json");
    let rows: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let rows = rows.as_array().unwrap();
    assert!(rows.len() >= 35);
    for row in rows {
        let (name, size) = (row["name"].as_str().unwrap(), row["size"].as_u64().unwrap() as usize);
        let file = workspace().join(format!("configs/_base_/models/{name}.py"));
        let config = Loader::new().load(&file).unwrap();
        let tree = config.get("model").unwrap();
        assert_eq!(serde_json::to_value(tree).unwrap(), row["model"], "{name}");
        let model = model(tree);
        let bindings = Bindings::from([("N".into(), 1), ("H".into(), size), ("W".into(), size)]);
        let cost = model.graph.cost(&bindings).unwrap();
        let wanted = (row["params"].as_u64().unwrap(), row["macs"].as_u64().unwrap());
        assert_eq!((cost.params, cost.total.macs), wanted, "{name}");
    }
}

#[test]
fn first_values_follow_the_original() {
    let of = |backbone: &str, in_channels: usize| {
        parsed(&format!(
            "dict(type='ImageClassifier', backbone={backbone}, neck=dict(type='GlobalAveragePooling'), \
             head=dict(type='LinearClsHead', num_classes=10, in_channels={in_channels}))"
        ))
    };
    let deviation = |backbone: &str, channels: usize, key: &str| {
        let model = of(backbone, channels);
        let weights = initialize(&model.graph, &model.inits, Seed(0)).unwrap();
        let v = values(&weights[key]);
        norm(&v) / (v.len() as f64).sqrt()
    };
    let cases = [
        // Kaiming's rule for the way back: two over output channels times taps.
        ("dict(type='VGG', depth=11)", 512, "backbone.features.7.conv.weight", (2.0 / 4608.0f64).sqrt()),
        ("dict(type='VGG', depth=11)", 512, "backbone.features.0.conv.bias", 0.0),
        ("dict(type='MobileNetV2')", 1280, "backbone.layer5.0.conv.1.conv.weight", (2.0 / 3456.0f64).sqrt()),
        ("dict(type='ShuffleNetV2')", 1024, "backbone.conv1.conv.weight", 0.01),
        ("dict(type='ShuffleNetV2')", 1024, "backbone.layers.3.conv.weight", 1.0 / 464.0),
        ("dict(type='ShuffleNetV2')", 1024, "backbone.layers.1.0.branch2.1.conv.weight", 1.0),
        ("dict(type='ShuffleNetV2')", 1024, "backbone.layers.1.0.branch2.1.bn.bias", 1e-4),
    ];
    for (backbone, channels, key, wanted) in cases {
        let found = deviation(backbone, channels, key);
        assert!((found - wanted).abs() <= 0.06 * wanted, "{key}: {found} of {wanted}");
    }
}

#[test]
fn what_is_not_supported_is_said() {
    let cases = [
        ("dict(type='VGG', depth=12)", "depth 12"),
        ("dict(type='VGG', depth=11, num_stages=3, dilations=(1, 1, 1))", "out_indices"),
        ("dict(type='VGG', depth=11, dilations=(1, 1))", "dilations"),
        ("dict(type='VGG', depth=11, act_cfg=dict(type='Mish'))", "Mish"),
        ("dict(type='VGG', depth=11, norm_cfg=dict(type='GN'))", "GN"),
        ("dict(type='MobileNetV2', widen_factor=0.0)", "widen_factor"),
        ("dict(type='MobileNetV2', out_indices=(8,))", "out_indices"),
        ("dict(type='ShuffleNetV2', widen_factor=0.75)", "0.5, 1.0, 1.5 or 2.0"),
        ("dict(type='ShuffleNetV2', frozen_stages=4)", "frozen_stages"),
        ("dict(type='ShuffleNetV2', conv_cfg=dict(type='Conv2d'))", "conv_cfg"),
    ];
    for (text, wanted) in cases {
        let value = Loader::new().load_str("model.py", &format!("model = {text}")).unwrap();
        let error = registry().build::<dyn Backbone>(value.get("model").unwrap()).err().unwrap();
        assert!(error.to_string().contains(wanted), "{error}");
    }
}

#[test]
fn widths_beyond_all_memory_are_errors() {
    for factor in ["1e6", "1e18", "1e300"] {
        let text = format!("model = dict(type='MobileNetV2', widen_factor={factor})");
        let value = Loader::new().load_str("model.py", &text).unwrap();
        let backbone = registry().build::<dyn Backbone>(value.get("model").unwrap()).unwrap();
        let mut net = Net::new();
        let x = net.input("input", Fact::f32([1usize, 3, 32, 32])).unwrap();
        if backbone.build(&mut net, x).is_ok() {
            let (builder, inits) = net.into_parts();
            let error = initialize(&builder.finish().unwrap(), &inits, Seed(0)).unwrap_err();
            assert!(error.to_string().contains("parameters"), "{error}");
        }
    }
}

//! MobileNetV3, DenseNet, ShuffleNetV1 and EfficientNet against the original: same weights, same input. Made by
//! `tools/golden/architectures.py`.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{check_packed, features, input_shape, model, parsed, registry};
use occam_config::{Loader, Value};
use occam_data::Seed;
use occam_graph::{Dim, Fact};
use occam_testing::{Golden, fnv1a, relative_error, values, workspace};
use occam_zoo::{Backbone, Net, initialize};

fn check(name: &str) {
    let golden = Golden::load(name);
    check_packed(model(&Value::from_json(&golden.json("config"))), &golden);
}

#[test]
fn mobilenet_v3_is_the_originals() {
    check("mobilenet_v3");
}

#[test]
fn densenet_is_the_originals() {
    check("densenet");
}

#[test]
fn shufflenet_v1_is_the_originals() {
    check("shufflenet_v1");
}

#[test]
fn efficientnet_is_the_originals() {
    check("efficientnet");
}

/// Options of the families: all features that are returned, and how many parameters there are.
#[test]
fn variants_are_the_originals() {
    let golden = Golden::load("architecture_variants");
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

/// Every architecture that a family knows by name has the original's parameters: how many elements, and all names and
/// shapes.
#[test]
fn architectures_have_the_originals_parameters() {
    let text = std::fs::read_to_string(workspace().join("tests/golden/architectures.json")).unwrap();
    let rows: serde_json::Value = serde_json::from_str(&text).unwrap();
    for row in rows.as_array().unwrap() {
        let backbone = registry().build::<dyn Backbone>(&Value::from_json(&row["backbone"])).unwrap();
        let mut net = Net::new();
        let [height, width] = backbone.image_size().unwrap_or([224, 224]);
        let shape = [Dim::symbol("N"), backbone.in_channels().into(), height.into(), width.into()];
        let x = net.input("input", Fact::f32(shape)).unwrap();
        backbone.build(&mut net, x).unwrap();
        let graph = net.into_parts().0.finish().unwrap();
        let mut lines: Vec<String> = graph
            .params()
            .map(|(_, v)| {
                let sizes: Vec<String> = v.fact.shape.iter().map(ToString::to_string).collect();
                format!("{} {}\n", v.name, sizes.join(","))
            })
            .collect();
        lines.sort();
        let of_row = |key: &str| row[key].as_u64().unwrap();
        let found = graph.cost(&[("N".to_owned(), 1)].into()).unwrap().params;
        assert_eq!((found, lines.len() as u64), (of_row("parameters"), of_row("keys")), "{row}");
        assert_eq!(format!("{:016x}", fnv1a(&lines.concat())), row["digest"].as_str().unwrap(), "{row}");
    }
}

/// The graphs take images of any size where the original does.
#[test]
fn image_sizes_stay_symbols() {
    let config = "dict(type='ImageClassifier', backbone=dict(type='EfficientNet'), \
                  neck=dict(type='GlobalAveragePooling'), \
                  head=dict(type='LinearClsHead', num_classes=10, in_channels=1280))";
    let graph = parsed(config).graph;
    let fact = &graph.value(graph.inputs()[0]).unwrap().fact;
    assert_eq!(fact.to_string(), "f32[N, 3, H, W]");
}

#[test]
fn first_values_follow_the_original() {
    let deviation = |backbone: &str, channels: usize, key: &str| {
        let model = parsed(&format!(
            "dict(type='ImageClassifier', backbone={backbone}, neck=dict(type='GlobalAveragePooling'), \
             head=dict(type='LinearClsHead', num_classes=10, in_channels={channels}))"
        ));
        let weights = initialize(&model.graph, &model.inits, Seed(0)).unwrap();
        let v = values(&weights[key]);
        (v.iter().map(|x| x * x).sum::<f64>() / v.len() as f64).sqrt()
    };
    let (mobile, dense, shuffle) =
        ("dict(type='MobileNetV3')", "dict(type='DenseNet')", "dict(type='ShuffleNetV1')");
    let cases = [
        (mobile, 576, "backbone.layer12.conv.weight", (2.0 / 576.0f64).sqrt()),
        (mobile, 576, "backbone.layer4.se.conv1.conv.bias", 0.0),
        // Uniform in ±1 / √fan_in.
        (dense, 1024, "backbone.stages.0.block.0.conv2.weight", (1.0 / (3.0 * 9.0 * 128.0f64)).sqrt()),
        (shuffle, 960, "backbone.conv1.conv.weight", 0.01),
        (shuffle, 960, "backbone.layers.1.0.g_conv_1x1_compress.conv.weight", 1.0 / 80.0),
        (shuffle, 960, "backbone.layers.1.0.g_conv_1x1_compress.bn.bias", 1e-4),
    ];
    for (backbone, channels, key, wanted) in cases {
        let found = deviation(backbone, channels, key);
        assert!((found - wanted).abs() <= 0.06 * wanted, "{key}: {found} of {wanted}");
    }
}

#[test]
fn what_is_not_supported_is_said() {
    let cases = [
        ("dict(type='MobileNetV3', arch='smal')", "Did you mean `small`"),
        ("dict(type='MobileNetV3', out_indices=(13,))", "from 0 to 12"),
        ("dict(type='DenseNet', arch='122')", "Did you mean `12"),
        ("dict(type='DenseNet', arch=dict(growth_rate=8))", "depths"),
        ("dict(type='DenseNet', out_indices=4)", "out_indices"),
        ("dict(type='ShuffleNetV1', groups=5)", "1, 2, 3, 4 or 8"),
        ("dict(type='ShuffleNetV1', widen_factor=0.01)", "widen_factor"),
        ("dict(type='EfficientNet', arch='b9')", "b0, b1"),
        ("dict(type='EfficientNet', conv_cfg=dict(type='Conv3d'))", "Conv3d"),
        ("dict(type='EfficientNet', out_indices=(7,))", "out_indices"),
    ];
    for (text, wanted) in cases {
        let value = Loader::new().load_str("model.py", &format!("model = {text}")).unwrap();
        let error = registry().build::<dyn Backbone>(value.get("model").unwrap()).err().unwrap();
        assert!(error.to_string().contains(wanted), "{error}");
    }
    for text in ["dict(type='DenseNet', drop_rate=0.1)", "dict(type='EfficientNet', drop_path_rate=0.2)"] {
        let value = Loader::new().load_str("model.py", &format!("model = {text}")).unwrap();
        let backbone = registry().build::<dyn Backbone>(value.get("model").unwrap()).unwrap();
        let mut net = Net::new();
        let x = net.input("input", Fact::f32([1usize, 3, 64, 64])).unwrap();
        let error = backbone.build(&mut net, x).unwrap_err().to_string();
        assert!(error.contains("set the rate to 0"), "{error}");
    }
}

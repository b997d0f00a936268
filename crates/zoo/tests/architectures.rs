//! MobileNetV3, networks with squeeze and excitation, RegNet, DenseNet, ShuffleNetV1, EfficientNet, AlexNet, Inception v3,
//! ConvNeXt, Swin and vision transformers, SqueezeNet, MNASNet and GoogLeNet against the originals: same weights, same input. Made by
//! `tools/golden/architectures.py`, the last three by `tools/golden/torchvision_families.py`.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{check_packed, check_packed_in_evaluation, features, input_shape, model, parsed, registry};
use occam_config::{Loader, Value};
use occam_data::Seed;
use occam_graph::{Dim, Fact, Role};
use occam_testing::{Golden, fnv1a, relative_error, values, workspace};
use occam_zoo::{Backbone, Net, initialize};

fn check(name: &str) {
    let golden = Golden::load(name);
    check_packed(model(&Value::from_json(&golden.json("config"))), &golden);
}

/// With the gradients of evaluation: in training, norm layers amplify rounding too much.
fn check_in_evaluation(name: &str) {
    let golden = Golden::load(name);
    check_packed_in_evaluation(model(&Value::from_json(&golden.json("config"))), &golden);
}

#[test]
fn convnext_is_the_originals() {
    check("convnext");
}

#[test]
fn swin_transformer_is_the_originals() {
    check("swin_transformer");
}

#[test]
fn alexnet_is_the_originals() {
    check("alexnet");
}

#[test]
fn inception_v3_is_the_originals() {
    check_in_evaluation("inception_v3");
}

#[test]
fn efficientnet_lite_is_the_originals() {
    check_in_evaluation("efficientnet_lite");
}

#[test]
fn squeezenet_is_torchvisions() {
    check("squeezenet");
}

#[test]
fn mnasnet_is_torchvisions() {
    check_in_evaluation("mnasnet");
}

#[test]
fn googlenet_is_torchvisions() {
    check_in_evaluation("googlenet");
}

#[test]
fn mobilenet_v3_is_the_originals() {
    check("mobilenet_v3");
}

#[test]
fn seresnet_is_the_originals() {
    check("seresnet");
}

#[test]
fn regnet_is_the_originals() {
    check("regnet");
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

#[test]
fn vision_transformer_is_the_originals() {
    check("vision_transformer");
}

#[test]
fn deit_is_the_originals() {
    check("deit");
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

/// Every architecture that a family knows by name has the original's parameters: how many elements, how many of them
/// learn, and all names and shapes.
#[test]
fn architectures_have_the_originals_parameters() {
    let rows = ["architectures", "torchvision_architectures"].into_iter().flat_map(|name| {
        let path = workspace().join(format!("tests/golden/{name}.json"));
        let rows: Vec<serde_json::Value> =
            serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        rows
    });
    for row in rows {
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
        let learned: u64 = graph
            .params()
            .filter(|(_, v)| v.role() == Some(Role::Weight) && !v.frozen)
            .map(|(_, v)| v.fact.numel(&Default::default()).unwrap())
            .sum();
        assert_eq!(learned, row["learned"].as_u64().unwrap(), "{row}");
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

const VIT: &str = "dict(type='ImageClassifier', backbone=dict(type='VisionTransformer', arch='deit-tiny', \
                   img_size=(48, 64)), head=dict(type='VisionTransformerClsHead', num_classes=10, in_channels=192, \
                   hidden_dim=100))";

/// Positions are learned for one size of images; the graph says which.
#[test]
fn transformers_take_one_size() {
    let graph = parsed(VIT).graph;
    let fact = |v| graph.value(v).unwrap().fact.to_string();
    assert_eq!(fact(graph.inputs()[0]), "f32[N, 3, 48, 64]");
    assert_eq!(fact(graph.find("backbone.layers.3.attn.softmax").unwrap()), "f32[N, 3, 13, 13]");
    assert_eq!(fact(graph.outputs()[0].1), "f32[N, 10]");
}

/// Multiply-accumulates of DeiT-Ti: 12 layers of `12 · C² · L + 2 · C · L²`, the patches and the head.
#[test]
fn attention_is_counted() {
    let text = "dict(type='ImageClassifier', backbone=dict(type='VisionTransformer', arch='deit-tiny'), \
                head=dict(type='VisionTransformerClsHead', num_classes=1000, in_channels=192))";
    let (c, l) = (192u64, 197u64);
    let wanted = 12 * (12 * c * c * l + 2 * c * l * l) + 196 * 768 * c + 1000 * c;
    let cost = parsed(text).graph.cost(&[("N".to_owned(), 1)].into()).unwrap();
    assert_eq!((cost.params, cost.total.macs), (5_717_416, wanted));
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
    let vit = parsed(VIT);
    let weights = initialize(&vit.graph, &vit.inits, Seed(0)).unwrap();
    let cases_of_vit = [
        ("backbone.cls_token", 0.0),
        ("backbone.pos_embed", 0.02),
        ("backbone.patch_embed.projection.weight", (1.0 / (3.0 * 768.0f64)).sqrt()),
        ("backbone.layers.1.attn.qkv.bias", (1.0 / (3.0 * 192.0f64)).sqrt()),
        ("backbone.layers.1.ffn.layers.1.weight", (2.0 / 960.0f64).sqrt()),
        ("backbone.layers.1.ffn.layers.0.0.bias", 1e-6),
        ("head.layers.pre_logits.weight", (1.0 / 192.0f64).sqrt()),
        ("head.layers.head.weight", 0.0),
    ];
    for (key, wanted) in cases_of_vit {
        let v = values(&weights[key]);
        let found = (v.iter().map(|x| x * x).sum::<f64>() / v.len() as f64).sqrt();
        assert!((found - wanted).abs() <= 0.06 * wanted, "{key}: {found} of {wanted}");
    }
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
        ("dict(type='EfficientNet', arch='lite5')", "Did you mean `lite"),
        ("dict(type='AlexNet', num_class=10)", "num_class"),
        ("dict(type='ConvNeXt', use_grn=True)", "use_grn"),
        ("dict(type='ConvNeXt', arch='tinny')", "Did you mean `tiny`"),
        ("dict(type='ConvNeXt', arch=dict(depths=[1], channels=[1, 2]))", "equally many"),
        ("dict(type='ConvNeXt', norm_cfg=dict(type='LN'))", "unknown value"),
        ("dict(type='ConvNeXt', frozen_stages=5)", "frozen_stages"),
        ("dict(type='SwinTransformer', arch='tny')", "Did you mean `tiny`"),
        ("dict(type='SwinTransformer', img_size=112)", "pad_small_map"),
        ("dict(type='SwinTransformer', window_size=0)", "window_size"),
        ("dict(type='SwinTransformer', frozen_stages=4)", "from -1 to 3"),
        ("dict(type='SwinTransformer', arch=dict(embed_dims=8, depths=[1], num_heads=[]))", "equally many"),
        ("dict(type='SwinTransformer', stage_cfgs=dict(downsample_cfg=dict()))", "downsample_cfg"),
        ("dict(type='InceptionV3', num_classes=0)", "at least 1"),
        ("dict(type='InceptionV3', aux_logit=True)", "aux_logit"),
        ("dict(type='SqueezeNet', version='1_2')", "Did you mean `1_"),
        ("dict(type='MNASNet')", "alpha"),
        ("dict(type='MNASNet', alpha=0)", "above 0"),
        ("dict(type='GoogLeNet', transform_input=True)", "data_preprocessor"),
        ("dict(type='VisionTransformer', arch='deit-smal')", "Did you mean `deit-small`"),
        ("dict(type='VisionTransformer', arch=dict(embed_dims=8))", "num_layers"),
        ("dict(type='VisionTransformer', with_cls_token=False)", "output_cls_token"),
        ("dict(type='VisionTransformer', layer_cfgs=[dict()])", "12 layers"),
        ("dict(type='VisionTransformer', norm_cfg=dict(type='BN'))", "BN"),
        ("dict(type='VisionTransformer', img_size=8, patch_cfg=dict(padding=0))", "larger than"),
        ("dict(type='VisionTransformer', frozen_stages=13)", "frozen_stages"),
        ("dict(type='DenseNet', frozen_stages=5)", "frozen_stages"),
        ("dict(type='SEResNet', depth=18)", "50, 101, 152"),
        ("dict(type='SEResNet', depth=50, groups=32)", "groups"),
        ("dict(type='SEResNeXt', depth=50, se_ratio=0)", "se_ratio"),
        ("dict(type='RegNet')", "arch"),
        ("dict(type='RegNet', arch='regnetx_2gf')", "regnetx_1.6gf"),
        ("dict(type='RegNet', arch='regnetx_400mf', strides=(2, 2))", "4 stages"),
        ("dict(type='RegNet', arch='regnetx_400mf', deep_stem=True)", "deep_stem"),
        (
            "dict(type='RegNet', arch=dict(w0=9, wa=1.0, wm=2.0, depth=4, group_w=4, bot_mul=1.0))",
            "multiple of 8",
        ),
    ];
    for (text, wanted) in cases {
        let value = Loader::new().load_str("model.py", &format!("model = {text}")).unwrap();
        let error = registry().build::<dyn Backbone>(value.get("model").unwrap()).err().unwrap();
        assert!(error.to_string().contains(wanted), "{error}");
    }
}

/// Every model in `configs/_base_/models` is built; in training its dropout and drop path are part of the graph.
#[test]
fn base_configs_are_built() {
    let mut files = Vec::new();
    let mut folders = vec![workspace().join("configs/_base_/models")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    assert!(files.len() > 40, "{}", files.len());
    for file in files {
        let config = Loader::new().load(&file).unwrap();
        let graph = model(config.get("model").unwrap()).graph;
        let fact = &graph.value(graph.outputs()[0].1).unwrap().fact;
        assert!(["f32[N, 1000]", "f32[N, 10]"].contains(&fact.to_string().as_str()), "{file:?}: {fact}");
        let drops = graph.nodes().filter(|(_, n)| n.op.family_name() == "Dropout").count();
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        if let Some(wanted) = [("vit-base-p16", 37), ("mobilenet_v3_large_imagenet", 1)]
            .iter()
            .find_map(|(n, drops)| (*n == name).then_some(*drops))
        {
            // After the positions; in every layer after the attention and twice behind it.
            assert_eq!(drops, wanted, "{name}");
        }
    }
}

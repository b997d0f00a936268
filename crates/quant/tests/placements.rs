//! Quantizers round what the original's do: `tools/golden/quant_placements.py`.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet, HashMap};

use occam_config::{Loader, Registry};
use occam_graph::ops::Activation;
use occam_graph::{Graph, NodeId, Op, Source, ValueId};
use occam_quant::quantizers::{Placed, Quantizer};
use occam_testing::workspace;
use occam_zoo::Architecture;

fn registry() -> Registry {
    let mut registry = Registry::new();
    occam_zoo::register(&mut registry);
    occam_quant::register(&mut registry);
    registry
}

fn model(backbone: &str, channels: usize) -> Graph {
    let text = format!(
        "x = dict(type='ImageClassifier', backbone={backbone}, neck=dict(type='GlobalAveragePooling'), \
         head=dict(type='LinearClsHead', num_classes=10, in_channels={channels}, loss=dict(type='CrossEntropyLoss')))\n"
    );
    let config = Loader::new().load_str("model.py", &text).unwrap();
    let built = registry().build::<dyn Architecture>(config.get("x").unwrap()).unwrap();
    built.build().unwrap().graph
}

fn qconfig(qdtype: &str, bit: u32) -> String {
    format!(
        "dict(w_observer=dict(type='mmrazor.PerChannelMinMaxObserver'), \
         a_observer=dict(type='mmrazor.MovingAverageMinMaxObserver'), w_fake_quant=dict(type='mmrazor.FakeQuantize'), \
         a_fake_quant=dict(type='mmrazor.FakeQuantize'), \
         w_qscheme=dict(qdtype='qint8', bit={bit}, is_symmetry=True, is_symmetric_range=True), \
         a_qscheme=dict(qdtype='{qdtype}', bit={bit}, is_symmetry=True, averaging_constant=0.1))"
    )
}

fn quantizer(name: &str, qdtype: &str) -> Box<dyn Quantizer> {
    let qconfig = qconfig(qdtype, 8);
    let tracer = "tracer=dict(type='mmrazor.CustomTracer', \
                  skipped_methods=['mmcls.models.heads.ClsHead._get_loss'])";
    let keys = match name {
        "AcademicQuantizer" => format!("qconfig_mapping=dict(_global_={qconfig})"),
        _ => format!("global_qconfig={qconfig}"),
    };
    built(&format!("dict(type='mmrazor.{name}', {keys}, {tracer})"))
}

fn built(text: &str) -> Box<dyn Quantizer> {
    let config = Loader::new().load_str("quantizer.py", &format!("x = {text}\n")).unwrap();
    registry().build::<dyn Quantizer>(config.get("x").unwrap()).unwrap()
}

/// The golden's names of nodes: the layer's path, the module's, or the function's with its number.
fn names(graph: &Graph) -> HashMap<NodeId, String> {
    let (mut sums, mut views) = (0, 0);
    let mut found: HashMap<NodeId, String> = HashMap::new();
    for id in graph.order().unwrap() {
        let node = graph.node(id).unwrap();
        let before = || match graph.value(node.inputs[0]).unwrap().source {
            Source::Node(node, _) => Some(node),
            _ => None,
        };
        let name = match &node.op {
            Op::Conv(_) | Op::Linear(_) => {
                let weight = &graph.value(node.inputs[1]).unwrap().name;
                weight.strip_suffix(".weight").unwrap().to_owned()
            }
            Op::BatchNorm(_) => found[&before().unwrap()].clone(),
            Op::Activation(Activation::Relu) => found[&before().unwrap()].clone(),
            Op::Binary(_) => {
                sums += 1;
                format!("add#{}", sums - 1)
            }
            Op::Flatten(_) => {
                views += 1;
                format!("view#{}", views - 1)
            }
            _ => node.name.clone(),
        };
        found.insert(id, name);
    }
    found
}

/// By value: who reads it rounded, the first value with the same grid, and the integers.
type Points = BTreeMap<String, (BTreeSet<String>, String, i64, i64)>;

fn points(graph: &Graph, placed: &Placed) -> Points {
    let names = names(graph);
    let called = |v: ValueId| {
        let value = graph.value(v).unwrap();
        match value.source {
            Source::Input => "inputs".to_owned(),
            Source::Node(node, _) => names[&node].clone(),
            _ => value.name.clone(),
        }
    };
    let points = &placed.placement.points;
    let of = |i: usize| {
        let point = &points[i];
        let mut readers: BTreeSet<String> = point.readers.iter().map(|(n, _)| names[n].clone()).collect();
        if placed.given.contains(&i) {
            readers.insert("output".into());
        }
        let group = called(points[placed.placement.root(i)].value);
        let (low, high) = (point.scheme.low().into(), point.scheme.high().into());
        (called(point.value), (readers, group, low, high))
    };
    (0..points.len()).map(of).collect()
}

fn golden(list: &serde_json::Value) -> Points {
    let text = |v: &serde_json::Value| v.as_str().unwrap().to_owned();
    let of = |p: &serde_json::Value| {
        let readers = p["readers"].as_array().unwrap().iter().map(text).collect();
        let (low, high) = (p["low"].as_i64().unwrap(), p["high"].as_i64().unwrap());
        (text(&p["value"]), (readers, text(&p["group"]), low, high))
    };
    list.as_array().unwrap().iter().map(of).collect()
}

/// What the original has otherwise, mended: the result of the last block is rounded for the pooling, which shares its grid.
/// In the original it is not, since `size()` is asked of it, and the pooling has the grid of a convolution before the sum.
fn mend(points: &mut Points, last: &str) {
    let (.., low, high) = points["neck.gap"];
    points.insert(last.into(), (BTreeSet::from(["neck.gap".into()]), last.into(), low, high));
    for name in ["neck.gap", "view#0"] {
        points.get_mut(name).unwrap().1 = last.into();
    }
}

#[test]
fn placements_are_the_originals() {
    let text = std::fs::read_to_string(workspace().join("tests/golden/quant_placements.json")).unwrap();
    let wanted: serde_json::Value = serde_json::from_str(&text).unwrap();
    for (name, backbone, channels, last) in [
        ("resnet18", "dict(type='ResNet', depth=18, num_stages=4, out_indices=(3, ))", 512, "add#7"),
        ("resnet50", "dict(type='ResNet', depth=50, num_stages=4, out_indices=(3, ))", 2048, "add#15"),
        ("mobilenet_v2", "dict(type='MobileNetV2', widen_factor=1.0)", 1280, "backbone.conv2.activate"),
    ] {
        let graph = model(backbone, channels);
        for (backend, class, qdtype) in [
            ("native", "TorchNativeQuantizer", "quint8"),
            ("openvino", "OpenVINOQuantizer", "quint8"),
            ("tensorrt", "TensorRTQuantizer", "qint8"),
            ("academic", "AcademicQuantizer", "quint8"),
        ] {
            let placed = quantizer(class, qdtype).place(&graph).unwrap();
            let found = points(&graph, &placed);
            let mut wanted = golden(&wanted[format!("{name}.{backend}")]);
            if ["native", "openvino"].contains(&backend) {
                mend(&mut wanted, last);
            }
            for (value, point) in &wanted {
                assert_eq!(found.get(value), Some(point), "{name}, {backend}: {value}");
            }
            let more: Vec<&String> = found.keys().filter(|v| !wanted.contains_key(*v)).collect();
            assert!(more.is_empty(), "{name}, {backend}: {more:?}");
            let layers = graph.nodes().filter(|(_, n)| matches!(n.op, Op::Conv(_) | Op::Linear(_))).count();
            assert_eq!(placed.layers.len(), layers, "{name}, {backend}");
        }
    }
}

#[test]
fn modules_and_types_have_rules_of_their_own() {
    let graph = model("dict(type='ResNet', depth=18, num_stages=4, out_indices=(3, ))", 512);
    let (eight, four) = (qconfig("quint8", 8), qconfig("quint8", 4));
    let of = |quantizer: &str| points(&graph, &built(quantizer).place(&graph).unwrap());
    let own = |keys: &str| of(&format!("dict(type='OpenVINOQuantizer', global_qconfig={eight}, {keys})"));
    let all = own("");
    assert!(all.contains_key("backbone.layer1.0.conv1.weight") && all.contains_key("head.fc.weight"));

    let skipped = own("skip=['backbone.layer1', '*.downsample.*']");
    assert!(!skipped.contains_key("backbone.layer1.0.conv1.weight"));
    assert!(!skipped.contains_key("backbone.layer2.0.downsample.0.weight"));
    assert!(skipped.contains_key("backbone.layer2.0.conv1.weight"));
    let linear = own("no_observer_modules=['torch.nn.Linear']");
    assert!(!linear.contains_key("head.fc.weight") && linear.len() == all.len() - 1);

    let narrow =
        own(&format!("overrides=[('backbone.layer1', {four}), ('backbone.layer1.0.conv2', {eight})]"));
    let bits = |points: &Points, name: &str| points[name].3;
    assert_eq!(bits(&narrow, "backbone.layer1.0.conv1.weight"), 7);
    assert_eq!(bits(&narrow, "backbone.layer1.0.conv2.weight"), 127, "the innermost module counts");
    assert_eq!(bits(&narrow, "backbone.layer1.0.conv1"), 15);
    let plain = own("extra_redundant_fakequants=dict(extra_module_next_wo_fakequant=('torch.nn.ReLU', ))");
    assert!(plain.len() < all.len());

    let academic = of(&format!(
        "dict(type='AcademicQuantizer', qconfig_mapping=dict(_global_={eight}, \
         object_type=[('torch.nn.Conv2d', {four})], module_name=[('backbone.conv1', {eight}), ('head', None)]))"
    ));
    assert_eq!(bits(&academic, "backbone.conv1.weight"), 127);
    assert_eq!(bits(&academic, "backbone.layer4.1.conv2.weight"), 7);
    assert!(!academic.contains_key("head.fc.weight"));
}

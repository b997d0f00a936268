//! Channel units of the zoo's families: named as the original names them, and removed exactly.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::sync::Arc;

use occam::config::Value;
use occam::engine::{Device, Executor, Params, Request, Tensor};
use occam::graph::{Bindings, Graph, Weights};
use occam::space::{Channel, Estimator, Selection, Trace, TraceOptions, shrink, trace, zeroed};
use occam::train::export::fix_image_size;
use occam::zoo::Architecture;
use occam_testing::{Golden, assert_close, fill, unit, values, weights, workspace};

fn model(config: &serde_json::Value, size: [usize; 3]) -> Graph {
    let config = Value::from_json(config);
    let model = occam::registry().build::<dyn Architecture>(&config).unwrap().build().unwrap();
    fix_image_size(&model.graph, size).unwrap()
}

/// Every golden of a whole classifier.
const FAMILIES: &[&str] = &[
    "alexnet",
    "convnext",
    "deit",
    "densenet",
    "efficientnet",
    "efficientnet_lite",
    "googlenet",
    "inception_v3",
    "mnasnet",
    "mobilenet_v2",
    "mobilenet_v3",
    "regnet",
    "resnet18",
    "resnet_cifar",
    "resnet_cifar50",
    "seresnet",
    "shufflenet_v1",
    "shufflenet_v2",
    "squeezenet",
    "swin_transformer",
    "vgg11",
    "vgg_classifier",
    "vision_transformer",
];

/// Drops about 4 of 10 channels of every unit that `chosen` takes.
fn random(trace: &Trace, seed: &str, chosen: impl Fn(&occam::space::Unit) -> bool) -> Selection {
    let mut selection = Selection::all(trace);
    for (i, u) in trace.units.iter().enumerate() {
        if u.kept_by.is_none() && chosen(u) {
            let draws = unit(&format!("{seed}.{}", u.name), u.channels);
            let mut keep: Vec<bool> = draws.iter().map(|d| *d < 0.6).collect();
            keep[i % u.channels] = true;
            selection.set(trace, i, keep).unwrap();
        }
    }
    selection
}

fn logits(graph: Graph, weights: &Weights, x: &Tensor) -> Vec<f64> {
    let params = Params::new(&graph, weights, &Device::cpu()).unwrap();
    let executor = Executor::new(Arc::new(graph)).unwrap();
    let out = executor.run(&params.constants(), std::slice::from_ref(x), &Request::default()).unwrap();
    values(&out.outputs[0].to_array().unwrap())
}

#[test]
fn what_is_removed_was_zero() {
    for name in FAMILIES {
        let golden = Golden::load(name);
        let shape: Vec<usize> = serde_json::from_value(golden.json("input")).unwrap();
        let graph = model(&golden.json("config"), [shape[1], shape[2], shape[3]]);
        let own = weights(&graph);
        let x = Tensor::from_array(&fill("input", &shape, -2.0, 2.0), &Device::cpu()).unwrap();
        let units = trace(&graph, &TraceOptions::default()).unwrap();
        let bindings = Bindings::from([("N".into(), 1)]);
        let estimator = Estimator::new(&graph, &units, &bindings).unwrap();

        let selection = random(&units, name, |u| u.exact);
        assert!(!selection.is_all(), "{name}: nothing can be pruned");
        let (small, sliced) = shrink(&graph, &own, &units, &selection).unwrap();
        let cost = small.cost(&bindings).unwrap();
        let estimate = estimator.at(&selection.widths()).unwrap();
        assert_eq!((cost.total.macs, cost.params), (estimate.macs, estimate.params), "{name}");
        assert_eq!(cost.total.activations, estimate.activations, "{name}");
        let (full, zeros) = zeroed(&graph, &own, &units, &selection).unwrap();
        assert_close(name, &logits(small, &sliced, &x), &logits(full, &zeros, &x), 1e-4);

        // Where statistics are taken over channels, the smaller model computes something else, but it runs.
        let selection = random(&units, "all", |_| true);
        let (small, sliced) = shrink(&graph, &own, &units, &selection).unwrap();
        assert!(logits(small, &sliced, &x).iter().all(|y| y.is_finite()), "{name}");
    }
}

/// `tools/golden/channel_units.py`.
#[test]
fn units_are_the_originals() {
    let text = std::fs::read_to_string(workspace().join("tests/golden/channel_units.json")).unwrap();
    let golden: serde_json::Value = serde_json::from_str(&text).unwrap();
    for (name, about) in golden.as_object().unwrap() {
        let mut config = serde_json::json!({
            "type": "ImageClassifier", "backbone": about["backbone"], "head": about["head"],
        });
        if about["head"]["type"] == "mmcls.LinearClsHead" {
            config["neck"] = serde_json::json!({ "type": "GlobalAveragePooling" });
        }
        let graph = model(&config, [3, 224, 224]);
        let units = trace(&graph, &TraceOptions::default()).unwrap();
        let found: Vec<&str> = units.prunable().map(|u| u.name.as_str()).collect();
        let wanted = about["units"].as_object().unwrap();
        let names: BTreeSet<&str> = wanted.keys().map(String::as_str).collect();
        assert_eq!(found.iter().copied().collect::<BTreeSet<_>>(), names, "{name}");
        for u in units.prunable() {
            let rows = |list: &[Channel]| -> BTreeSet<(String, u64, u64)> {
                list.iter().map(|c| (c.name.clone(), c.start as u64, c.end as u64)).collect()
            };
            let golden = |side: &str| -> BTreeSet<(String, u64, u64)> {
                let list = wanted[&u.name][side].as_array().unwrap();
                // The original lists its own stand-ins for sums and joins too.
                let layers = list.iter().filter(|r| {
                    let name = r[0].as_str().unwrap();
                    name != "expand" && !name.ends_with("_placeholder")
                });
                layers
                    .map(|r| {
                        (r[0].as_str().unwrap().to_owned(), r[1].as_u64().unwrap(), r[2].as_u64().unwrap())
                    })
                    .collect()
            };
            assert_eq!(rows(&u.output_related), golden("output_related"), "{name} {}", u.name);
            assert_eq!(rows(&u.input_related), golden("input_related"), "{name} {}", u.name);
        }
    }
}

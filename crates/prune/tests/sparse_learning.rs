//! Penalties and masks are those of Torch-Pruning and PyTorch: `tools/golden/sparse_learning.py`.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use occam_config::{Registry, Value};
use occam_graph::ops::{Activation, BatchNorm, Binary, Conv, Flatten, Linear};
use occam_graph::{Array, Builder, Fact, Graph, Role, ValueId, Weights};
use occam_prune::Scope;
use occam_prune::importance::Subject;
use occam_prune::regularizers::{Moment, Of, Regularizer};
use occam_prune::sparsity::{Layer, Pattern, masks};
use occam_space::{TraceOptions, trace};
use occam_testing::{Golden, assert_close, fill, values, weights};
use serde_json::json;

fn conv(b: &mut Builder, name: &str, x: ValueId, shape: [usize; 4]) -> ValueId {
    let w = b.param(&format!("{name}.weight"), &shape, Role::Weight).unwrap();
    b.op(name, Conv { padding: [(1, 1); 2], ..Conv::default() }, &[x, w]).unwrap()
}

fn norm(b: &mut Builder, name: &str, x: ValueId, channels: usize) -> ValueId {
    let roles = [
        ("weight", Role::Weight),
        ("bias", Role::Weight),
        ("running_mean", Role::Buffer),
        ("running_var", Role::Buffer),
    ];
    let mut inputs = vec![x];
    inputs.extend(roles.map(|(part, role)| b.param(&format!("{name}.{part}"), &[channels], role).unwrap()));
    b.op(name, BatchNorm::default(), &inputs).unwrap()
}

/// The script's `Net`.
fn net() -> Graph {
    let mut b = Builder::new();
    let x = b.input("input", Fact::f32([2usize, 3, 4, 4])).unwrap();
    let x = conv(&mut b, "conv1", x, [8, 3, 3, 3]);
    let x = norm(&mut b, "bn1", x, 8);
    let x = b.op("relu1", Activation::Relu, &[x]).unwrap();
    let y = conv(&mut b, "conv2", x, [12, 8, 3, 3]);
    let y = norm(&mut b, "bn2", y, 12);
    let y = b.op("relu2", Activation::Relu, &[y]).unwrap();
    let y = conv(&mut b, "conv3", y, [8, 12, 3, 3]);
    let y = norm(&mut b, "bn3", y, 8);
    let x = b.op("add", Binary::Add, &[y, x]).unwrap();
    let x = b.op("relu3", Activation::Relu, &[x]).unwrap();
    let x = b.op("flatten", Flatten { axis: 1 }, &[x]).unwrap();
    let w = b.param("fc.weight", &[5, 128], Role::Weight).unwrap();
    let bias = b.param("fc.bias", &[5], Role::Weight).unwrap();
    let x = b.op("fc", Linear, &[x, w, bias]).unwrap();
    b.output("output", x).unwrap();
    b.finish().unwrap()
}

fn regularizer(config: serde_json::Value) -> Box<dyn Regularizer> {
    let mut registry = Registry::new();
    occam_prune::register(&mut registry);
    registry.build::<dyn Regularizer>(&Value::from_json(&config)).unwrap()
}

/// What the regularizer adds to the gradients of all weights after `steps` steps before.
fn gradients(regularizer: &mut dyn Regularizer, steps: u64) -> Weights {
    let (graph, units) = (net(), trace(&net(), &TraceOptions::default()).unwrap());
    let weights = weights(&graph);
    let subject = Subject { graph: &graph, weights: &weights, trace: &units, seed: 0 };
    let mut last = Vec::new();
    for step in 0..=steps {
        last = regularizer.penalties(&subject, &Moment { step, leaving: None }).unwrap();
    }
    let mut sums: Weights = graph
        .params()
        .filter(|(_, v)| v.role() == Some(Role::Weight))
        .map(|(_, v)| (v.name.clone(), Array::full(v.fact.known_shape().unwrap(), 0.0)))
        .collect();
    for penalty in last {
        let name = &graph.value(penalty.value).unwrap().name;
        let (w, sum) = (&weights[name], sums.get_mut(name).unwrap());
        let inner: usize = w.shape()[penalty.axis + 1..].iter().product();
        let size = w.shape()[penalty.axis];
        let data = (0..w.len()).map(|i| {
            let x = w.as_f32().unwrap()[i];
            let of = if penalty.of == Of::Sign { x.signum() } else { x };
            sum.as_f32().unwrap()[i] + penalty.factors[i / inner % size] * of
        });
        *sum = Array::from_f32(w.shape(), data.collect()).unwrap();
    }
    sums
}

#[test]
fn penalties_are_torch_prunings() {
    let golden = Golden::load("sparse_learning");
    for (case, config, steps) in [
        ("bn_l1", json!({ "type": "BNScaleRegularizer", "reg": 0.01 }), 0),
        ("bn_group", json!({ "type": "BNScaleRegularizer", "reg": 0.01, "group_lasso": true }), 0),
        ("group_norm", json!({ "type": "GroupNormRegularizer", "reg": 0.01, "alpha": 4.0 }), 0),
        (
            "growing",
            json!({
                "type": "GrowingRegularizer", "growth": "relative", "reg": 0.01, "delta_reg": 0.02, "interval": 1,
                "importance": "group-l2",
            }),
            2,
        ),
    ] {
        let found = gradients(&mut *regularizer(config), steps);
        let mut seen = 0;
        for key in golden.keys().filter(|k| k.starts_with(&format!("{case}."))) {
            let name = &key[case.len() + 1..];
            seen += 1;
            if case == "growing" && name.starts_with("bn") && name.ends_with(".weight") {
                // Torch-Pruning adds these to a copy (`grad.data[idxs].add_`), so that its gradient stays 0.
                assert!(golden.values(key).iter().all(|x| *x == 0.0));
                let conv = name.replace("bn", "conv");
                let factor = |c: usize, all: &Weights| {
                    let row = values(&all[&conv]).len() / all[&conv].shape()[0];
                    values(&all[&conv])[c * row]
                };
                let own = weights(&net());
                // conv2 and conv3 are penalized along their inputs, too; conv1 is not.
                for c in (0..8).filter(|_| name == "bn1.weight") {
                    let wanted = factor(c, &found) / factor(c, &own) * values(&own[name])[c];
                    assert!((values(&found[name])[c] - wanted).abs() < 1e-6, "{name} {c}");
                }
                continue;
            }
            assert_close(key, &values(&found[name]), &golden.values(key), 2e-6);
        }
        assert_eq!(seen, 11, "{case}");
    }
}

#[test]
fn a_growing_penalty_is_on_the_chosen_channels_alone() {
    let config = json!({
        "type": "GrowingRegularizer", "ratio": 0.5, "delta_reg": 0.3, "interval": 2, "ceiling": 0.5, "importance": "l1",
    });
    let mut growing = regularizer(config);
    // Steps 0 and 2 grow to 0.6, which the ceiling lowers.
    let found = gradients(&mut *growing, 3);
    let weights = weights(&net());
    let (w, g) = (weights["conv2.weight"].as_f32().unwrap(), found["conv2.weight"].as_f32().unwrap());
    let norms: Vec<f32> = w.chunks(72).map(|row| row.iter().map(|x| x.abs()).sum()).collect();
    let mut sorted = norms.clone();
    sorted.sort_by(f32::total_cmp);
    let state = growing.state();
    let leaving = state.iter().filter(|(n, _)| n.starts_with("leaving.")).map(|(_, a)| a.as_f32().unwrap());
    let chosen: Vec<usize> = leaving.map(|l| l.iter().filter(|x| **x == 1.0).count()).collect();
    assert!(chosen.contains(&4) && chosen.contains(&6), "{chosen:?}");
    // Input channels of the stream are penalized, too: compare rows where they are not.
    let stream =
        state.iter().find(|(n, a)| n.starts_with("leaving.") && a.len() == 8).unwrap().1.as_f32().unwrap();
    for (o, norm) in norms.iter().enumerate() {
        for i in (0..8).filter(|&i| stream[i] == 0.0) {
            let at = (o * 8 + i) * 9;
            let wanted = if *norm < sorted[6] { 0.5 * w[at] } else { 0.0 };
            assert!((g[at] - wanted).abs() < 1e-6, "row {o}, column {i}");
        }
    }
    // A regularizer that goes on from its state says the same.
    let mut other = regularizer(json!({
        "type": "GrowingRegularizer", "ratio": 0.5, "delta_reg": 0.3, "interval": 2, "ceiling": 0.5, "importance": "l1",
    }));
    other.load_state(&state).unwrap();
    assert_eq!(other.state(), state);
    assert!(regularizer(json!({ "type": "GroupNormRegularizer" })).load_state(&state).is_err());
}

#[test]
fn masks_are_pytorchs() {
    let golden = Golden::load("sparse_learning");
    let shapes = golden.json("weights");
    let layers: Vec<Layer> = shapes
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, shape)| {
            let shape = shape.as_array().unwrap().iter().map(|d| d.as_u64().unwrap() as usize).collect();
            Layer { name: name.clone(), nodes: Vec::new(), shape, inputs: 1 }
        })
        .collect();
    let data: Vec<Array> = layers.iter().map(|l| fill(&l.name, &l.shape, -1.0, 1.0)).collect();
    let pairs: Vec<(&Layer, &[f32])> = layers.iter().zip(data.iter().map(|a| a.as_f32().unwrap())).collect();
    let mut cases = vec![("runs".to_owned(), Pattern::Runs { stay: 2, of: 4 }, Scope::Global)];
    for part in [0.3, 0.5, 0.85] {
        cases.push((format!("l1_{part}"), Pattern::Part(part), Scope::Uniform));
        cases.push((format!("global_{part}"), Pattern::Part(part), Scope::Global));
    }
    for (case, pattern, scope) in cases {
        for (layer, mask) in layers.iter().zip(masks(pattern, scope, &pairs)) {
            let found: Vec<f64> = mask.unwrap().iter().map(|&stays| f64::from(u8::from(stays))).collect();
            let key = format!("mask.{case}.{}", layer.name);
            assert_eq!(found, golden.values(&key), "{key}");
        }
    }
}

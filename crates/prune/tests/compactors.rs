//! Compactors change nothing when they are inserted, and nothing when they are merged.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use occam_engine::{Device, Executor, Mode, Params, Request, Tensor};
use occam_graph::ops::{Activation, BatchNorm, Conv, Flatten, GlobalAvgPool, Linear};
use occam_graph::{Array, Builder, Fact, Graph, Role, ValueId, Weights};
use occam_prune::compactor::{Place, identity, insert, kept_rows, merge, places};
use occam_space::{TraceOptions, trace};
use occam_testing::{assert_close, fill, values, weights};

fn layer(b: &mut Builder, name: &str, x: ValueId, shape: [usize; 4], bias: bool) -> ValueId {
    let mut inputs = vec![x, b.param(&format!("{name}.weight"), &shape, Role::Weight).unwrap()];
    if bias {
        inputs.push(b.param(&format!("{name}.bias"), &[shape[0]], Role::Weight).unwrap());
    }
    let groups = if shape[1] == 1 { shape[0] } else { 1 };
    let y = b.op(name, Conv { padding: [(1, 1); 2], groups, ..Conv::default() }, &inputs).unwrap();
    let mut inputs = vec![y];
    for (part, role) in [
        ("weight", Role::Weight),
        ("bias", Role::Weight),
        ("running_mean", Role::Buffer),
        ("running_var", Role::Buffer),
    ] {
        inputs.push(b.param(&format!("{name}_bn.{part}"), &[shape[0]], role).unwrap());
    }
    b.op(&format!("{name}_bn"), BatchNorm::default(), &inputs).unwrap()
}

/// Two layers that may have compactors, one of them with a bias, one whose activation makes 0 something else, and a depthwise
/// pair.
fn net() -> Graph {
    let mut b = Builder::new();
    let x = b.input("input", Fact::f32([2usize, 3, 6, 6])).unwrap();
    let mut x = layer(&mut b, "a", x, [8, 3, 3, 3], false);
    x = b.op("relu", Activation::Relu, &[x]).unwrap();
    x = layer(&mut b, "b", x, [6, 8, 3, 3], true);
    x = b.op("swish", Activation::HardSwish, &[x]).unwrap();
    x = layer(&mut b, "c", x, [5, 6, 3, 3], false);
    x = b.op("sigmoid", Activation::Sigmoid, &[x]).unwrap();
    x = layer(&mut b, "d", x, [7, 5, 3, 3], false);
    x = layer(&mut b, "e", x, [7, 1, 3, 3], false);
    x = b.op("pool", GlobalAvgPool, &[x]).unwrap();
    x = b.op("flatten", Flatten { axis: 1 }, &[x]).unwrap();
    let w = b.param("fc.weight", &[4, 7], Role::Weight).unwrap();
    let bias = b.param("fc.bias", &[4], Role::Weight).unwrap();
    x = b.op("fc", Linear, &[x, w, bias]).unwrap();
    b.output("output", x).unwrap();
    b.finish().unwrap()
}

fn outputs(graph: &Graph, weights: &Weights) -> Vec<f64> {
    let device = Device::cpu();
    let executor = Executor::new(Arc::new(graph.clone())).unwrap();
    let params = Params::new(graph, weights, &device).unwrap();
    let input = Tensor::from_array(&fill("input", &[2, 3, 6, 6], -1.0, 1.0), &device).unwrap();
    let out = executor.run(&params.constants(), &[input], &Request::new(Mode::Eval)).unwrap();
    values(&out.outputs[0].to_array().unwrap())
}

fn found(graph: &Graph) -> (Vec<Place>, Vec<String>) {
    let units = trace(graph, &TraceOptions::default()).unwrap();
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for (_, place) in places(graph, &units) {
        match place {
            Ok(place) => good.push(place),
            Err(why) => bad.push(why),
        }
    }
    (good, bad)
}

#[test]
fn compactors_are_where_zero_stays_zero() {
    let (good, bad) = found(&net());
    let convs: Vec<&str> = good.iter().map(|p| p.conv.as_str()).collect();
    assert_eq!(convs, ["a", "b"]);
    assert_eq!(bad.len(), 2, "{bad:?}");
    assert!(bad[0].contains("`sigmoid` makes channels that are 0 something else"), "{bad:?}");
    assert!(bad[1].contains("2 layers compute it"), "{bad:?}");
}

#[test]
fn inserted_and_merged_models_compute_the_same() {
    let graph = net();
    let plain = weights(&graph);
    let (places, _) = found(&graph);
    let with = insert(&graph, &places).unwrap();
    let mut all = plain.clone();
    for place in &places {
        all.insert(place.weight.clone(), identity(place.channels).unwrap());
    }
    assert_close("inserted", &outputs(&with, &all), &outputs(&graph, &plain), 1e-6);

    // Any compactors, of which rows are gone.
    for place in &places {
        let n = place.channels;
        let mut data = fill(&place.weight, &[n * n], -0.6, 0.6).as_f32().unwrap().to_vec();
        for row in [1, n - 1] {
            data[row * n..(row + 1) * n].fill(1e-7);
        }
        all.insert(place.weight.clone(), Array::from_f32([n, n, 1, 1], data).unwrap());
    }
    let (small, merged) = merge(&graph, &all, &places, 1e-5).unwrap();
    assert_eq!(merged["a.weight"].shape(), [6, 3, 3, 3]);
    assert_eq!(merged["a.bias"].shape(), [6]);
    assert_eq!(merged["b.weight"].shape(), [4, 6, 3, 3]);
    assert_eq!(merged["c.weight"].shape(), [5, 4, 3, 3]);
    assert!(
        !merged.keys().any(|n| n.contains("compactor") || n.starts_with("a_bn") || n.starts_with("b_bn"))
    );
    assert!(merged.contains_key("c_bn.weight"));
    let (found, wanted) = (outputs(&small, &merged), outputs(&with, &all));
    assert_close("merged", &found, &wanted, 1e-5);
    let largest = found.iter().zip(&wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(largest < 1e-4, "{largest}");
}

#[test]
fn a_unit_keeps_its_largest_row() {
    assert_eq!(kept_rows(&[1e-7, 2e-7, 0.0], 1e-5), [false, true, false]);
    assert_eq!(kept_rows(&[0.0, 0.0], 1e-5), [true, false]);
    assert_eq!(kept_rows(&[1.0, 1e-6, 1e-5], 1e-5), [true, false, true]);
}

//! Passes that keep the function, on models with weights at random.

use std::sync::Arc;

use occam_engine::{Device, Executor, Params, Tensor};
use occam_graph::ops::{
    Activation, BatchNorm, Binary, Conv, Flatten, GlobalAvgPool, LayerNorm, Linear, Transpose,
};
use occam_graph::{Array, Builder, Dim, Fact, Graph, Role, ValueId, Weights};

use super::*;
use crate::placement::Placement;
use crate::{Kind, Point, QParams, QScheme};

pub(crate) fn run(graph: &Graph, weights: &Weights, x: &Tensor, rounded: bool) -> Vec<f32> {
    let params = Params::new(graph, weights, &Device::cpu()).unwrap().constants();
    let executor = Executor::new(Arc::new(graph.clone())).unwrap();
    let request = probe::request(rounded);
    executor.run(&params, std::slice::from_ref(x), &request).unwrap().outputs[0].to_f32().unwrap()
}

pub(crate) fn images(name: &str, n: usize, shape: &[usize]) -> Tensor {
    let shape: Vec<usize> = [n].iter().chain(shape).copied().collect();
    Tensor::from_array(&occam_testing::fill(name, &shape, -1.0, 1.0), &Device::cpu()).unwrap()
}

fn close(a: &[f32], b: &[f32], tolerance: f32) {
    assert_eq!(a.len(), b.len());
    let scale = b.iter().fold(0.0f32, |m, x| m.max(x.abs()));
    let worst = a.iter().zip(b).fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
    assert!(worst <= tolerance * scale, "{worst} of {scale}");
}

fn conv(b: &mut Builder, name: &str, x: ValueId, shape: [usize; 4], conv: Conv, bias: bool) -> ValueId {
    let mut inputs = vec![x, b.param(&format!("{name}.weight"), &shape, Role::Weight).unwrap()];
    if bias {
        inputs.push(b.param(&format!("{name}.bias"), &[shape[0]], Role::Weight).unwrap());
    }
    b.op(name, conv, &inputs).unwrap()
}

fn norm(b: &mut Builder, name: &str, x: ValueId, channels: usize) -> ValueId {
    let mut inputs = vec![x];
    for (part, role) in [
        ("weight", Role::Weight),
        ("bias", Role::Weight),
        ("running_mean", Role::Buffer),
        ("running_var", Role::Buffer),
    ] {
        inputs.push(b.param(&format!("{name}.{part}"), &[channels], role).unwrap());
    }
    b.op(name, BatchNorm::default(), &inputs).unwrap()
}

/// Convolution, norm, activation, depthwise, norm, activation, pointwise, norm, pooled into a linear layer.
pub(crate) fn separable(activation: Activation) -> (Graph, Weights) {
    let mut b = Builder::new();
    let x = b.input("input", Fact::f32([Dim::symbol("N"), 3.into(), 8.into(), 8.into()])).unwrap();
    let pad = Conv { padding: [(1, 1); 2], ..Conv::default() };
    let y = conv(&mut b, "stem", x, [8, 3, 3, 3], pad, false);
    let y = norm(&mut b, "stem_bn", y, 8);
    let y = b.op("stem_act", activation, &[y]).unwrap();
    let y = conv(&mut b, "dw", y, [8, 1, 3, 3], Conv { groups: 8, ..pad }, true);
    let y = norm(&mut b, "dw_bn", y, 8);
    let y = b.op("dw_act", activation, &[y]).unwrap();
    let y = conv(&mut b, "pw", y, [12, 4, 1, 1], Conv { groups: 2, ..Conv::default() }, false);
    let y = norm(&mut b, "pw_bn", y, 12);
    let y = b.op("pw_act", activation, &[y]).unwrap();
    let y = b.op("pool", GlobalAvgPool, &[y]).unwrap();
    let y = b.op("flat", Flatten { axis: 1 }, &[y]).unwrap();
    let w = b.param("fc.weight", &[5, 12], Role::Weight).unwrap();
    let bias = b.param("fc.bias", &[5], Role::Weight).unwrap();
    let y = b.op("fc", Linear, &[y, w, bias]).unwrap();
    b.output("output", y).unwrap();
    let graph = b.finish().unwrap();
    let mut weights = occam_testing::weights(&graph);
    // Channels of very different ranges, as depthwise models have.
    for (name, array) in &mut weights {
        if let Some(axis0) =
            array.shape().first().copied().filter(|_| name.ends_with("weight") && array.shape().len() > 1)
        {
            let per = array.len() / axis0;
            let data = array.as_f32().unwrap();
            let data =
                data.iter().enumerate().map(|(i, x)| x * 3f32.powi((i / per % 5) as i32 - 2)).collect();
            *array = Array::from_f32(array.shape(), data).unwrap();
        }
    }
    (graph, weights)
}

/// Rounds the weights of all layers to `bits`, by channel.
pub(crate) fn round_weights(graph: &mut Graph, weights: &mut Weights, bits: u32) {
    let mut placement = Placement::default();
    let scheme = QScheme::weights(bits, Some(0));
    for layer in Layer::all(graph).unwrap() {
        let readers = vec![(layer.node, 1)];
        placement.points.push(Point {
            value: layer.weight,
            readers,
            scheme,
            kind: Kind::Weight,
            shares: None,
            fixed: None,
        });
    }
    let quants = placement.insert(graph, weights).unwrap();
    for (quant, point) in quants.iter().zip(&placement.points) {
        let array = crate::ptq::known(graph, weights, point.value).unwrap().clone();
        let row = array.len() / array.shape()[0];
        let most = |r: &[f32]| r.iter().fold(0.0f32, |m, x| m.max(x.abs()));
        let range: Vec<f32> = array.as_f32().unwrap().chunks(row).map(most).collect();
        let low: Vec<f32> = range.iter().map(|r| -r).collect();
        quant.set(graph, weights, &QParams::of(&scheme, &low, &range)).unwrap();
    }
}

#[test]
fn norms_are_folded() {
    let (mut graph, mut weights) = separable(Activation::Relu6);
    let x = images("fold", 3, &[3, 8, 8]);
    let wanted = run(&graph, &weights, &x, false);
    let (report, statistics) = fold_batch_norm(&mut graph, &mut weights).unwrap();
    assert_eq!((report.done.len(), report.skipped.len()), (3, 0), "{report:?}");
    assert!(graph.nodes().all(|(_, n)| n.op.family_name() != "BatchNorm"));
    assert!(weights.keys().all(|n| graph.find(n).is_some()), "{:?}", weights.keys());
    assert_eq!(statistics["stem"].mean, occam_testing::parameter("stem_bn.bias", &[8]).as_f32().unwrap());
    close(&run(&graph, &weights, &x, false), &wanted, 1e-5);
}

#[test]
fn a_norm_whose_layer_has_another_reader_stays() {
    let mut b = Builder::new();
    let x = b.input("input", Fact::f32([Dim::symbol("N"), 3.into(), 8.into(), 8.into()])).unwrap();
    let y = conv(&mut b, "conv", x, [4, 3, 1, 1], Conv::default(), false);
    let z = norm(&mut b, "bn", y, 4);
    let y = b.op("sum", Binary::Add, &[y, z]).unwrap();
    b.output("output", y).unwrap();
    let mut graph = b.finish().unwrap();
    let mut weights = occam_testing::weights(&graph);
    let (before, kept) = (graph.clone(), weights.clone());
    let (report, _) = fold_batch_norm(&mut graph, &mut weights).unwrap();
    assert_eq!(report.skipped, [("bn".to_owned(), "the result of `conv` has another reader".to_owned())]);
    assert!(graph == before && weights == kept);
}

/// A weight that two layers share: each gets its own, and both keep what they compute.
#[test]
fn shared_weights_become_two() {
    let mut b = Builder::new();
    let x = b.input("input", Fact::f32([Dim::symbol("N"), 4.into(), 8.into(), 8.into()])).unwrap();
    let y = conv(&mut b, "conv", x, [4, 4, 1, 1], Conv::default(), false);
    let y = norm(&mut b, "bn", y, 4);
    let y = b.op("act", Activation::Relu, &[y]).unwrap();
    let y = conv(&mut b, "conv", y, [4, 4, 1, 1], Conv::default(), false);
    b.output("output", y).unwrap();
    let mut graph = b.finish().unwrap();
    let mut weights = occam_testing::weights(&graph);
    let x = images("shared", 2, &[4, 8, 8]);
    let wanted = run(&graph, &weights, &x, false);
    let (_, mut statistics) = fold_batch_norm(&mut graph, &mut weights).unwrap();
    close(&run(&graph, &weights, &x, false), &wanted, 1e-5);
    equalize(&mut graph, &mut weights, &mut statistics, Equalize::default()).unwrap();
    close(&run(&graph, &weights, &x, false), &wanted, 1e-5);
}

#[test]
fn ranges_become_equal_and_the_function_stays() {
    let (mut graph, mut weights) = separable(Activation::Relu);
    let x = images("equal", 3, &[3, 8, 8]);
    let (_, mut statistics) = fold_batch_norm(&mut graph, &mut weights).unwrap();
    let wanted = run(&graph, &weights, &x, false);
    let before = measure(&graph, &weights, &vec![vec![x.clone()]]).unwrap();
    let report = equalize(&mut graph, &mut weights, &mut statistics, Equalize::default()).unwrap();
    assert_eq!(report.done.len(), 3, "{report:?}");
    close(&run(&graph, &weights, &x, false), &wanted, 1e-5);
    // Both sides of every channel have one range.
    let layers = Layer::all(&graph).unwrap();
    for pair in layers.windows(2) {
        let (a, z) = (&pair[0], &pair[1]);
        let mut reads = vec![0.0f32; a.outputs()];
        let mut w = z.floats(&graph, &weights).unwrap();
        chain::each_input(z, &mut w, |i, _, run| reads[i] = run.iter().fold(reads[i], |m, x| m.max(x.abs())));
        let w = a.floats(&graph, &weights).unwrap();
        for (row, read) in w.chunks(a.row()).zip(reads) {
            let gives = row.iter().fold(0.0f32, |m, x| m.max(x.abs()));
            assert!((gives / read - 1.0).abs() < 1e-2, "{gives} {read}");
        }
    }
    // And statistics follow: what is measured scales as what was told.
    let after = measure(&graph, &weights, &vec![vec![x]]).unwrap();
    let told = occam_testing::parameter("stem_bn.bias", &[8]);
    for i in 0..8 {
        let (a, b) = (
            after["stem"].deviation[i] / before["stem"].deviation[i],
            statistics["stem"].mean[i] / told.as_f32().unwrap()[i],
        );
        assert!((a / b - 1.0).abs() < 1e-3, "{a} {b}");
    }
}

#[test]
fn relu6_is_skipped_until_it_is_free() {
    let (mut graph, mut weights) = separable(Activation::Relu6);
    let (_, mut statistics) = fold_batch_norm(&mut graph, &mut weights).unwrap();
    let report = equalize(&mut graph, &mut weights, &mut statistics, Equalize::default()).unwrap();
    assert!(report.done.is_empty() && report.skipped.len() == 4, "{report:?}");
    let small = images("free", 2, &[3, 8, 8]).scale(1e-3).unwrap();
    let data = vec![vec![small.clone()]];
    let wanted = run(&graph, &weights, &small, false);
    let report = free_relu6(&mut graph, &weights, &data, 1.0).unwrap();
    assert_eq!(report.done.len(), 3, "{report:?}");
    close(&run(&graph, &weights, &small, false), &wanted, 1e-6);
    let (mut graph, weights) = separable(Activation::Relu6);
    let large = images("free", 2, &[3, 8, 8]).scale(1e3).unwrap();
    let report = free_relu6(&mut graph, &weights, &vec![vec![large]], 1.0).unwrap();
    assert_eq!(report.skipped.len(), 3, "{report:?}");
}

/// Where results always exceed what is moved, it is exact.
#[test]
fn high_biases_move_on() {
    let (mut graph, mut weights) = separable(Activation::Relu);
    fold_batch_norm(&mut graph, &mut weights).unwrap();
    let shift: Vec<f32> = (0..8).map(|i| 400.0 + i as f32).collect();
    weights.insert("dw.bias".into(), Array::from_f32([8], shift).unwrap());
    let x = images("absorb", 2, &[3, 8, 8]);
    let wanted = run(&graph, &weights, &x, false);
    let mut statistics = measure(&graph, &weights, &vec![vec![x.clone()]]).unwrap();
    for m in statistics.values_mut() {
        // Less than the least result.
        m.mean.iter_mut().for_each(|m| *m -= 300.0);
        m.deviation.fill(0.0);
    }
    // Of the others nothing is told.
    statistics.retain(|name, _| name == "dw");
    let report = absorb_biases(&mut graph, &mut weights, &mut statistics).unwrap();
    assert_eq!(report.done.len(), 1, "{report:?}");
    close(&run(&graph, &weights, &x, false), &wanted, 1e-5);
    assert!(weights["dw.bias"].as_f32().unwrap().iter().any(|&b| b < 390.0));
}

#[test]
fn smoothing_keeps_the_function_and_narrows_activations() {
    let mut b = Builder::new();
    let x = b.input("input", Fact::f32([Dim::symbol("N"), 5.into(), 8.into()])).unwrap();
    let gamma = b.param("ln.weight", &[8], Role::Weight).unwrap();
    let beta = b.param("ln.bias", &[8], Role::Weight).unwrap();
    let y = b.op("ln", LayerNorm { eps: 1e-5 }, &[x, gamma, beta]).unwrap();
    let q = b.param("q.weight", &[6, 8], Role::Weight).unwrap();
    let k = b.param("k.weight", &[6, 8], Role::Weight).unwrap();
    let turned = b.op("turn", Transpose { perm: vec![1, 0, 2] }, &[y]).unwrap();
    let q = b.op("q", Linear, &[y, q]).unwrap();
    let k = b.op("k", Linear, &[turned, k]).unwrap();
    let k = b.op("back", Transpose { perm: vec![1, 0, 2] }, &[k]).unwrap();
    let y = b.op("sum", Binary::Add, &[q, k]).unwrap();
    b.output("output", y).unwrap();
    let mut graph = b.finish().unwrap();
    let mut weights = occam_testing::weights(&graph);
    let outlier = (0..8).map(|i| if i == 3 { 60.0 } else { 1.0 }).collect();
    weights.insert("ln.weight".into(), Array::from_f32([8], outlier).unwrap());
    let x = images("smooth", 4, &[5, 8]);
    let wanted = run(&graph, &weights, &x, false);
    let report = smooth(&mut graph, &mut weights, &vec![vec![x.clone()]], Smooth::default()).unwrap();
    assert_eq!((report.done.len(), report.skipped.len()), (1, 0), "{report:?}");
    close(&run(&graph, &weights, &x, false), &wanted, 1e-5);
    // With α = 0.5 the ranges of an input and of its weights are equal: √(max|X| · max|W|).
    let gamma = weights["ln.weight"].as_f32().unwrap();
    assert!(gamma[3] / gamma[0] < 15.0, "{gamma:?}");
}

/// After correction by runs every layer has the float model's mean; by means the error shrinks.
#[test]
fn biases_correct_means() {
    let (mut graph, mut weights) = separable(Activation::Relu);
    fold_batch_norm(&mut graph, &mut weights).unwrap();
    round_weights(&mut graph, &mut weights, 3);
    let reference = weights.clone();
    let x = images("correct", 16, &[3, 8, 8]).shift(0.5).unwrap();
    let data = vec![vec![x.clone()]];
    let mean = |g: &Graph, w: &Weights, rounded: bool| -> Vec<f64> {
        let y = run(g, w, &x, rounded);
        (0..5).map(|c| y.chunks(5).map(|r| f64::from(r[c])).sum::<f64>() / 16.0).collect()
    };
    let wanted = mean(&graph, &reference, false);
    let error = |found: &[f64]| found.iter().zip(&wanted).map(|(a, b)| (a - b).abs()).sum::<f64>();
    let raw = error(&mean(&graph, &weights, true));
    let (mut g, mut w) = (graph.clone(), weights.clone());
    let report = correct_biases_by_runs(&mut g, &mut w, &reference, &data).unwrap();
    assert_eq!(report.done.len(), 4);
    let by_runs = error(&mean(&g, &w, true));
    assert!(by_runs < 1e-4 * raw, "{raw} {by_runs}");
    let (mut g, mut w) = (graph.clone(), weights.clone());
    correct_biases_by_means(&mut g, &mut w, &reference, &data).unwrap();
    let by_means = error(&mean(&g, &w, true));
    assert!(by_means < 0.7 * raw, "{raw} {by_means}");
}

/// Without padding and with the true mean, the correction by means is exact for one layer; the analytic one is the same where
/// statistics are those of the data.
#[test]
fn corrections_agree_on_one_layer() {
    let mut b = Builder::new();
    let x = b.input("input", Fact::f32([Dim::symbol("N"), 4.into(), 6.into(), 6.into()])).unwrap();
    let y = conv(&mut b, "a", x, [4, 4, 1, 1], Conv::default(), true);
    let y = conv(&mut b, "b", y, [6, 2, 1, 1], Conv { groups: 2, ..Conv::default() }, false);
    b.output("output", y).unwrap();
    let mut graph = b.finish().unwrap();
    let mut weights = occam_testing::weights(&graph);
    round_weights(&mut graph, &mut weights, 2);
    // The first layer is exact, so that what the second reads is the same in both models.
    let a = Layer::all(&graph).unwrap().remove(0);
    let (op, grid) = a.grid(&graph, &weights).unwrap().unwrap();
    let q = crate::lower::integers(&weights["a.weight"], &op, &grid).unwrap();
    let exact = q.iter().enumerate().map(|(i, &q)| q as f32 * grid.scale[i / 4]).collect();
    weights.insert("a.weight".into(), Array::from_f32([4, 4, 1, 1], exact).unwrap());
    let reference = weights.clone();
    let data = vec![vec![images("one", 4, &[4, 6, 6])]];
    let statistics = measure(&graph, &reference, &data).unwrap();
    let mut biases = Vec::new();
    for way in 0..3 {
        let (mut g, mut w) = (graph.clone(), weights.clone());
        let report = match way {
            0 => correct_biases_by_runs(&mut g, &mut w, &reference, &data),
            1 => correct_biases_by_means(&mut g, &mut w, &reference, &data),
            _ => correct_biases_by_statistics(&mut g, &mut w, &reference, &statistics),
        };
        report.unwrap();
        biases.push(w["b.bias"].as_f32().unwrap().to_vec());
    }
    assert!(biases[0].iter().any(|b| b.abs() > 1e-3), "{biases:?}");
    close(&biases[1], &biases[0], 1e-4);
    close(&biases[2], &biases[0], 1e-4);
}

#[test]
fn parts_compute_what_the_whole_does() {
    let (graph, weights) = separable(Activation::Relu);
    let x = images("part", 2, &[3, 8, 8]);
    let whole = run(&graph, &weights, &x, false);
    let middle = graph.find("dw_act").unwrap();
    let first = subgraph(&graph, graph.inputs(), &[middle]).unwrap();
    let last = subgraph(&graph, &[middle], &[graph.outputs()[0].1]).unwrap();
    let y = run(&first, &weights, &x, false);
    let y = Tensor::from_f32(&[2, 8, 8, 8], y, &Device::cpu()).unwrap();
    close(&run(&last, &weights, &y, false), &whole, 1e-6);
    assert!(subgraph(&graph, &[], &[middle]).is_err());
}

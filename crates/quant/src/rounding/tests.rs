//! Against PyTorch and NumPy (`tools/golden/quant_rounding.py`), and against rounding to nearest.

use occam_engine::Tensor;
use occam_graph::ops::{Activation, Binary, Conv, FakeQuant, GlobalAvgPool, Linear};
use occam_graph::{Array, Builder, Dim, Fact, Graph, Op, Role, Weights};
use occam_testing::{Golden, assert_close, fill};

use super::*;
use crate::passes::tests::{images, round_weights, run, separable};
use crate::passes::{Layer, fold_batch_norm, shift_of_means};
use crate::{QParams, QScheme};

fn golden() -> Golden {
    Golden::load("quant_rounding")
}

fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&v| f64::from(v)).collect()
}

fn doubles(name: &str, shape: &[usize]) -> Vec<f64> {
    wide(fill(name, shape, -1.0, 1.0).as_f32().unwrap())
}

/// The gradient of `W` of the golden's loss, by hand.
fn gradient_of(w: &[f32], exact: &[f32], x: &[f32], b: &[f32]) -> Vec<f32> {
    let (rows, columns) = (b.len(), w.len() / b.len());
    let mut dw = vec![0.0f32; w.len()];
    let n = (x.len() / columns) as f32;
    for x in x.chunks(columns) {
        for r in 0..rows {
            let of = |w: &[f32]| (0..columns).map(|c| w[r * columns + c] * x[c]).sum::<f32>() + b[r];
            let (y, t) = (of(w), of(exact));
            if y > 0.0 {
                let g = 2.0 * (y - t.max(0.0)) / n;
                (0..columns).for_each(|c| dw[r * columns + c] += g * x[c]);
            }
        }
    }
    dw
}

#[test]
fn ada_round_learns_as_in_pytorch() {
    let golden = golden();
    let array =
        |name: &str, shape: &[usize], low, high| fill(name, shape, low, high).as_f32().unwrap().to_vec();
    let (w, x) = (array("ada.w", &[6, 20], -1.0, 1.0), array("ada.x", &[64, 20], -1.0, 1.0));
    let b = array("ada.b", &[6], -0.5, 0.5);
    let grid = QParams { scale: array("ada.scale", &[6], 0.2, 0.3), zero_point: vec![0; 6] };
    let op = FakeQuant::new(-4, 3, Some(0));
    let mut rounding = Rounding::new(&w, &op, &grid).unwrap();
    let dw = gradient_of(&rounding.soft(), &w, &x, &b);
    let found = rounding.gradient(&dw, Some(12.0), 0.01);
    assert_close("gradient", &wide(&found), &golden.values("ada.gradient"), 1e-3);
    assert_close("regularizer", &[rounding.regularizer(12.0)], &golden.values("ada.regularizer"), 1e-4);
    let schedule = Schedule { learning_rate: 1e-2, ..Schedule::default() };
    for step in 0..50 {
        let dw = gradient_of(&rounding.soft(), &w, &x, &b);
        rounding.step(&dw, Some(20.0 - step as f32 * 0.3), &schedule);
    }
    assert_close("V", &wide(rounding.v()), &golden.values("ada.v"), 1e-2);
    assert_close("weights", &wide(&rounding.soft()), &golden.values("ada.soft"), 1e-2);
    // What is chosen lies on the grid, one of the two integers around each weight.
    for ((i, q), w) in rounding.hard().iter().enumerate().zip(&w) {
        let s = grid.scale[i / 20];
        let steps = q / s;
        assert!((steps - steps.round()).abs() < 1e-5, "{steps}");
        assert!((q - w.clamp(-4.0 * s, 3.0 * s)).abs() <= s * 1.001);
    }
}

#[test]
fn the_regularizer_cools_after_the_warm_start() {
    let schedule = Schedule { iterations: 100, ..Schedule::default() };
    assert_eq!(schedule.beta_at(19), None);
    assert_eq!(schedule.beta_at(20), Some(20.0));
    assert_eq!(schedule.beta_at(60), Some(11.0));
    assert!(schedule.beta_at(99).unwrap() < 2.3);
}

/// The columns of the golden, as its script makes them.
fn moments() -> Vec<f64> {
    let (n, k) = (200, 48);
    let mut raw = doubles("gptq.x", &[n, k]);
    let own = raw.clone();
    for r in 0..n {
        for c in 0..k {
            let at = |back: usize| own[r * k + (c + k - back) % k];
            raw[r * k + c] += at(1) + at(2) * (2.0 * c as f64 / (k - 1) as f64);
        }
        raw[r * k + 7] = 0.0;
    }
    let mut h = vec![0.0; k * k];
    for x in raw.chunks(k) {
        for i in 0..k {
            for j in 0..k {
                h[i * k + j] += 2.0 / n as f64 * x[i] * x[j];
            }
        }
    }
    h
}

#[test]
fn gptq_and_sparse_gpt_are_their_authors() {
    let golden = golden();
    let (w, h) = (doubles("gptq.w", &[8, 48]), moments());
    let rows = GridRule::per_row();
    let zeros = |sparsity, rounded| Some(Sparse { sparsity, rounded });
    let runs = Sparsity::Runs { zeros: 2, of: 4 };
    let base = Gptq { rule: rows, blocksize: 16, ..Gptq::default() };
    for (name, options) in [
        ("plain", base.clone()),
        ("symmetric", Gptq { rule: GridRule { bits: 3, sym: true, ..rows }, blocksize: 128, ..base.clone() }),
        ("tensor", Gptq { rule: GridRule::default(), actorder: true, ..base.clone() }),
        ("grouped", Gptq { groupsize: Some(8), ..base.clone() }),
        ("ordered", Gptq { groupsize: Some(16), actorder: true, ..base.clone() }),
        ("mse", Gptq { rule: GridRule { bits: 2, mse: true, ..rows }, blocksize: 32, ..base.clone() }),
        ("trits", Gptq { rule: GridRule { trits: true, sym: true, ..rows }, ..base.clone() }),
        ("sparse", Gptq { sparse: zeros(Sparsity::Part(0.5), false), ..base.clone() }),
        ("runs", Gptq { sparse: zeros(runs, false), ..base.clone() }),
        ("both", Gptq { sparse: zeros(runs, true), ..base.clone() }),
    ] {
        let found = quantize_matrix(&w, 8, &h, &options).unwrap();
        assert_close(name, &found.w, &golden.values(&format!("gptq.{name}")), 1e-6);
        let indices: Vec<f64> = found.g_idx.iter().map(|&g| g as f64).collect();
        assert_close(name, &indices, &golden.values(&format!("gptq.{name}.g_idx")), 0.0);
        if !found.grids.is_empty() {
            let scale: Vec<f64> = found.grids.iter().flat_map(|g| wide(&g.scale)).collect();
            let zero: Vec<f64> = found.grids.iter().flat_map(|g| wide(&g.zero)).collect();
            assert_close(name, &scale, &golden.values(&format!("gptq.{name}.scale")), 1e-7);
            assert_close(name, &zero, &golden.values(&format!("gptq.{name}.zero")), 1e-7);
        }
        if name == "runs" || name == "both" {
            for run in found.w.chunks(4) {
                assert!(run.iter().filter(|x| **x == 0.0).count() >= 2, "{run:?}");
            }
        }
    }
}

#[test]
fn bad_matrices_are_errors() {
    let options = Gptq::default();
    assert!(quantize_matrix(&[1.0; 6], 2, &[1.0; 4], &options).is_err());
    assert!(quantize_matrix(&[f64::NAN; 4], 2, &[1.0; 4], &options).is_err());
    // Columns that are one and the same are damped.
    assert!(quantize_matrix(&[0.5, -0.25], 1, &[1.0; 4], &Gptq { percdamp: 0.0, ..options }).is_ok());
}

#[test]
fn ranges_lose_least() {
    let w: Vec<f32> = (fill("range.w", &[5, 40], -1.0, 1.0).as_f32().unwrap().iter())
        .map(|&x| f64::from(x).powi(3) as f32)
        .collect();
    let scheme = QScheme::weights(4, Some(0));
    let found = grid_of(&scheme, &w, &[5, 40], RangeRule::mse()).unwrap();
    assert_close("scales", &wide(&found.scale), &golden().values("range.scale"), 1e-6);
    let whole = grid_of(&scheme, &w, &[5, 40], RangeRule::MinMax).unwrap();
    assert!(found.scale.iter().zip(&whole.scale).all(|(a, b)| a <= b) && found != whole);
    assert!(grid_of(&scheme, &[f32::NAN], &[1, 1], RangeRule::MinMax).is_err());
    assert!(grid_of(&scheme, &w, &[200], RangeRule::MinMax).is_ok());
    assert!(grid_of(&QScheme::weights(4, Some(3)), &w, &[5, 40], RangeRule::MinMax).is_err());
}

#[test]
fn shifts_of_means_are_those_of_running() {
    let mut b = Builder::new();
    let x = b.input("input", Fact::f32([Dim::symbol("N"), 4.into(), 7.into(), 7.into()])).unwrap();
    let w = b.param("conv.weight", &[6, 2, 3, 3], Role::Weight).unwrap();
    let y = b.op("conv", Conv { groups: 2, ..Conv::default() }, &[x, w]).unwrap();
    b.output("output", y).unwrap();
    let mut graph = b.finish().unwrap();
    let mut weights = Weights::new();
    weights.insert("conv.weight".into(), fill("bias.w", &[6, 2, 3, 3], -1.0, 1.0));
    round_weights(&mut graph, &mut weights, 3);
    let x = fill("bias.x", &[8, 4, 3, 3], 0.0, 1.0);
    let x = x.as_f32().unwrap();
    let means: Vec<f32> = (0..4).map(|c| (0..8).map(|i| x[(i * 4 + c) * 9]).sum::<f32>() / 8.0).collect();
    let layer = Layer::all(&graph).unwrap().remove(0);
    let found = shift_of_means(&graph, &weights, &weights, &layer, &means).unwrap().unwrap();
    assert_close("shift", &wide(&found), &golden().values("bias.shift"), 1e-5);
}

/// Images whose neighbouring pixels go together, as those of photographs do.
fn smooth_images(name: &str, n: usize) -> Tensor {
    images(name, n, &[3, 4, 4]).pad(&[(0, 0), (0, 0), (2, 2), (2, 2)]).unwrap().shift(0.3).unwrap()
}

fn error(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>() / a.len() as f64
}

/// A folded model with rounded weights of 4 bits, its float weights, and data to learn and to measure on.
fn rounded(bits: u32) -> (Graph, Weights, Vec<Vec<Tensor>>, Tensor) {
    let (mut graph, mut weights) = separable(Activation::Relu);
    fold_batch_norm(&mut graph, &mut weights).unwrap();
    round_weights(&mut graph, &mut weights, bits);
    let data = (0..4).map(|i| vec![smooth_images(&format!("learn{i}"), 8)]).collect();
    (graph, weights, data, smooth_images("measure", 16))
}

fn on_grid(graph: &Graph, weights: &Weights) {
    for layer in Layer::all(graph).unwrap() {
        let (op, grid) = layer.grid(graph, weights).unwrap().unwrap();
        let w = layer.floats(graph, weights).unwrap();
        let array = Array::from_f32(layer.shape.clone(), w.clone()).unwrap();
        let q = crate::lower::integers(&array, &op, &grid).unwrap();
        for (i, (q, w)) in q.iter().zip(&w).enumerate() {
            let at = i / layer.row();
            let back = (q - grid.zero_point[at]) as f32 * grid.scale[at];
            assert!((back - w).abs() <= 1e-5 * grid.scale[at].max(w.abs()), "{}: {back} {w}", layer.name);
        }
    }
}

#[test]
fn ada_round_beats_nearest() {
    let (mut graph, weights, data, x) = rounded(4);
    let wanted = run(&graph, &weights, &x, false);
    let near = error(&run(&graph, &weights, &x, true), &wanted);
    let mut learned = weights.clone();
    let schedule = Schedule { iterations: 600, learning_rate: 1e-2, ..Schedule::default() };
    let options = AdaRound { schedule, batch: 64, ..AdaRound::default() };
    let report = ada_round(&mut graph, &mut learned, &weights, &data, &options).unwrap();
    assert_eq!(report.done.len(), 4, "{report:?}");
    let own = error(&run(&graph, &learned, &x, true), &wanted);
    assert!(own < 0.5 * near, "{own} {near} {report:?}");
    on_grid(&graph, &learned);
    // The same again, bit for bit.
    let mut again = weights.clone();
    ada_round(&mut graph, &mut again, &weights, &data, &options).unwrap();
    assert!(again == learned);
}

/// Of one convolution, on other images than those it was rounded by: what a whole model gives may be worse all the same, for
/// errors of layers add up as they like.
#[test]
fn gptq_beats_nearest() {
    for (groups, padding) in [(1, 1), (2, 0)] {
        let mut b = Builder::new();
        let x = b.input("input", Fact::f32([Dim::symbol("N"), 4.into(), 8.into(), 8.into()])).unwrap();
        let w = b.param("conv.weight", &[16, 4 / groups, 3, 3], Role::Weight).unwrap();
        let conv = Conv { groups, padding: [(padding, padding); 2], ..Conv::default() };
        let y = b.op("conv", conv, &[x, w]).unwrap();
        b.output("output", y).unwrap();
        let mut graph = b.finish().unwrap();
        let mut weights = occam_testing::weights(&graph);
        round_weights(&mut graph, &mut weights, 4);
        // Pixels that go together.
        let pixels = |name: &str, n: usize| {
            let conv = Conv { padding: [(2, 2); 2], groups: 4, ..Conv::default() };
            let blur = Tensor::full(&[4, 1, 5, 5], 0.2, &occam_engine::Device::cpu());
            images(name, n, &[4, 8, 8]).conv2d(&blur, &conv).unwrap().shift(0.5).unwrap()
        };
        let (data, x) = (vec![vec![pixels("gptq.learn", 32)]], pixels("gptq.measure", 16));
        let wanted = run(&graph, &weights, &x, false);
        let rule = GridRule { bits: 4, sym: true, ..GridRule::per_row() };
        let options = Gptq { rule, actorder: true, ..Gptq::default() };
        let mut own = weights.clone();
        let (layers, _) = gptq(&mut graph, &mut own, &data, &options).unwrap();
        on_grid(&graph, &own);
        // To nearest, on the same grid.
        let mut nearest = own.clone();
        nearest.insert("conv.weight".into(), weights["conv.weight"].clone());
        let near = error(&run(&graph, &nearest, &x, true), &wanted);
        let found = error(&run(&graph, &own, &x, true), &wanted);
        assert!(found < 0.6 * near, "{found} {near}");
        let [near, own] = layers[0].errors;
        assert!(own < 0.6 * near, "{layers:?}");
    }
}

#[test]
fn groups_and_zeros_leave_no_rounding() {
    let (mut graph, mut weights, data, x) = rounded(4);
    let sparse = Some(Sparse { sparsity: Sparsity::Part(0.5), rounded: false });
    let options = Gptq { sparse, skipped_layers: vec!["fc".into()], ..Gptq::default() };
    let wanted = run(&graph, &weights, &x, false);
    let (layers, report) = gptq(&mut graph, &mut weights, &data, &options).unwrap();
    assert_eq!(report.skipped, [("fc".to_owned(), "`fc` is to be left".to_owned())]);
    assert!(layers.iter().all(|l| (0.4..0.6).contains(&l.zeros)), "{layers:?}");
    assert_eq!(graph.nodes().filter(|(_, n)| matches!(n.op, Op::FakeQuant(_))).count(), 1);
    assert!(weights.keys().all(|n| graph.find(n).is_some()));
    assert!(error(&run(&graph, &weights, &x, true), &wanted).is_finite());
    let (mut graph, mut weights, data, _) = rounded(4);
    let options = Gptq { groupsize: Some(4), ..Gptq::default() };
    let (layers, _) = gptq(&mut graph, &mut weights, &data, &options).unwrap();
    assert_eq!(layers[0].grids.len(), 7, "27 columns");
    assert_eq!((layers[0].g_idx[26], layers[0].grids[0].scale.len()), (6, 8));
}

/// Two residual blocks.
fn residual() -> (Graph, Weights) {
    let mut b = Builder::new();
    let x = b.input("input", Fact::f32([Dim::symbol("N"), 3.into(), 8.into(), 8.into()])).unwrap();
    let conv = |b: &mut Builder, name: &str, x, shape: [usize; 4]| {
        let w = b.param(&format!("{name}.weight"), &shape, Role::Weight).unwrap();
        let bias = b.param(&format!("{name}.bias"), &shape[..1], Role::Weight).unwrap();
        b.op(name, Conv { padding: [(1, 1); 2], ..Conv::default() }, &[x, w, bias]).unwrap()
    };
    let mut y = conv(&mut b, "stem", x, [6, 3, 3, 3]);
    y = b.op("stem_relu", Activation::Relu, &[y]).unwrap();
    for i in 0..2 {
        let z = conv(&mut b, &format!("a{i}"), y, [6, 6, 3, 3]);
        let z = b.op(&format!("relu{i}"), Activation::Relu, &[z]).unwrap();
        let z = conv(&mut b, &format!("b{i}"), z, [6, 6, 3, 3]);
        let z = b.op(&format!("sum{i}"), Binary::Add, &[y, z]).unwrap();
        y = b.op(&format!("out{i}"), Activation::Relu, &[z]).unwrap();
    }
    let y = b.op("pool", GlobalAvgPool, &[y]).unwrap();
    let y = b.op("flat", occam_graph::ops::Flatten { axis: 1 }, &[y]).unwrap();
    let w = b.param("fc.weight", &[5, 6], Role::Weight).unwrap();
    let y = b.op("fc", Linear, &[y, w]).unwrap();
    b.output("output", y).unwrap();
    let graph = b.finish().unwrap();
    let weights = occam_testing::weights(&graph);
    (graph, weights)
}

#[test]
fn blocks_are_residual_and_beat_nearest() {
    let (mut graph, mut weights) = residual();
    let found = reconstruct::blocks(&graph).unwrap();
    let layers = |b: &reconstruct::Block| {
        let names = b.nodes.iter().map(|&n| graph.node(n).unwrap().name.clone());
        names.filter(|n| weights.contains_key(&format!("{n}.weight"))).collect::<Vec<_>>().join(" ")
    };
    let names: Vec<String> = found.iter().map(layers).collect();
    assert_eq!(names, ["stem", "a0 b0", "a1 b1", "fc"]);
    round_weights(&mut graph, &mut weights, 4);
    let x = smooth_images("measure", 16);
    let data: Vec<Vec<Tensor>> = (0..4).map(|i| vec![smooth_images(&format!("learn{i}"), 8)]).collect();
    let wanted = run(&graph, &weights, &x, false);
    let near = error(&run(&graph, &weights, &x, true), &wanted);
    let mut learned = weights.clone();
    let schedule = Schedule { iterations: 200, learning_rate: 2e-2, ..Schedule::default() };
    let options = Reconstruct { schedule, batch: 8, ..Reconstruct::default() };
    let report = reconstruct_blocks(&mut graph, &mut learned, &weights, &data, &options).unwrap();
    assert_eq!(report.done.len(), 4, "{report:?}");
    let own = error(&run(&graph, &learned, &x, true), &wanted);
    assert!(own < 0.5 * near, "{own} {near} {report:?}");
    on_grid(&graph, &learned);
}

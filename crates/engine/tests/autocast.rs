//! Mixed precision against `f32`, on the processor.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use indexmap::IndexMap;
use occam_engine::{Autocast, Device, Executor, Mode, Noise, Params, Precision, Request, Tensor, collect};
use occam_graph::ops::examples;
use occam_graph::{Array, DType, Op, Weights};

fn setup(graph: occam_graph::Graph) -> (Executor, Params) {
    let weights: Weights = graph
        .params()
        .enumerate()
        .map(|(i, (_, v))| {
            let shape = v.fact.known_shape().unwrap();
            let n = shape.iter().product::<usize>();
            // Positive where they are variances, else around 0.
            let shift = if v.name.contains("running_var") { 1.0 } else { 0.0 };
            let data = (0..n).map(|k| noise(k * 31 + i * 977) * 0.5 + shift).collect();
            (v.name.clone(), Array::from_f32(shape, data).unwrap())
        })
        .collect();
    let params = Params::new(&graph, &weights, &Device::cpu()).unwrap();
    (Executor::new(Arc::new(graph)).unwrap(), params)
}

/// Numbers without pattern in [-1, 1).
fn noise(i: usize) -> f32 {
    let mut z = (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z >> 40) as f32 / (1u32 << 24) as f32).mul_add(2.0, -1.0)
}

fn image(n: usize) -> Tensor {
    let data = (0..n * 192).map(noise).collect();
    Tensor::from_f32(&[n, 3, 8, 8], data, &Device::cpu()).unwrap()
}

/// What dropout draws from.
#[derive(Debug)]
struct Fixed;

impl Noise for Fixed {
    fn uniform(&self, _: &str, out: &mut [f32]) {
        out.iter_mut().enumerate().for_each(|(i, v)| *v = noise(i) * 0.5 + 0.5);
    }
}

fn request(precision: Precision, loss_scale: f32) -> Request {
    let autocast = Autocast { precision, loss_scale };
    Request { autocast, noise: Some(Arc::new(Fixed)), ..Request::new(Mode::Train) }
}

/// The outputs and the gradients of `factor · Σ log softmax(output)[0]`.
fn learn(
    executor: &Executor,
    params: &Params,
    request: &Request,
    factor: f64,
) -> (Vec<f32>, IndexMap<String, Vec<f32>>) {
    let bound = params.leaves();
    let out = executor.run(&bound, &[image(4)], request).unwrap();
    let scores = &out.outputs[0];
    assert_eq!(scores.dtype().unwrap(), DType::F32);
    let labels = Tensor::from_i64(&[4], vec![0, 1, 0, 1], &Device::cpu()).unwrap();
    let loss = scores.cross_entropy(&labels).unwrap().mean().unwrap().scale(factor).unwrap();
    let grads = collect(&bound, &mut loss.backward().unwrap());
    let grads = grads.into_iter().map(|(n, g)| (n, g.to_f32().unwrap())).collect();
    (scores.to_f32().unwrap(), grads)
}

/// Largest difference, by the largest element of the second.
fn distance(a: &[f32], b: &[f32]) -> f32 {
    let scale = b.iter().fold(1e-30f32, |m, x| m.max(x.abs()));
    a.iter().zip(b).fold(0f32, |m, (x, y)| m.max((x - y).abs())) / scale
}

#[test]
fn low_precisions_are_near_f32() {
    let (executor, params) = setup(examples::small_classifier().unwrap());
    let (wanted, exact) = learn(&executor, &params, &request(Precision::F32, 1.0), 1.0);
    for (precision, of_output, of_gradient) in [(Precision::Bf16, 0.02, 0.06), (Precision::F16, 0.003, 0.01)]
    {
        let (found, grads) = learn(&executor, &params, &request(precision, 65536.0), 1.0);
        let off = distance(&found, &wanted);
        assert!(off > 0.0 && off < of_output, "{precision:?}: output is off by {off}");
        for (name, grad) in &grads {
            let off = distance(grad, &exact[name]);
            assert!(off < of_gradient, "{precision:?}: gradient of {name} is off by {off}");
        }
    }
}

#[test]
fn a_loss_scale_changes_no_gradient_that_does_not_overflow() {
    let (executor, params) = setup(examples::small_classifier().unwrap());
    let plain = learn(&executor, &params, &request(Precision::F32, 1.0), 1.0);
    assert_eq!(learn(&executor, &params, &request(Precision::F32, 65536.0), 1.0), plain);
    // Gradients too small for f16 are kept by the scale.
    let tiny = 1e-7;
    let (_, exact) = learn(&executor, &params, &request(Precision::F32, 1.0), tiny);
    let weight = "backbone.conv.weight";
    let (_, lost) = learn(&executor, &params, &request(Precision::F16, 1.0), tiny);
    assert!(distance(&lost[weight], &exact[weight]) > 0.3, "nothing was lost without a scale");
    let (_, kept) = learn(&executor, &params, &request(Precision::F16, 65536.0), tiny);
    assert!(distance(&kept[weight], &exact[weight]) < 0.01);
    // A scale that is too large shows in what it leaves behind.
    let (_, over) = learn(&executor, &params, &request(Precision::F16, 2f32.powi(60)), 1.0);
    assert!(over[weight].iter().any(|g| !g.is_finite()));
}

#[test]
fn training_follows_f32() {
    let train = |precision, loss_scale| {
        let (executor, mut params) = setup(examples::small_classifier().unwrap());
        let request = request(precision, loss_scale);
        for _ in 0..5 {
            let (_, grads) = learn(&executor, &params, &request, 1.0);
            for (name, grad) in grads {
                let param = params.get(&name).unwrap().tensor.clone();
                let grad = Tensor::from_f32(&param.shape(), grad, &Device::cpu()).unwrap();
                params.set(&name, param.sub(&grad.scale(0.05).unwrap()).unwrap()).unwrap();
            }
        }
        learn(&executor, &params, &request_f32(), 1.0).0
    };
    fn request_f32() -> Request {
        request(Precision::F32, 1.0)
    }
    let exact = train(Precision::F32, 1.0);
    for (precision, tolerance) in [(Precision::Bf16, 0.02), (Precision::F16, 0.004)] {
        let off = distance(&train(precision, 1024.0), &exact);
        assert!(off < tolerance, "{precision:?}: off by {off} after 5 steps");
    }
}

/// Every operator runs in both modes with low precision, and what is returned is `f32`.
#[test]
fn every_operator_casts() {
    for name in Op::FAMILIES {
        let (executor, params) = setup(examples::of_family(name).unwrap().unwrap());
        let graph = executor.graph().clone();
        let bindings = occam_graph::Bindings::from([("N".into(), 3)]);
        let shape = graph.value(graph.inputs()[0]).unwrap().fact.eval_shape(&bindings).unwrap();
        let n = shape.iter().product::<usize>();
        let x = Tensor::from_f32(&shape, (0..n).map(|i| (i as f32).cos()).collect(), &Device::cpu()).unwrap();
        for mode in [Mode::Train, Mode::Eval] {
            let run = |precision| {
                let request = Request { mode, taps: vec![graph.outputs()[0].1], ..request(precision, 1.0) };
                executor.run(&params.constants(), std::slice::from_ref(&x), &request).unwrap()
            };
            let exact = run(Precision::F32);
            for precision in [Precision::Bf16, Precision::F16] {
                let found = run(precision);
                let (a, b) = (found.outputs[0].to_f32().unwrap(), exact.outputs[0].to_f32().unwrap());
                assert!(distance(&a, &b) < 0.03, "{name}, {precision:?}: {}", distance(&a, &b));
                assert!(found.taps.values().all(|t| t.dtype().unwrap() == DType::F32));
            }
        }
    }
}

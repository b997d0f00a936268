//! The device that `OCCAM_TEST_DEVICE` names against the processor, operation by operation and through the executor.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::Arc;

use common::{device, tolerance};

use occam_engine::{
    Autocast, Device, Executor, Mode, Params, Precision, QuantRange, Request, Result, Tensor, collect,
};
use occam_graph::ops::{Conv, Pool, PoolKind, examples};
use occam_graph::{Array, Weights};

/// Numbers without pattern in [-1, 1).
fn noise(n: usize, seed: u64) -> Vec<f32> {
    (0..n as u64)
        .map(|i| {
            let mut z = seed.wrapping_add((i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z >> 40) as f32 / (1u32 << 24) as f32).mul_add(2.0, -1.0)
        })
        .collect()
}

fn near(what: &str, found: &[f32], wanted: &[f32]) {
    assert_eq!(found.len(), wanted.len(), "{what}");
    let scale = wanted.iter().fold(1f32, |m, x| m.max(x.abs()));
    for (i, (a, b)) in found.iter().zip(wanted).enumerate() {
        assert!(
            (a - b).abs() <= tolerance(1e-5) as f32 * scale,
            "{what}, element {i}: {a}, on the processor {b}"
        );
    }
}

/// Result and gradients on both devices.
fn compare(what: &str, shapes: &[&[usize]], f: impl Fn(&[Tensor]) -> Result<Tensor>) {
    let run = |device: &Device| -> Vec<Vec<f32>> {
        let leaves: Vec<Tensor> = shapes
            .iter()
            .enumerate()
            .map(|(i, s)| {
                let data = noise(s.iter().product(), i as u64);
                Tensor::from_f32(s, data, device).unwrap().require_grad()
            })
            .collect();
        let y = f(&leaves).unwrap();
        let up = Tensor::from_f32(&y.shape(), noise(y.len(), 77), device).unwrap();
        let mut all = vec![y.to_f32().unwrap()];
        let mut grads = y.mul(&up).unwrap().sum().unwrap().backward().unwrap();
        all.extend(leaves.iter().map(|l| grads.take(l).unwrap().to_f32().unwrap()));
        all
    };
    for (i, (a, b)) in run(&device()).iter().zip(&run(&Device::cpu())).enumerate() {
        near(&format!("{what}, result {i}"), a, b);
    }
}

#[test]
fn operations() {
    let plain = Conv::default();
    let padded = [(1, 1); 2];
    for conv in [
        Conv { padding: padded, ..plain },
        Conv { padding: [(0, 2), (2, 1)], stride: [2, 1], ..plain },
        Conv { padding: padded, dilation: [2, 2], groups: 2, ..plain },
        Conv { padding: padded, stride: [2, 2], groups: 4, ..plain },
    ] {
        let weight = [8, 4 / conv.groups, 3, 3];
        compare(&format!("{conv:?}"), &[&[3, 4, 11, 10], &weight, &[8]], |t| {
            t[0].conv2d_bias(&t[1], &t[2], &conv)
        });
    }
    let same = Conv { padding: padded, ..plain };
    compare("prefix", &[&[2, 3, 8, 8], &[8, 5, 3, 3]], |t| t[0].conv2d_prefix(&t[1], 6, &same));
    let twice = Conv { stride: [2, 2], padding: padded, ..plain };
    compare("transposed", &[&[2, 4, 5, 5], &[4, 3, 3, 3]], |t| t[0].conv_transpose2d(&t[1], &twice, [1, 1]));
    compare("batch norm", &[&[4, 3, 6, 6], &[3], &[3]], |t| {
        Ok(t[0].batch_norm_train(&t[1], &t[2], 1e-3)?.output)
    });
    compare("affine", &[&[4, 3, 6, 6], &[3], &[3]], |t| t[0].channel_affine(&t[1], &t[2]));
    compare("relu", &[&[5, 7]], |t| t[0].relu());
    compare("relu6", &[&[5, 7]], |t| t[0].scale(9.0)?.relu6());
    compare("shuffle", &[&[2, 6, 4, 4]], |t| t[0].channel_shuffle(3));
    compare("narrow", &[&[2, 6, 4, 4]], |t| t[0].narrow(1, 2, 3));
    compare("concat", &[&[2, 3, 4, 4], &[2, 2, 4, 4]], |t| Tensor::concat(t, 1));
    compare("softmax", &[&[4, 9]], |t| t[0].softmax(1));
    compare("product", &[&[5, 7], &[7, 3]], |t| t[0].matmul(&t[1]));
    compare("global", &[&[2, 3, 5, 4]], |t| t[0].global_avg_pool());
    compare("adaptive means", &[&[2, 3, 5, 4]], |t| t[0].adaptive_avg_pool2d([3, 2]));
    compare("adaptive largest", &[&[2, 3, 5, 4]], |t| t[0].adaptive_max_pool2d([3, 2]));
    for ceil_mode in [false, true] {
        for kind in [
            PoolKind::Max,
            PoolKind::Average { count_include_pad: true },
            PoolKind::Average { count_include_pad: false },
        ] {
            let pool = Pool { kernel: [3, 3], stride: [2, 2], padding: [1, 1], ceil_mode, kind };
            compare(&format!("{pool:?}"), &[&[2, 3, 10, 9]], |t| t[0].pool2d(&pool));
        }
    }
    compare("cross entropy", &[&[4, 6]], |t| {
        t[0].cross_entropy(&Tensor::from_i64(&[4], vec![0, 5, 2, 2], &t[0].device())?)
    });
    let range = QuantRange { low: -8, high: 7, axis: Some(1), learned: Some(0.25) };
    compare("fake quantization", &[&[3, 2, 8]], |t| {
        let of = |v: [f32; 2]| Tensor::from_f32(&[2], v.to_vec(), &t[0].device());
        t[0].fake_quantize(&of([0.125, 0.25])?, &of([0.0, 1.0])?, range)
    });
}

/// Squares whose sum exceeds the largest `f32`.
#[test]
fn norms_of_large_gradients_are_finite() {
    let x = Tensor::from_f32(&[3], vec![1e19, -3e38, 2e38], &device()).unwrap();
    let wanted: f64 = [1e19f32, -3e38, 2e38].iter().map(|&v| f64::from(v).powi(2)).sum();
    let found = Tensor::sum_of_squares_of([&x, &x]).unwrap();
    assert!((found - 2.0 * wanted).abs() <= 1e-6 * wanted, "{found} and {wanted}");
    let none = Tensor::from_f32(&[2], vec![0.0, 0.0], &device()).unwrap();
    assert_eq!(none.sum_of_squares().unwrap(), 0.0);
    for bad in [f32::INFINITY, f32::NAN] {
        let x = Tensor::from_f32(&[2], vec![bad, 1.0], &device()).unwrap();
        assert!(!x.sum_of_squares().unwrap().is_finite());
    }
}

#[test]
fn trainings() {
    let graph = Arc::new(examples::small_classifier().unwrap());
    let weights: Weights = graph
        .params()
        .enumerate()
        .map(|(i, (_, v))| {
            let shape = v.fact.known_shape().unwrap();
            let shift = if v.name.contains("running_var") { 1.0 } else { 0.0 };
            let data = noise(shape.iter().product(), i as u64).iter().map(|x| x * 0.5 + shift).collect();
            (v.name.clone(), Array::from_f32(shape, data).unwrap())
        })
        .collect();
    let executor = Executor::new(graph.clone()).unwrap();
    let train = |device: &Device, precision| -> Vec<f32> {
        let mut params = Params::new(&graph, &weights, device).unwrap();
        let image = Tensor::from_f32(&[4, 3, 8, 8], noise(768, 5), device).unwrap();
        let labels = Tensor::from_i64(&[4], vec![0, 1, 2, 3], device).unwrap();
        let autocast = Autocast { precision, loss_scale: 1024.0 };
        let request = Request { autocast, ..Request::new(Mode::Train) };
        for _ in 0..3 {
            let bound = params.leaves();
            let out = executor.run(&bound, std::slice::from_ref(&image), &request).unwrap();
            let loss = out.outputs[0].cross_entropy(&labels).unwrap().mean().unwrap();
            let grads = collect(&bound, &mut loss.backward().unwrap());
            assert!(Tensor::sum_of_squares_of(grads.values()).unwrap().is_finite());
            for (name, tensor) in out.buffers {
                params.set(&name, tensor).unwrap();
            }
            drop(bound);
            for (name, grad) in grads {
                params.update(&name, |p| p.sub(&grad.scale(0.05)?)).unwrap();
            }
        }
        let out = executor.run(&params.constants(), std::slice::from_ref(&image), &Request::new(Mode::Eval));
        out.unwrap().outputs[0].to_f32().unwrap()
    };
    for precision in [Precision::F32, Precision::Bf16, Precision::F16] {
        let wanted = train(&Device::cpu(), precision);
        near(&format!("{precision:?}"), &train(&device(), precision), &wanted);
    }
}

//! Gradients against central differences of the forward pass.
//!
//! Convolutions, sums and affine maps are linear in each argument, so that a wide step has no error but rounding; what has
//! corners is given elements that are further from them than the step.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::Arc;

use common::device;

use occam_engine::{Bound, Executor, Mode, QuantRange, Request, Result, Tensor};
use occam_graph::ops::{Activation, Binary, Conv, Pool, PoolKind};
use occam_graph::{Builder, DType, Fact, Role};

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

/// All different, at least 0.1 apart, around 0 and never within 0.05 of a multiple of 1: in the order of noise.
fn apart(n: usize, seed: u64) -> Vec<f32> {
    let noise = noise(n, seed);
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&a, &b| noise[a].total_cmp(&noise[b]));
    let mut out = vec![0.0; n];
    for (rank, i) in order.into_iter().enumerate() {
        out[i] = (rank as f32 - (n / 2) as f32) * 0.1 + 0.05;
    }
    out
}

fn tensor(shape: &[usize], data: &[f32]) -> Tensor {
    Tensor::from_f32(shape, data.to_vec(), &device()).unwrap()
}

/// Checks the gradients of `Σ upstream · f(args)` at up to 80 elements of each argument.
fn check(
    what: &str,
    args: &[(Vec<usize>, Vec<f32>)],
    step: f32,
    tolerance: f64,
    f: impl Fn(&[Tensor]) -> Result<Tensor>,
) {
    let build = |args: &[(Vec<usize>, Vec<f32>)]| -> Vec<Tensor> {
        args.iter().map(|(shape, data)| tensor(shape, data)).collect()
    };
    let limit = common::tolerance(tolerance);
    let upstream = |n: usize| noise(n, 99);
    let value = |args: &[(Vec<usize>, Vec<f32>)]| -> f64 {
        let y = f(&build(args)).unwrap().to_f32().unwrap();
        y.iter().zip(upstream(y.len())).map(|(&y, u)| f64::from(y) * f64::from(u)).sum()
    };
    let leaves: Vec<Tensor> = build(args).iter().map(Tensor::require_grad).collect();
    let y = f(&leaves).unwrap();
    let up = tensor(&y.shape(), &upstream(y.len()));
    let mut grads = y.mul(&up).unwrap().sum().unwrap().backward().unwrap();
    for (k, leaf) in leaves.iter().enumerate() {
        let grad = grads.take(leaf).unwrap().to_f32().unwrap();
        let scale = grad.iter().fold(1f64, |m, g| m.max(f64::from(g.abs())));
        for i in (0..grad.len()).step_by(grad.len().div_ceil(80)) {
            let at = |delta: f32| {
                let mut moved = args.to_vec();
                moved[k].1[i] += delta;
                value(&moved)
            };
            let wanted = (at(step) - at(-step)) / f64::from(2.0 * step);
            let found = f64::from(grad[i]);
            assert!(
                (found - wanted).abs() <= limit * scale,
                "{what}: argument {k}, element {i}: {found}, by differences {wanted}"
            );
        }
    }
}

fn noisy(shapes: &[&[usize]], seed: u64) -> Vec<(Vec<usize>, Vec<f32>)> {
    let of = |(i, s): (usize, &&[usize])| (s.to_vec(), noise(s.iter().product(), seed + i as u64));
    shapes.iter().enumerate().map(of).collect()
}

const LINEAR: (f32, f64) = (0.5, 2e-5);

#[test]
fn convolutions() {
    let plain = Conv::default();
    let padded = [(1, 1); 2];
    let cases: [(&str, [usize; 4], [usize; 4], Conv); 10] = [
        ("1x1", [2, 5, 4, 3], [7, 5, 1, 1], plain),
        ("3x3 of many tiles", [2, 8, 13, 14], [16, 8, 3, 3], Conv { padding: padded, ..plain }),
        ("strided", [2, 3, 9, 8], [5, 3, 3, 3], Conv { stride: [2, 3], padding: padded, ..plain }),
        (
            "dilated",
            [1, 3, 9, 9],
            [4, 3, 3, 2],
            Conv { dilation: [2, 3], padding: [(2, 2), (1, 1)], ..plain },
        ),
        ("asymmetric", [2, 3, 6, 7], [4, 3, 3, 3], Conv { padding: [(0, 2), (2, 1)], ..plain }),
        (
            "strided, asymmetric",
            [2, 3, 8, 7],
            [4, 3, 3, 4],
            Conv { stride: [2, 2], padding: [(1, 0), (0, 2)], ..plain },
        ),
        ("grouped", [2, 6, 6, 5], [4, 3, 3, 3], Conv { groups: 2, padding: padded, ..plain }),
        ("depthwise", [2, 5, 8, 9], [5, 1, 3, 3], Conv { groups: 5, padding: padded, ..plain }),
        (
            "depthwise, strided, dilated, asymmetric",
            [2, 4, 10, 11],
            [4, 1, 3, 3],
            Conv { groups: 4, stride: [2, 2], dilation: [2, 1], padding: [(2, 1), (0, 1)] },
        ),
        ("depthwise, 5x5", [1, 3, 9, 9], [3, 1, 5, 5], Conv { groups: 3, padding: [(2, 2); 2], ..plain }),
    ];
    for (what, x, weight, conv) in cases {
        check(what, &noisy(&[&x, &weight], 7), LINEAR.0, LINEAR.1, |t| t[0].conv2d(&t[1], &conv));
        let bias = [weight[0]];
        check(what, &noisy(&[&x, &weight, &bias], 8), LINEAR.0, LINEAR.1, |t| {
            t[0].conv2d_bias(&t[1], &t[2], &conv)
        });
    }
    let conv = Conv { padding: padded, ..plain };
    check("prefix", &noisy(&[&[2, 3, 5, 5], &[6, 5, 3, 3]], 9), LINEAR.0, LINEAR.1, |t| {
        t[0].conv2d_prefix(&t[1], 4, &conv)
    });
}

#[test]
fn transposed_convolutions() {
    let plain = Conv::default();
    let cases = [
        ([2, 4, 4, 5], [4, 3, 3, 3], Conv { stride: [2, 2], padding: [(1, 1); 2], ..plain }, [1, 1]),
        ([1, 4, 3, 4], [4, 2, 2, 3], Conv { groups: 2, stride: [3, 1], ..plain }, [2, 0]),
        ([2, 2, 4, 4], [2, 3, 3, 2], Conv { dilation: [2, 1], padding: [(0, 1), (1, 0)], ..plain }, [0, 0]),
    ];
    for (x, weight, conv, more) in cases {
        check("transposed", &noisy(&[&x, &weight], 3), LINEAR.0, LINEAR.1, |t| {
            t[0].conv_transpose2d(&t[1], &conv, more)
        });
    }
}

#[test]
fn channels() {
    check("affine", &noisy(&[&[3, 4, 5, 2], &[4], &[4]], 1), LINEAR.0, LINEAR.1, |t| {
        t[0].channel_affine(&t[1], &t[2])
    });
    check("shuffle", &noisy(&[&[2, 6, 3, 3]], 2), LINEAR.0, LINEAR.1, |t| t[0].channel_shuffle(3));
    check("taken", &noisy(&[&[2, 6, 3, 3]], 3), LINEAR.0, LINEAR.1, |t| t[0].narrow(1, 2, 3));
    check("joined", &noisy(&[&[2, 3, 3, 3], &[2, 2, 3, 3]], 4), LINEAR.0, LINEAR.1, |t| Tensor::concat(t, 1));
}

#[test]
fn pools_and_activations() {
    let (step, tolerance) = (0.02, 1e-4);
    let shape = [2, 2, 7, 6];
    let x = || vec![(shape.to_vec(), apart(shape.iter().product(), 5))];
    for kind in [
        PoolKind::Max,
        PoolKind::Average { count_include_pad: true },
        PoolKind::Average { count_include_pad: false },
    ] {
        for (kernel, stride, padding, ceil_mode) in [
            ([2, 2], [2, 2], [0, 0], false),
            ([3, 3], [2, 2], [1, 1], false),
            ([3, 2], [2, 3], [1, 0], true),
            ([3, 3], [1, 1], [1, 1], false),
        ] {
            let pool = Pool { kernel, stride, padding, ceil_mode, kind };
            check(&format!("{pool:?}"), &x(), step, tolerance, |t| t[0].pool2d(&pool));
        }
    }
    check("global", &x(), step, tolerance, |t| t[0].global_avg_pool());
    check("relu", &x(), step, tolerance, |t| t[0].relu());
    check("relu6", &x(), step, tolerance, |t| t[0].relu6());
}

/// A sum and its activation, which the executor computes in one step.
#[test]
fn sums_with_activations() {
    let shape = [2, 3, 4, 3];
    for activation in [Activation::Relu, Activation::Relu6] {
        let mut b = Builder::new();
        let x = b.input("x", Fact::new(DType::F32, shape.to_vec())).unwrap();
        let w = b.param("w", &shape, Role::Weight).unwrap();
        let y = b.op("sum", Binary::Add, &[x, w]).unwrap();
        let y = b.op("activation", activation, &[y]).unwrap();
        b.output("y", y).unwrap();
        let executor = Executor::new(Arc::new(b.finish().unwrap())).unwrap();
        let n = shape.iter().product();
        // Sums of halves are as far from corners as their double.
        let half: Vec<f32> = apart(n, 6).iter().map(|v| v / 2.0).collect();
        let args = vec![(shape.to_vec(), half.clone()), (shape.to_vec(), half)];
        check("sum", &args, 0.02, 1e-4, |t| {
            let params = Bound::from([("w".to_owned(), t[1].clone())]);
            let out = executor.run(&params, &t[..1], &Request::new(Mode::Train))?;
            Ok(out.outputs[0].clone())
        });
    }
}

/// By definition no differences: straight through for `x`, and the formula of learned step sizes for the scale (Esser et
/// al., 2020, arXiv:1902.08153).
#[test]
fn fake_quantization() {
    let shape = [3, 4, 5];
    let n: usize = shape.iter().product();
    let (scales, zeros) = ([0.31f32, 0.17, 0.23, 0.4], [0.0f32, 1.0, -2.0, 3.0]);
    let (low, high, factor) = (-4, 5, 0.125f64);
    let x: Vec<f32> = noise(n, 1).iter().map(|v| 3.0 * v).collect();
    let up = noise(n, 2);
    let leaf = |shape: &[usize], v: &[f32]| tensor(shape, v).require_grad();
    let (tx, ts, tz) = (leaf(&shape, &x), leaf(&[4], &scales), leaf(&[4], &zeros));
    let range = QuantRange { low, high, axis: Some(1), learned: Some(factor as f32) };
    let y = tx.fake_quantize(&ts, &tz, range).unwrap();
    let mut grads = y.mul(&tensor(&shape, &up)).unwrap().sum().unwrap().backward().unwrap();
    let [dx, ds, dz] = [&tx, &ts, &tz].map(|t| grads.take(t).unwrap().to_f32().unwrap());
    let (mut wanted_s, mut wanted_z) = ([0f64; 4], [0f64; 4]);
    for i in 0..n {
        let c = (i / shape[2]) % shape[1];
        let (s, z, up) = (f64::from(scales[c]), f64::from(zeros[c]), f64::from(up[i]));
        let steps = f64::from(x[i]) / s;
        let q = steps.round_ties_even() + z;
        let inside = q >= f64::from(low) && q <= f64::from(high);
        assert_eq!(dx[i], if inside { up as f32 } else { 0.0 });
        if inside {
            wanted_s[c] += factor * up * (steps.round_ties_even() - steps);
        } else {
            wanted_s[c] += factor * up * (q.clamp(f64::from(low), f64::from(high)) - z);
            wanted_z[c] -= factor * up * s;
        }
    }
    for c in 0..4 {
        assert!((f64::from(ds[c]) - wanted_s[c]).abs() < 1e-5, "scale {c}: {} and {}", ds[c], wanted_s[c]);
        assert!((f64::from(dz[c]) - wanted_z[c]).abs() < 1e-5, "zero {c}: {} and {}", dz[c], wanted_z[c]);
    }
    // Where the scale alone moves and nothing changes its integer, differences tell the way forward's part of the formula:
    // d/ds of (q − z) · s is q − z.
    let narrow = QuantRange { low: 1, high: 1, axis: None, learned: Some(1.0) };
    let args = [(vec![4], vec![5.0, 6.0, 7.0, 8.0]), (vec![1], vec![0.5])];
    check("clamped", &args, 0.05, 1e-4, |t| t[0].fake_quantize(&t[1], &tensor(&[1], &[0.0]), narrow));
}

//! Batch normalization with its activation against a plain `f64` reference, and its gradients by finite differences.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use occam_kernels::Activation;
use occam_kernels::batch_norm::{Saved, affine, apply, backward, statistics};
use occam_kernels::channels::Layout;
use proptest::prelude::*;

fn noise(n: usize, seed: u64) -> Vec<f32> {
    (0..n as u64)
        .map(|i| {
            let mut z = seed.wrapping_add((i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z >> 40) as f64 / f64::from(1u32 << 24)).mul_add(2.0, -1.0) as f32
        })
        .collect()
}

/// Outputs before the activation, in `f64`.
fn reference(x: &[f64], weight: &[f64], bias: &[f64], l: Layout, eps: f64) -> Vec<f64> {
    let mut out = vec![0.0; x.len()];
    let indices =
        |c: usize| (0..l.n).flat_map(move |n| (0..l.inner).map(move |i| (n * l.channels + c) * l.inner + i));
    for c in 0..l.channels {
        let m = (l.n * l.inner) as f64;
        let mean = indices(c).map(|i| x[i]).sum::<f64>() / m;
        let var = indices(c).map(|i| (x[i] - mean).powi(2)).sum::<f64>() / m;
        for i in indices(c) {
            out[i] = (x[i] - mean) / (var + eps).sqrt() * weight[c] + bias[c];
        }
    }
    out
}

fn wide(v: &[f32]) -> Vec<f64> {
    v.iter().map(|&v| f64::from(v)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, ..ProptestConfig::default() })]

    #[test]
    fn agrees(n in 1usize..5, channels in 1usize..5, inner in 1usize..70, offset in -50f32..50.0, seed in any::<u64>()) {
        prop_assume!(n * inner > 4);
        let l = Layout { n, channels, inner };
        let eps = 0.05;
        let x: Vec<f32> = noise(l.elements(), seed).iter().map(|v| v + offset).collect();
        let weight: Vec<f32> = noise(channels, seed ^ 1).iter().map(|v| v * 3.0).collect();
        let bias: Vec<f32> = noise(channels, seed ^ 2).iter().map(|v| v * 3.0 + 2.0).collect();
        let dy = noise(l.elements(), seed ^ 3);
        let (mean, var) = statistics(&x, l);
        let (scale, shift) = affine(&weight, &bias, &mean, &var, eps);
        let y = reference(&wide(&x), &wide(&weight), &wide(&bias), l, eps);
        for activation in [Activation::None, Activation::Relu, Activation::Relu6] {
            let (low, high) = activation.range();
            let act = |v: f64| v.max(f64::from(low)).min(f64::from(high));
            for (a, &b) in apply(&x, &scale, &shift, l, activation).iter().zip(&y) {
                prop_assert!((f64::from(*a) - act(b)).abs() < 2e-4, "{} and {}", a, act(b));
            }
            // Next to a kink the difference is no gradient.
            let smooth = y.iter().all(|v| (v - f64::from(low)).abs() > 1e-3 && (v - f64::from(high)).abs() > 1e-3);
            if !smooth {
                continue;
            }
            let saved = Saved { x: &x, weight: &weight, bias: &bias, mean: &mean, var: &var, eps, activation };
            let [dx, dweight, dbias] = backward(&saved, &dy, l);
            let loss = |x: &[f64], w: &[f64], b: &[f64]| -> f64 {
                reference(x, w, b, l, eps).iter().zip(&dy).map(|(&v, &g)| act(v) * f64::from(g)).sum()
            };
            let args = [wide(&x), wide(&weight), wide(&bias)];
            for (k, found) in [&dx, &dweight, &dbias].into_iter().enumerate() {
                for i in (0..found.len()).step_by(1 + found.len() / 10) {
                    let at = |h: f64| {
                        let mut moved = args.clone();
                        moved[k][i] += h;
                        loss(&moved[0], &moved[1], &moved[2])
                    };
                    let wanted = (at(1e-5) - at(-1e-5)) / 2e-5;
                    let scale = 1.0 + wanted.abs();
                    prop_assert!((f64::from(found[i]) - wanted).abs() < 2e-3 * scale, "{} {}: {} and {}", k, i, found[i], wanted);
                }
            }
        }
    }
}

#[test]
fn a_large_mean_costs_no_precision() {
    let l = Layout { n: 3, channels: 1, inner: 10_000 };
    let x: Vec<f32> = noise(l.elements(), 1).iter().map(|v| v + 1000.0).collect();
    let mean = x.iter().map(|&v| f64::from(v)).sum::<f64>() / x.len() as f64;
    let var = x.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / x.len() as f64;
    let (m, v) = statistics(&x, l);
    assert!((f64::from(m[0]) - mean).abs() < 1e-4);
    assert!((f64::from(v[0]) - var).abs() < 1e-5 * var);
}

//! Cross entropy against a plain `f64` reference and finite differences.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use occam_kernels::softmax::{TargetError, cross_entropy_backward, cross_entropy_forward};
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

fn reference(logits: &[f64], target: usize) -> (f64, Vec<f64>) {
    let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = logits.iter().map(|v| (v - most).exp()).sum();
    let p = logits.iter().map(|v| (v - most).exp() / total).collect();
    (total.ln() - (logits[target] - most), p)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn there_and_back(
        n in 0usize..40,
        classes in prop_oneof![1usize..70, Just(1000)],
        spread in prop_oneof![Just(1f32), Just(30.0), Just(400.0)],
        shift in prop_oneof![Just(0f32), Just(1e4), Just(-1e4)],
        seed in any::<u64>(),
    ) {
        let logits: Vec<f32> = noise(n * classes, seed).iter().map(|v| v * spread + shift).collect();
        let targets: Vec<i64> = (0..n as u64).map(|i| ((seed ^ (i * 7919)) % classes as u64) as i64).collect();
        let upstream = noise(n, seed ^ 1);
        let (losses, p) = cross_entropy_forward(&logits, &targets, classes).unwrap();
        let dx = cross_entropy_backward(&p, &targets, &upstream, classes).unwrap();
        prop_assert_eq!((losses.len(), p.len(), dx.len()), (n, n * classes, n * classes));
        for i in 0..n {
            let row: Vec<f64> = logits[i * classes..(i + 1) * classes].iter().map(|&v| f64::from(v)).collect();
            let target = targets[i] as usize;
            let (loss, wanted) = reference(&row, target);
            prop_assert!((f64::from(losses[i]) - loss).abs() <= 1e-6 * loss.max(1.0), "{} and {}", losses[i], loss);
            let loss_at = |j: usize, step: f64| {
                let mut row = row.clone();
                row[j] += step;
                reference(&row, target).0
            };
            for (j, &wanted) in wanted.iter().enumerate() {
                let (at, g) = (i * classes + j, f64::from(upstream[i]));
                let error = (f64::from(p[at]) - wanted).abs();
                // The distance to the largest logit is rounded to f32 before it is an exponent.
                let relative = 1e-6 + 1.2e-7 * wanted.ln().abs().min(100.0);
                prop_assert!(error <= relative * wanted + 1e-37, "{} and {}", p[at], wanted);
                let slope = g * (wanted - f64::from(u8::from(j == target)));
                prop_assert!((f64::from(dx[at]) - slope).abs() < 1e-6, "{} and {}", dx[at], slope);
                if j == target || j == 0 {
                    let slope = g * (loss_at(j, 1e-4) - loss_at(j, -1e-4)) / 2e-4;
                    prop_assert!((f64::from(dx[at]) - slope).abs() < 1e-5, "{} and {}", dx[at], slope);
                }
            }
        }
    }
}

#[test]
fn targets_outside_the_classes_are_errors() {
    for target in [-1, 3, i64::MAX] {
        let error = TargetError { sample: 1, target, classes: 3 };
        assert_eq!(cross_entropy_forward(&[0.0; 6], &[0, target], 3), Err(error));
        assert_eq!(cross_entropy_backward(&[0.0; 6], &[0, target], &[1.0; 2], 3), Err(error));
        assert!(error.to_string().contains("of sample 1"));
    }
}

#[test]
fn values_that_are_not_finite_do_as_in_pytorch() {
    let (loss, p) = cross_entropy_forward(&[0.0, f32::NEG_INFINITY, 0.0], &[1], 3).unwrap();
    assert_eq!((loss[0], &p[..]), (f32::INFINITY, &[0.5, 0.0, 0.5][..]));
    for odd in [f32::NAN, f32::INFINITY] {
        let (loss, p) = cross_entropy_forward(&[0.0, odd, 0.0], &[0], 3).unwrap();
        assert!(loss[0].is_nan() && p[1].is_nan());
    }
}

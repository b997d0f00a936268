//! Optimizer steps against plain `f64` references, over several steps.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use occam_kernels::optim::{AdamW, Moments, Sgd, adamw, sgd};
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

fn wide(v: &[f32]) -> Vec<f64> {
    v.iter().map(|&v| f64::from(v)).collect()
}

fn close(found: &[f32], wanted: &[f64], tolerance: f64, what: &str) -> Result<(), TestCaseError> {
    prop_assert_eq!(found.len(), wanted.len());
    for (i, (a, b)) in found.iter().zip(wanted).enumerate() {
        prop_assert!((f64::from(*a) - b).abs() <= tolerance, "{} {}: {} and {}", what, i, a, b);
    }
    Ok(())
}

fn lengths() -> impl Strategy<Value = usize> {
    prop_oneof![0usize..40, 32_760usize..32_780, 70_000usize..70_010]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn descent(
        n in lengths(),
        seed in any::<u64>(),
        with_buffer in any::<bool>(),
        nesterov in any::<bool>(),
        dampening in prop_oneof![Just(0.0), 0.0..0.9],
        weight_decay in prop_oneof![Just(0.0), 0.0..0.5],
    ) {
        let rule = Sgd { lr: 0.1, momentum: 0.9, dampening, weight_decay, nesterov };
        let mut param = noise(n, seed);
        let (mut p, mut b) = (wide(&param), vec![0f64; n]);
        // What the buffer holds before the first step does not matter.
        let mut buffer = vec![f32::NAN; n];
        for step in 0..4u64 {
            let grad = noise(n, seed ^ (step + 1));
            sgd(&mut param, &grad, with_buffer.then_some(&mut buffer[..]), step == 0, &rule);
            for i in 0..n {
                let mut d = f64::from(grad[i]) + weight_decay * p[i];
                if with_buffer {
                    b[i] = if step == 0 { d } else { 0.9 * b[i] + (1.0 - dampening) * d };
                    d = if nesterov { d + 0.9 * b[i] } else { b[i] };
                }
                p[i] -= 0.1 * d;
            }
        }
        close(&param, &p, 2e-6, "p")?;
        if with_buffer {
            close(&buffer, &b, 4e-6, "b")?;
        }
    }

    #[test]
    fn adam(n in lengths(), seed in any::<u64>(), weight_decay in 0.0..0.5) {
        let rule = AdamW { lr: 0.01, betas: (0.9, 0.95), eps: 1e-8, weight_decay };
        let mut param = noise(n, seed);
        let mut p = wide(&param);
        let (mut m, mut v) = (vec![0f64; n], vec![0f64; n]);
        let (mut exp_avg, mut exp_avg_sq) = (vec![0f32; n], vec![0f32; n]);
        for step in 1..5u32 {
            let grad: Vec<f32> =
                noise(n, seed ^ u64::from(step)).iter().map(|g| g / (step * step * step * step) as f32).collect();
            let moments = Moments { exp_avg: &mut exp_avg, exp_avg_sq: &mut exp_avg_sq };
            adamw(&mut param, &grad, moments, step, &rule);
            let (c1, c2) = (1.0 - 0.9f64.powi(step as i32), 1.0 - 0.95f64.powi(step as i32));
            for i in 0..n {
                let g = f64::from(grad[i]);
                m[i] = 0.9 * m[i] + 0.1 * g;
                v[i] = 0.95 * v[i] + 0.05 * g * g;
                let root = (v[i] / c2).sqrt();
                p[i] = p[i] * (1.0 - 0.01 * weight_decay) - 0.01 * (m[i] / c1) / (root + 1e-8);
            }
        }
        close(&param, &p, 2e-6, "p")?;
        close(&exp_avg, &m, 1e-6, "m")?;
        close(&exp_avg_sq, &v, 1e-6, "v")?;
    }
}

#[test]
fn first_steps_are_known() {
    let rule = Sgd { lr: 0.5, momentum: 0.5, dampening: 0.5, weight_decay: 0.25, nesterov: true };
    let (mut p, mut b) = ([4.0], [7.0]);
    sgd(&mut p, &[1.0], Some(&mut b), true, &rule);
    assert_eq!((p, b), ([2.5], [2.0]));
    sgd(&mut p, &[0.375], Some(&mut b), false, &rule);
    // d = 1; b = 0.5 · 2 + 0.5 · 1; p = 2.5 − 0.5 · (1 + 0.5 · 1.5)
    assert_eq!((p, b), ([1.625], [1.5]));
}

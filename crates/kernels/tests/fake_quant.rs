//! Fake quantization against plain references, over random shapes and grids.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use occam_kernels::channels::Layout;
use occam_kernels::fake_quant::{Grid, backward, backward_learnable, forward};
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

#[derive(Debug)]
struct Case {
    layout: Layout,
    scale: Vec<f32>,
    zero: Vec<f32>,
    range: (i32, i32),
    x: Vec<f32>,
    dy: Vec<f32>,
}

impl Case {
    fn grid(&self) -> Grid<'_> {
        Grid {
            scale: &self.scale,
            zero_point: &self.zero,
            low: self.range.0,
            high: self.range.1,
            layout: self.layout,
        }
    }

    fn channel(&self, i: usize) -> usize {
        i / self.layout.inner % self.layout.channels
    }
}

fn cases() -> impl Strategy<Value = Case> {
    let inner = prop_oneof![Just(1usize), 2usize..60, 5000usize..20000];
    let range = prop_oneof![Just((-128, 127)), Just((0, 255)), Just((-8, 7))];
    (1usize..4, 1usize..6, inner, range, any::<u64>()).prop_map(|(n, channels, inner, range, seed)| {
        let layout = Layout { n, channels, inner };
        let scale = noise(channels, seed).iter().map(|v| 0.01 + 0.2 * v.abs()).collect();
        let middle = (range.0 + range.1) / 2;
        let zero = noise(channels, seed ^ 1).iter().map(|v| (v * 5.0).round() + middle as f32).collect();
        let x = noise(layout.elements(), seed ^ 2).iter().map(|v| v * 3.0).collect();
        Case { layout, scale, zero, range, x, dy: noise(layout.elements(), seed ^ 3) }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn there_and_back(case in cases()) {
        let (y, dx) = (forward(&case.x, &case.grid()), backward(&case.x, &case.dy, &case.grid()));
        prop_assert_eq!(y.len(), case.x.len());
        for (i, &x) in case.x.iter().enumerate() {
            let (s, z) = (case.scale[case.channel(i)], case.zero[case.channel(i)]);
            let q = (x * (1.0 / s)).round_ties_even() as i32 + z as i32;
            let wanted = (q.clamp(case.range.0, case.range.1) - z as i32) as f32 * s;
            prop_assert_eq!(y[i], wanted);
            let inside = case.range.0 <= q && q <= case.range.1;
            prop_assert_eq!(dx[i], if inside { case.dy[i] } else { 0.0 });
        }
    }

    #[test]
    fn learned(case in cases(), factor in 0.01f32..1.0) {
        let [dx, ds, dz] = backward_learnable(&case.x, &case.dy, &case.grid(), factor);
        let channels = case.layout.channels;
        let (mut s_sums, mut z_sums, mut size) = (vec![0f64; channels], vec![0f64; channels], 1f64);
        for (i, &x) in case.x.iter().enumerate() {
            let c = case.channel(i);
            let (s, z, dy) = (case.scale[c], f64::from(case.zero[c]), f64::from(case.dy[i]));
            let q = f64::from((x * (1.0 / s) + case.zero[c]).round_ties_even());
            let (low, high) = (f64::from(case.range.0), f64::from(case.range.1));
            let inside = low <= q && q <= high;
            prop_assert_eq!(dx[i], if inside { case.dy[i] } else { 0.0 });
            let rest = if inside { q - z - f64::from(x) / f64::from(s) } else { q.clamp(low, high) - z };
            s_sums[c] += dy * rest;
            z_sums[c] += if inside { 0.0 } else { -dy * f64::from(s) };
            size += (dy * rest).abs();
        }
        prop_assert_eq!((ds.len(), dz.len()), (channels, channels));
        for c in 0..channels {
            let wanted = (s_sums[c] * f64::from(factor), z_sums[c] * f64::from(factor));
            prop_assert!((f64::from(ds[c]) - wanted.0).abs() < 2e-6 * size, "{} and {}", ds[c], wanted.0);
            prop_assert!((f64::from(dz[c]) - wanted.1).abs() < 1e-6 * size, "{} and {}", dz[c], wanted.1);
        }
    }
}

#[test]
fn halves_go_to_even_before_the_zero_point_is_added() {
    let layout = Layout { n: 1, channels: 1, inner: 6 };
    let x = [0.5, 1.5, 2.5, -0.5, -1.5, f32::NAN];
    let grid = Grid { scale: &[1.0], zero_point: &[1.0], low: -1, high: 2, layout };
    assert_eq!(forward(&x, &grid), [0.0, 1.0, 1.0, 0.0, -2.0, -2.0]);
    assert_eq!(backward(&x, &[1.0; 6], &grid), [1.0, 0.0, 0.0, 1.0, 1.0, 0.0]);
    // PyTorch's learnable way back rounds 1.5 and 2.5 + … after the zero point: 2, 2, 4, 0, 0.
    let [dx, ds, dz] =
        backward_learnable(&x[..5], &[1.0; 5], &Grid { layout: Layout { inner: 5, ..layout }, ..grid }, 0.5);
    assert_eq!(dx, [1.0, 1.0, 0.0, 1.0, 1.0]);
    assert_eq!((ds, dz), (vec![0.5 * (0.5 - 0.5 + 1.0 - 0.5 + 0.5)], vec![-0.5]));
}

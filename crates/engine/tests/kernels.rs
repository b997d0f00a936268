//! The kernels in `f32` against burn's own operations in `f64`, forward and backward, over random shapes.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use occam_engine::{Device, QuantRange, Result, Tensor};
use occam_graph::ops::{Conv, Pool, PoolKind};
use occam_graph::{Array, Data};
use proptest::prelude::*;

/// Numbers without pattern in [-1, 1).
fn noise(n: usize, seed: u64) -> Vec<f64> {
    (0..n as u64)
        .map(|i| {
            let mut z = seed.wrapping_add((i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z >> 40) as f64 / f64::from(1u32 << 24)).mul_add(2.0, -1.0) as f32 as f64
        })
        .collect()
}

fn single(shape: &[usize], v: &[f64]) -> Tensor {
    Tensor::from_f32(shape, v.iter().map(|&x| x as f32).collect(), &Device::cpu()).unwrap()
}

fn double(shape: &[usize], v: &[f64]) -> Tensor {
    Tensor::from_array(&Array::new(shape, Data::F64(v.to_vec())).unwrap(), &Device::cpu()).unwrap()
}

fn values(t: &Tensor) -> Vec<f64> {
    match t.to_array().unwrap().into_data() {
        Data::F32(v) => v.into_iter().map(f64::from).collect(),
        Data::F64(v) => v,
        other => panic!("{}", other.dtype()),
    }
}

/// The result and the gradients of `Σ upstream · f(args)`.
fn run(
    args: &[Tensor],
    upstream: impl Fn(&[usize]) -> Tensor,
    f: impl Fn(&[Tensor]) -> Result<Tensor>,
) -> Vec<Vec<f64>> {
    let leaves: Vec<Tensor> = args.iter().map(Tensor::require_grad).collect();
    let y = f(&leaves).unwrap();
    let mut all = vec![values(&y)];
    let mut grads = y.mul(&upstream(&y.shape())).unwrap().sum().unwrap().backward().unwrap();
    all.extend(leaves.iter().map(|l| values(&grads.take(l).unwrap())));
    // Without a tape the result is the same.
    assert_eq!(values(&f(args).unwrap()), all[0]);
    all
}

fn compare(
    shapes: &[Vec<usize>],
    seed: u64,
    tolerance: f64,
    f: impl Fn(&[Tensor]) -> Result<Tensor>,
) -> std::result::Result<(), TestCaseError> {
    let data: Vec<Vec<f64>> = shapes
        .iter()
        .enumerate()
        .map(|(i, s)| noise(s.iter().product(), seed.wrapping_add(i as u64 * 77)))
        .collect();
    let make = |of: fn(&[usize], &[f64]) -> Tensor| -> Vec<Tensor> {
        shapes.iter().zip(&data).map(|(s, d)| of(s, d)).collect()
    };
    let up =
        |of: fn(&[usize], &[f64]) -> Tensor| move |s: &[usize]| of(s, &noise(s.iter().product(), seed ^ 5));
    let found = run(&make(single), up(single), &f);
    let wanted = run(&make(double), up(double), &f);
    for (i, (a, b)) in found.iter().zip(&wanted).enumerate() {
        prop_assert_eq!(a.len(), b.len());
        // Terms are of size 1, so a sum of them is rounded as one of size 1 also where it cancels to nearly 0.
        let scale = b.iter().fold(1f64, |m, x| m.max(x.abs()));
        for (x, y) in a.iter().zip(b) {
            prop_assert!((x - y).abs() <= tolerance * scale, "result {}: {} and {}", i, x, y);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 250, ..ProptestConfig::default() })]

    #[test]
    fn convolution(
        n in 1usize..12, groups in 1usize..4, cg in 1usize..4, og in 1usize..4,
        h in 1usize..9, w in 1usize..9, kh in 1usize..4, kw in 1usize..4,
        sh in 1usize..4, sw in 1usize..4, pads in prop::array::uniform4(0usize..3),
        dh in 1usize..3, dw in 1usize..3, seed in any::<u64>(),
    ) {
        let conv = Conv {
            stride: [sh, sw],
            padding: [(pads[0], pads[1]), (pads[2], pads[3])],
            dilation: [dh, dw],
            groups,
        };
        prop_assume!(h + pads[0] + pads[1] > dh * (kh - 1) && w + pads[2] + pads[3] > dw * (kw - 1));
        let shapes = [vec![n, groups * cg, h, w], vec![groups * og, cg, kh, kw]];
        compare(&shapes, seed, 2e-5, |t| t[0].conv2d(&t[1], &conv))?;
    }

    #[test]
    fn batch_norm(n in 1usize..6, c in 1usize..5, h in 1usize..8, w in 1usize..8, seed in any::<u64>()) {
        prop_assume!(n * h * w > 2);
        let shapes = [vec![n, c, h, w], vec![c], vec![c]];
        compare(&shapes, seed, 2e-4, |t| Ok(t[0].batch_norm_train(&t[1], &t[2], 1e-1)?.output))?;
    }

    #[test]
    fn relu_and_affine(n in 1usize..4, c in 1usize..4, h in 1usize..6, seed in any::<u64>()) {
        compare(&[vec![n, c, h, 2]], seed, 1e-6, |t| t[0].relu())?;
        compare(&[vec![n, c, h, 2], vec![c], vec![c]], seed, 1e-5, |t| t[0].channel_affine(&t[1], &t[2]))?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn pooling(
        n in 1usize..4, c in 1usize..4, h in 2usize..12, w in 2usize..12, k in 2usize..4, s in 1usize..4,
        padded in any::<bool>(), ceil_mode in any::<bool>(), include in any::<bool>(), seed in any::<u64>(),
    ) {
        prop_assume!(h >= k && w >= k);
        for kind in [PoolKind::Max, PoolKind::Average { count_include_pad: include }] {
            let pool = Pool { kernel: [k; 2], stride: [s; 2], padding: [usize::from(padded); 2], ceil_mode, kind };
            compare(&[vec![n, c, h, w]], seed, 1e-5, |t| t[0].pool2d(&pool))?;
        }
        compare(&[vec![n, c, h, w]], seed, 1e-5, |t| t[0].global_avg_pool())?;
    }

    #[test]
    fn convolution_with_bias_and_by_prefix(
        n in 1usize..4, c in 1usize..5, o in 1usize..9, h in 3usize..8, more in 0usize..4, seed in any::<u64>(),
    ) {
        let conv = Conv { padding: [(1, 1); 2], ..Conv::default() };
        let shapes = [vec![n, c, h, h], vec![o, c, 3, 3], vec![o]];
        compare(&shapes, seed, 2e-5, |t| t[0].conv2d_bias(&t[1], &t[2], &conv))?;
        // The slice, and the same kernels copied.
        let shapes = [vec![n, c, h, h], vec![o + more, c + more, 3, 3]];
        compare(&shapes, seed, 2e-5, |t| t[0].conv2d_prefix(&t[1], o, &conv))?;
        let all: Vec<Tensor> =
            shapes.iter().map(|s| single(s, &noise(s.iter().product(), seed)).require_grad()).collect();
        let part = all[0].conv2d_prefix(&all[1], o, &conv).unwrap();
        let copied = all[1].narrow(0, 0, o).unwrap().narrow(1, 0, c).unwrap();
        prop_assert_eq!(values(&part), values(&all[0].conv2d(&copied, &conv).unwrap()));
        let up = single(&part.shape(), &noise(part.len(), seed ^ 9));
        let of = |y: Tensor| {
            let mut grads = y.mul(&up).unwrap().sum().unwrap().backward().unwrap();
            [values(&grads.take(&all[0]).unwrap()), values(&grads.take(&all[1]).unwrap())]
        };
        prop_assert_eq!(of(part), of(all[0].conv2d(&copied, &conv).unwrap()));
    }

    #[test]
    fn transposed_convolution(
        n in 1usize..3, groups in 1usize..3, cg in 1usize..4, og in 1usize..4, h in 1usize..6, w in 1usize..6,
        k in 1usize..4, s in 1usize..4, p in 0usize..2, d in 1usize..3, seed in any::<u64>(),
    ) {
        prop_assume!((h - 1) * s + d * (k - 1) + 1 > 2 * p && (w - 1) * s + d * (k - 1) + 1 > 2 * p);
        let conv = Conv { stride: [s; 2], padding: [(p, p); 2], dilation: [d; 2], groups };
        let x = single(&[n, groups * cg, h, w], &noise(n * groups * cg * h * w, seed)).require_grad();
        let weight = single(&[groups * cg, og, k, k], &noise(groups * cg * og * k * k, !seed)).require_grad();
        let extra = [(seed % s as u64) as usize, 0];
        let y = x.conv_transpose2d(&weight, &conv, extra).unwrap();
        // By definition ⟨conv(z, w), x⟩ = ⟨z, convᵀ(x, w)⟩ for every z, and likewise for the gradients.
        let z = single(&y.shape(), &noise(y.len(), seed ^ 3)).require_grad();
        let there = z.conv2d(&weight, &conv).unwrap();
        prop_assert_eq!(there.shape(), x.shape());
        let dot = |a: &Tensor, b: &Tensor| a.mul(b).unwrap().sum().unwrap();
        let (left, right) = (dot(&there, &x), dot(&z, &y));
        let scale = (y.len() as f32).sqrt() * 4.0;
        prop_assert!((left.item().unwrap() - right.item().unwrap()).abs() < 1e-5 * scale);
        let (mut a, mut b) = (left.backward().unwrap(), right.backward().unwrap());
        for leaf in [&x, &weight, &z] {
            let (a, b) = (values(&a.take(leaf).unwrap()), values(&b.take(leaf).unwrap()));
            for (a, b) in a.iter().zip(&b) {
                prop_assert!((a - b).abs() < 1e-5 * f64::from(scale), "{} and {}", a, b);
            }
        }
    }

    #[test]
    fn cross_entropy(n in 1usize..6, c in 1usize..9, seed in any::<u64>()) {
        let labels: Vec<i64> = (0..n).map(|i| ((seed >> i) % c as u64) as i64).collect();
        let labels = Tensor::from_i64(&[n], labels, &Device::cpu()).unwrap();
        compare(&[vec![n, c]], seed, 1e-5, |t| t[0].cross_entropy(&labels))?;
        let bad = Tensor::from_i64(&[n], vec![c as i64; n], &Device::cpu()).unwrap();
        let scores = single(&[n, c], &noise(n * c, seed));
        prop_assert!(scores.cross_entropy(&bad).is_err());
    }

    #[test]
    fn channels(n in 1usize..4, c in 1usize..5, h in 1usize..5, seed in any::<u64>()) {
        compare(&[vec![n, 2 * c, h, 3]], seed, 1e-6, |t| t[0].channel_shuffle(2))?;
        compare(&[vec![n, 2 * c, h, 3]], seed, 1e-6, |t| t[0].narrow(1, 1, c))?;
        compare(&[vec![n, c, h, 3], vec![n, c + 1, h, 3]], seed, 1e-6, |t| Tensor::concat(t, 1))?;
        compare(&[vec![n, c, h, 2]], seed, 1e-6, |t| t[0].scale(8.0)?.relu6())?;
    }
}

/// Straight through where nothing is clamped; scales learn as LSQ says.
#[test]
fn fake_quantization() {
    let cpu = Device::cpu();
    let of = |shape: &[usize], v: &[f32]| Tensor::from_f32(shape, v.to_vec(), &cpu).unwrap().require_grad();
    let (x, s, z) = (of(&[1, 2, 2], &[0.26, -3.0, 0.74, 9.0]), of(&[2], &[0.5, 1.0]), of(&[2], &[0.0, 1.0]));
    let range = QuantRange { low: -4, high: 3, axis: Some(1), learned: Some(0.5) };
    let y = x.fake_quantize(&s, &z, range).unwrap();
    assert_eq!(y.to_f32().unwrap(), [0.5, -2.0, 1.0, 2.0]);
    let mut grads = y.sum().unwrap().backward().unwrap();
    assert_eq!(grads.take(&x).unwrap().to_f32().unwrap(), [1.0, 0.0, 1.0, 0.0]);
    let ds = grads.take(&s).unwrap().to_f32().unwrap();
    // round(x / s) − x / s inside, the clamped integer outside; times the factor.
    for (found, wanted) in ds.iter().zip([0.5 * ((1.0 - 0.52) - 4.0), 0.5 * ((1.0 - 0.74) + 2.0)]) {
        assert!((found - wanted).abs() < 1e-6, "{found} and {wanted}");
    }
    assert_eq!(grads.take(&z).unwrap().to_f32().unwrap(), [-0.25, -0.5]);
    let range = QuantRange { learned: None, axis: None, ..range };
    let one = of(&[1], &[0.5]);
    let mut grads =
        x.fake_quantize(&one, &of(&[1], &[0.0]), range).unwrap().sum().unwrap().backward().unwrap();
    assert!(grads.take(&one).is_none());
    assert!(x.fake_quantize(&s, &z, range).is_err());
}

/// A diverged network stays visibly diverged.
#[test]
fn relu_passes_nan_on() {
    let x = Tensor::from_f32(&[3], vec![f32::NAN, -1.0, 2.0], &Device::cpu()).unwrap();
    let y = x.relu().unwrap().to_f32().unwrap();
    assert!(y[0].is_nan());
    assert_eq!(y[1..], [0.0, 2.0]);
}

/// The same call gives the same bits, whatever else the threads do.
#[test]
fn results_do_not_vary() {
    let x = noise(64 * 8 * 28 * 28, 1);
    let w = noise(16 * 8 * 9, 2);
    let conv = Conv { padding: [(1, 1); 2], ..Conv::default() };
    let once = || {
        let args = [single(&[64, 8, 28, 28], &x), single(&[16, 8, 3, 3], &w)];
        run(
            &args,
            |s| single(s, &noise(s.iter().product(), 3)),
            |t| {
                let y = t[0].conv2d(&t[1], &conv)?;
                let one = Tensor::full(&[16], 1.0, &Device::cpu());
                y.batch_norm_train(&one, &one, 1e-5)?.output.relu()
            },
        )
    };
    let first = once();
    for _ in 0..5 {
        assert_eq!(once(), first);
    }
}

//! The kernels in `f32` against burn's own operations in `f64`, forward and backward, over random shapes.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{device, tolerance};
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

fn single_on(shape: &[usize], v: &[f64], device: &Device) -> Tensor {
    Tensor::from_f32(shape, v.iter().map(|&x| x as f32).collect(), device).unwrap()
}

fn single(shape: &[usize], v: &[f64]) -> Tensor {
    single_on(shape, v, &device())
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
    // Without a tape the result is the same; a card may choose another kernel.
    if args.iter().all(|x| x.device() == Device::cpu()) {
        assert_eq!(values(&f(args).unwrap()), all[0]);
    }
    all
}

fn compare(
    shapes: &[Vec<usize>],
    seed: u64,
    limit: f64,
    f: impl Fn(&[Tensor]) -> Result<Tensor>,
) -> std::result::Result<(), TestCaseError> {
    let limit = tolerance(limit);
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
            prop_assert!((x - y).abs() <= limit * scale, "result {}: {} and {}", i, x, y);
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
        compare(&[vec![n, c, h, w]], seed, 1e-5, |t| t[0].adaptive_avg_pool2d([k, s]))?;
        compare(&[vec![n, c, h, w]], seed, 1e-5, |t| t[0].adaptive_max_pool2d([s, k]))?;
        compare(&[vec![n, c, h, w]], seed, 1e-5, |t| t[0].mean())?;
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
        prop_assert!((left.item().unwrap() - right.item().unwrap()).abs() < tolerance(1e-5) as f32 * scale);
        let (mut a, mut b) = (left.backward().unwrap(), right.backward().unwrap());
        for leaf in [&x, &weight, &z] {
            let (a, b) = (values(&a.take(leaf).unwrap()), values(&b.take(leaf).unwrap()));
            for (a, b) in a.iter().zip(&b) {
                prop_assert!((a - b).abs() < tolerance(1e-5) * f64::from(scale), "{} and {}", a, b);
            }
        }
    }

    #[test]
    fn cross_entropy(n in 1usize..6, c in 1usize..9, seed in any::<u64>()) {
        let labels: Vec<i64> = (0..n).map(|i| ((seed >> i) % c as u64) as i64).collect();
        compare(&[vec![n, c]], seed, 1e-5, |t| {
            t[0].cross_entropy(&Tensor::from_i64(&[n], labels.clone(), &t[0].device())?)
        })?;
        let bad = Tensor::from_i64(&[n], vec![c as i64; n], &device()).unwrap();
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
    let of =
        |shape: &[usize], v: &[f32]| Tensor::from_f32(shape, v.to_vec(), &device()).unwrap().require_grad();
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

/// What a config can ask for and no memory can hold is an error, never a panic; far windows are no work.
#[test]
fn sizes_beyond_memory_are_refused() {
    let (x, w) = (single(&[1, 2, 4, 4], &noise(32, 1)), single(&[2, 2, 3, 3], &noise(36, 2)));
    let plain = Conv { padding: [(1, 1); 2], ..Conv::default() };
    for conv in [
        Conv { padding: [(1 << 40, 1 << 40); 2], ..plain },
        Conv { padding: [(usize::MAX, 1); 2], ..plain },
        Conv { stride: [usize::MAX, 1], ..plain },
        Conv { stride: [0, 1], ..plain },
        Conv { dilation: [1 << 62, 1], ..plain },
        Conv { groups: 0, ..plain },
    ] {
        assert!(x.conv2d(&w, &conv).is_err(), "{conv:?}");
        assert!(x.conv2d_prefix(&w, 1, &conv).is_err(), "{conv:?}");
        assert!(x.conv_transpose2d(&w, &conv, [0, 0]).is_err(), "{conv:?}");
    }
    let far = Conv { stride: [1_000_000; 2], ..plain };
    let leaf = x.require_grad();
    let y = leaf.conv2d(&w, &far).unwrap();
    assert_eq!(y.shape(), [1, 2, 1, 1]);
    assert_eq!(y.sum().unwrap().backward().unwrap().take(&leaf).unwrap().shape(), x.shape());
    for output in [[0, 1], [usize::MAX, 2], [1 << 40, 1 << 40]] {
        assert!(x.adaptive_avg_pool2d(output).is_err(), "{output:?}");
        assert!(x.adaptive_max_pool2d(output).is_err(), "{output:?}");
    }
    assert!(w.reshape(&[36]).unwrap().adaptive_avg_pool2d([1, 1]).is_err());
}

/// A diverged network stays visibly diverged.
#[test]
fn relu_passes_nan_on() {
    let x = Tensor::from_f32(&[3], vec![f32::NAN, -1.0, 2.0], &device()).unwrap();
    let y = x.relu().unwrap().to_f32().unwrap();
    assert!(y[0].is_nan());
    assert_eq!(y[1..], [0.0, 2.0]);
}

/// At a given number of threads the same call gives the same bits, whatever else the threads do; sums do at any number.
/// `occam-kernels` tests the same of each kernel.
#[test]
fn results_do_not_vary() {
    let cpu = Device::cpu();
    let of = |shape: &[usize], seed: u64| single_on(shape, &noise(shape.iter().product(), seed), &cpu);
    let padded = Conv { padding: [(1, 1); 2], ..Conv::default() };
    let args = [
        of(&[33, 12, 20, 20], 1),
        of(&[16, 12, 3, 3], 2),
        of(&[16, 1, 3, 3], 3),
        of(&[16], 4),
        of(&[16], 5),
        of(&[10, 16], 6),
    ];
    let labels = Tensor::from_i64(&[33], (0..33).map(|i| i % 10).collect(), &cpu).unwrap();
    let once = || {
        let upstream = |shape: &[usize]| single_on(shape, &noise(shape.iter().product(), 9), &cpu);
        run(&args, upstream, |t| {
            let y = t[0].conv2d(&t[1], &padded)?;
            let y = y.batch_norm_train(&t[3], &t[4], 1e-5)?.output.relu()?;
            let y = y.conv2d(&t[2], &Conv { stride: [2, 2], groups: 16, ..padded })?;
            let grid = [Tensor::full(&[1], 0.05, &cpu), Tensor::full(&[1], 0.0, &cpu)];
            let range = QuantRange { low: -128, high: 127, axis: None, learned: None };
            let y = y.fake_quantize(&grid[0], &grid[1], range)?;
            let pool = Pool {
                kernel: [3; 2],
                stride: [2; 2],
                padding: [1; 2],
                ceil_mode: false,
                kind: PoolKind::Max,
            };
            let y = y.pool2d(&pool)?.global_avg_pool()?.reshape(&[33, 16])?;
            y.matmul(&t[5].swap_axes(0, 1)?)?.cross_entropy(&labels)
        })
    };
    let many = of(&[(4 << 20) + 12_345], 7);
    let sums = || [many.sum().unwrap().item().unwrap(), many.mean().unwrap().item().unwrap()];
    let first_sums = sums();
    for threads in [2, 3, 5] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let first = once();
            for _ in 0..3 {
                assert_eq!(once(), first, "{threads} threads");
                assert_eq!(sums(), first_sums, "{threads} threads");
            }
        });
    }
}

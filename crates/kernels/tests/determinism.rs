//! At a given number of threads every kernel gives the same bits, however the threads take turns.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use occam_kernels::channels::{self, Layout};
use occam_kernels::conv::{self, Dims, Epilogue, Geometry};
use occam_kernels::optim::{AdamW, Moments, Sgd, adamw, sgd};
use occam_kernels::pool::{self, Adaptive, Pool};
use occam_kernels::{Activation, batch_norm, elementwise, fake_quant, softmax};

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

/// Runs `work` several times on two, three and five threads; gives the bits of each number of threads.
fn repeat(what: &str, work: impl Fn() -> Vec<Vec<f32>> + Sync) -> Vec<Vec<u32>> {
    let bits = || work().concat().iter().map(|v| v.to_bits()).collect::<Vec<u32>>();
    [2, 3, 5]
        .map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let first = bits();
                for _ in 0..3 {
                    assert!(bits() == first, "{what} on {threads} threads");
                }
                first
            })
        })
        .to_vec()
}

fn convolution(what: &str, [n, c, h, w]: [usize; 4], [o, k]: [usize; 2], stride: usize, groups: usize) {
    let geometry = Geometry { stride: [stride; 2], padding: [(k / 2, k / 2); 2], dilation: [1; 2], groups };
    let d = Dims { n, c, h, w, o, kh: k, kw: k, geometry, weight_row: None };
    let (oh, ow) = d.output();
    let x = noise(n * c * h * w, 1);
    let weights = noise(o * (c / groups) * k * k, 2);
    let dy = noise(n * o * oh * ow, 3);
    repeat(what, || {
        let [dx, dw] = conv::backward(&x, &weights, &dy, &d, [true, true]);
        vec![conv::forward(&x, &weights, &d, &Epilogue::default()), dx.unwrap(), dw.unwrap()]
    });
}

#[test]
fn convolutions() {
    convolution("gathered", [13, 8, 14, 14], [9, 3], 1, 1);
    convolution("pointwise", [6, 70, 9, 9], [50, 1], 1, 1);
    convolution("strided", [6, 20, 15, 15], [24, 3], 2, 1);
    convolution("grouped", [6, 24, 11, 11], [24, 3], 1, 4);
    convolution("few images", [1, 40, 20, 20], [30, 5], 1, 1);
    convolution("winograd", [7, 24, 14, 14], [20, 3], 1, 1);
    convolution("winograd in stages", [22, 391, 4, 5], [349, 3], 1, 1);
    convolution("depthwise", [5, 12, 17, 17], [12, 3], 1, 12);
    convolution("strided depthwise", [5, 12, 17, 17], [12, 3], 2, 12);
}

#[test]
fn pools() {
    let planes = 300;
    let size = |input: usize| (input + 2 - 3) / 2 + 1;
    let of = |kernel: [usize; 2], padding: [usize; 2], output: [usize; 2]| Pool {
        kernel,
        stride: [2, 2],
        padding,
        input: [13, 14],
        output,
    };
    let (pairs, windows) = (of([2, 2], [0, 0], [6, 7]), of([3, 3], [1, 1], [size(13), size(14)]));
    let adaptive = Adaptive { input: [13, 14], output: [5, 4] };
    let x = noise(planes * 13 * 14, 1);
    let dy = noise(planes * 7 * 7, 2);
    repeat("pools", || {
        let mut all = Vec::new();
        for pool in [pairs, windows] {
            let (y, indices) = pool::max_forward(&x, planes, &pool);
            all.extend([y, pool::max_backward(&dy, &indices, planes, &pool)]);
            all.push(pool::max_forward_only(&x, planes, &pool));
            all.push(pool::avg_forward(&x, planes, &pool, true));
            all.push(pool::avg_backward(&dy, planes, &pool, false));
        }
        all.push(pool::global_avg_forward(&x, planes, 13 * 14));
        all.push(pool::global_avg_backward(&dy, planes, 13 * 14));
        let (y, indices) = pool::adaptive_max_forward(&x, planes, &adaptive);
        all.extend([y, pool::adaptive_max_backward(&dy, &indices, planes, &adaptive)]);
        all.push(pool::adaptive_avg_forward(&x, planes, &adaptive));
        all.push(pool::adaptive_avg_backward(&dy, planes, &adaptive));
        all
    });
}

#[test]
fn normalization_losses_and_grids() {
    let layout = Layout { n: 9, channels: 14, inner: 700 };
    let (x, dy) = (noise(layout.elements(), 1), noise(layout.elements(), 2));
    let (weight, bias) = (noise(14, 3), noise(14, 4));
    repeat("batch normalization", || {
        let (mean, var) = batch_norm::statistics(&x, layout);
        let (scale, shift) = batch_norm::affine(&weight, &bias, &mean, &var, 1e-5);
        let y = batch_norm::apply(&x, &scale, &shift, layout, Activation::Relu);
        let saved = batch_norm::Saved {
            x: &x,
            weight: &weight,
            bias: &bias,
            mean: &mean,
            var: &var,
            eps: 1e-5,
            activation: Activation::Relu,
        };
        let grads = batch_norm::backward(&saved, &dy, layout);
        [vec![y, channels::sums(&x, layout), mean.clone(), var.clone()], grads.to_vec()].concat()
    });
    let targets: Vec<i64> = (0..600).map(|i| i % 100).collect();
    let upstream = noise(600, 5);
    repeat("cross entropy", || {
        let (losses, probabilities) = softmax::cross_entropy_forward(&x, &targets, 100).unwrap();
        let dx = softmax::cross_entropy_backward(&probabilities, &targets, &upstream, 100).unwrap();
        vec![losses, probabilities, dx]
    });
    let (scale, zero_point) = (vec![0.1; 14], vec![1.0; 14]);
    let grid = fake_quant::Grid { scale: &scale, zero_point: &zero_point, low: -8, high: 7, layout };
    repeat("fake quantization", || {
        let learned = fake_quant::backward_learnable(&x, &dy, &grid, 0.3);
        [vec![fake_quant::forward(&x, &grid), fake_quant::backward(&x, &dy, &grid)], learned.to_vec()]
            .concat()
    });
}

#[test]
fn sums_and_steps() {
    let n = (4 << 20) + 12_345;
    let (x, dy) = (noise(n, 1), noise(n, 2));
    let halves = |v: f64| {
        let bits = v.to_bits();
        vec![f32::from_bits((bits >> 32) as u32), f32::from_bits(bits as u32)]
    };
    let of = repeat("sums", || vec![halves(elementwise::sum(&x)), halves(elementwise::sum_of_squares(&x))]);
    // They do not depend on the number of threads either.
    assert!(of.windows(2).all(|pair| pair[0] == pair[1]));
    let few = 200_000;
    let (sgd_rule, adamw_rule) = (
        Sgd { lr: 0.1, momentum: 0.9, dampening: 0.0, weight_decay: 1e-4, nesterov: true },
        AdamW { lr: 0.1, betas: (0.9, 0.999), eps: 1e-8, weight_decay: 1e-2 },
    );
    repeat("steps", || {
        let (mut p, mut b) = (x[..few].to_vec(), dy[..few].to_vec());
        sgd(&mut p, &dy[..few], Some(&mut b), false, &sgd_rule);
        let (mut q, mut m, mut v) = (p.clone(), vec![0.0; few], vec![0.0; few]);
        let moments = Moments { exp_avg: &mut m, exp_avg_sq: &mut v };
        adamw(&mut q, &dy[..few], moments, 1, &adamw_rule);
        let y = elementwise::add(&x[..few], &dy[..few], Activation::Relu6);
        let passed = elementwise::pass(&dy[..few], &y, Activation::Relu6);
        vec![p, b, q, m, v, y, passed]
    });
}

//! Each kernel alone: `cargo bench -p occam-engine`, `cargo bench -p occam-engine -- conv` for some.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fmt;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use occam_kernels::Activation;
use occam_kernels::batch_norm::{Saved, affine, apply, backward, statistics};
use occam_kernels::channels::{self, Layout};
use occam_kernels::conv::{self, Dims, Epilogue, Geometry};
use occam_kernels::{elementwise, fake_quant, optim, pool, softmax};

fn main() {
    divan::main();
}

/// Numbers in [-1, 1].
fn wave(n: usize) -> Vec<f32> {
    (0..n).map(|i| ((i % 8191) as f32 * 0.37).sin()).collect()
}

/// Input `n x c x h x h`, `o` output channels, kernel, stride, groups.
#[derive(Clone, Copy)]
struct Case([usize; 7]);

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [n, c, h, o, k, s, g] = self.0;
        write!(f, "{n}x{c}x{h}x{h} to {o}, {k}x{k} / {s}, {g} groups")
    }
}

impl Case {
    fn dims(self) -> Dims {
        let [n, c, h, o, k, s, groups] = self.0;
        let geometry = Geometry { stride: [s; 2], padding: [(k / 2, k / 2); 2], dilation: [1; 2], groups };
        Dims { n, c, h, w: h, o, kh: k, kw: k, geometry, weight_row: None }
    }

    /// Image, weights, output's gradient.
    fn data(self) -> [Vec<f32>; 3] {
        let d = self.dims();
        let (oh, ow) = d.output();
        let weights = d.o * d.c / d.geometry.groups * d.kh * d.kw;
        [wave(d.n * d.c * d.h * d.w), wave(weights), wave(d.n * d.o * oh * ow)]
    }

    fn macs(self) -> ItemsCount {
        let d = self.dims();
        let (oh, ow) = d.output();
        ItemsCount::new(d.n * d.o * oh * ow * d.c / d.geometry.groups * d.kh * d.kw)
    }
}

/// Layers of ResNet, MobileNetV2 and ShuffleNetV2.
const CASES: [Case; 9] = [
    Case([64, 64, 32, 64, 3, 1, 1]),
    Case([64, 512, 4, 512, 3, 1, 1]),
    Case([32, 128, 16, 256, 3, 2, 1]),
    Case([8, 3, 224, 64, 7, 2, 1]),
    Case([8, 256, 56, 64, 1, 1, 1]),
    Case([8, 512, 7, 2048, 1, 1, 1]),
    Case([8, 128, 28, 128, 3, 1, 32]),
    Case([16, 96, 112, 96, 3, 2, 96]),
    Case([16, 144, 56, 144, 3, 1, 144]),
];

#[divan::bench(args = CASES)]
fn conv_forward(bencher: Bencher<'_, '_>, case: Case) {
    let ([x, w, _], d) = (case.data(), case.dims());
    let run = || conv::forward(black_box(&x), &w, &d, &Epilogue::default());
    bencher.counter(case.macs()).bench_local(run);
}

#[divan::bench(args = CASES)]
fn conv_input_grad(bencher: Bencher<'_, '_>, case: Case) {
    let ([x, w, dy], d) = (case.data(), case.dims());
    let run = || conv::backward(&x, &w, black_box(&dy), &d, [true, false]);
    bencher.counter(case.macs()).bench_local(run);
}

#[divan::bench(args = CASES)]
fn conv_weight_grad(bencher: Bencher<'_, '_>, case: Case) {
    let ([x, w, dy], d) = (case.data(), case.dims());
    let run = || conv::backward(&x, &w, black_box(&dy), &d, [false, true]);
    bencher.counter(case.macs()).bench_local(run);
}

/// `[64, 64, 32, 32]`
const IMAGE: Layout = Layout { n: 64, channels: 64, inner: 1024 };

#[divan::bench]
fn batch_norm_relu_forward(bencher: Bencher<'_, '_>) {
    let x = wave(IMAGE.elements());
    let one = vec![1.0; IMAGE.channels];
    bencher.counter(ItemsCount::new(x.len())).bench_local(|| {
        let (mean, var) = statistics(black_box(&x), IMAGE);
        let (scale, shift) = affine(&one, &one, &mean, &var, 1e-5);
        apply(&x, &scale, &shift, IMAGE, Activation::Relu)
    });
}

#[divan::bench]
fn batch_norm_relu_backward(bencher: Bencher<'_, '_>) {
    let (x, dy) = (wave(IMAGE.elements()), wave(IMAGE.elements()));
    let one = vec![1.0; IMAGE.channels];
    let (mean, var) = statistics(&x, IMAGE);
    let saved = Saved {
        x: &x,
        weight: &one,
        bias: &one,
        mean: &mean,
        var: &var,
        eps: 1e-5,
        activation: Activation::Relu,
    };
    bencher.counter(ItemsCount::new(x.len())).bench_local(|| backward(black_box(&saved), &dy, IMAGE));
}

#[divan::bench]
fn add_relu(bencher: Bencher<'_, '_>) {
    let (mut a, b) = (wave(IMAGE.elements()), wave(IMAGE.elements()));
    let items = ItemsCount::new(a.len());
    bencher.counter(items).bench_local(|| elementwise::add_in_place(&mut a, black_box(&b), Activation::Relu));
}

#[divan::bench]
fn channel_shuffle(bencher: Bencher<'_, '_>) {
    let x = wave(IMAGE.elements());
    bencher.counter(ItemsCount::new(x.len())).bench_local(|| channels::shuffle(black_box(&x), IMAGE, 2));
}

#[divan::bench(args = [2, 3])]
fn max_pool_forward(bencher: Bencher<'_, '_>, kernel: usize) {
    let pad = kernel / 2 % 2 * (kernel - 2);
    let output = (112 + 2 * pad - kernel) / 2 + 1;
    let window = pool::Pool {
        kernel: [kernel; 2],
        stride: [2; 2],
        padding: [pad; 2],
        input: [112; 2],
        output: [output; 2],
    };
    let x = wave(512 * 112 * 112);
    bencher.counter(ItemsCount::new(x.len())).bench_local(|| pool::max_forward(black_box(&x), 512, &window));
}

#[divan::bench]
fn fake_quant_per_channel(bencher: Bencher<'_, '_>) {
    let x = wave(IMAGE.elements());
    let (scale, zero) = (vec![0.01; IMAGE.channels], vec![0.0; IMAGE.channels]);
    let grid = fake_quant::Grid { scale: &scale, zero_point: &zero, low: -128, high: 127, layout: IMAGE };
    bencher.counter(ItemsCount::new(x.len())).bench_local(|| fake_quant::forward(black_box(&x), &grid));
}

#[divan::bench]
fn fake_quant_learnable_backward(bencher: Bencher<'_, '_>) {
    let (x, dy) = (wave(IMAGE.elements()), wave(IMAGE.elements()));
    let (scale, zero) = (vec![0.01; IMAGE.channels], vec![0.0; IMAGE.channels]);
    let grid = fake_quant::Grid { scale: &scale, zero_point: &zero, low: -128, high: 127, layout: IMAGE };
    let run = || fake_quant::backward_learnable(black_box(&x), &dy, &grid, 1.0);
    bencher.counter(ItemsCount::new(x.len())).bench_local(run);
}

#[divan::bench]
fn sgd_momentum(bencher: Bencher<'_, '_>) {
    let (mut p, g, mut b) = (wave(1 << 22), wave(1 << 22), wave(1 << 22));
    let rule = optim::Sgd { lr: 1e-3, momentum: 0.9, dampening: 0.0, weight_decay: 1e-4, nesterov: false };
    let items = ItemsCount::new(p.len());
    bencher.counter(items).bench_local(|| optim::sgd(&mut p, black_box(&g), Some(&mut b), false, &rule));
}

#[divan::bench]
fn cross_entropy(bencher: Bencher<'_, '_>) {
    let (n, classes) = (512, 1000);
    let logits = wave(n * classes);
    let targets: Vec<i64> = (0..n as i64).collect();
    let run = || softmax::cross_entropy_forward(black_box(&logits), &targets, classes);
    bencher.counter(ItemsCount::new(logits.len())).bench_local(run);
}

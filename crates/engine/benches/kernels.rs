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

/// Scale, bias, sum and activation while a tile is in registers; compare with `conv_forward`.
#[divan::bench(args = CASES)]
fn conv_forward_fused(bencher: Bencher<'_, '_>, case: Case) {
    let ([x, w, residual], d) = (case.data(), case.dims());
    let channels = wave(d.o);
    let epilogue = Epilogue {
        scale: Some(&channels),
        bias: Some(&channels),
        residual: Some(&residual),
        activation: Activation::Relu,
    };
    bencher.counter(case.macs()).bench_local(|| conv::forward(black_box(&x), &w, &d, &epilogue));
}

/// Layers that make planes twice as large: the input gradient of a convolution from them.
const TRANSPOSED: [Case; 2] = [Case([16, 64, 32, 128, 4, 2, 1]), Case([16, 32, 64, 64, 2, 2, 1])];

#[divan::bench(args = TRANSPOSED)]
fn conv_transposed(bencher: Bencher<'_, '_>, case: Case) {
    let ([_, w, dy], d) = (case.data(), case.dims());
    bencher.counter(case.macs()).bench_local(|| conv::input_grad(&w, black_box(&dy), &d));
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
fn relu_backward(bencher: Bencher<'_, '_>) {
    let (mut dy, y) = (wave(IMAGE.elements()), wave(IMAGE.elements()));
    let items = ItemsCount::new(dy.len());
    let run = || elementwise::pass_in_place(&mut dy, black_box(&y), Activation::Relu);
    bencher.counter(items).bench_local(run);
}

#[divan::bench]
fn sum(bencher: Bencher<'_, '_>) {
    let x = wave(1 << 22);
    bencher.counter(ItemsCount::new(x.len())).bench_local(|| elementwise::sum(black_box(&x)));
}

#[divan::bench]
fn sum_of_squares(bencher: Bencher<'_, '_>) {
    let x = wave(1 << 22);
    bencher.counter(ItemsCount::new(x.len())).bench_local(|| elementwise::sum_of_squares(black_box(&x)));
}

#[divan::bench]
fn channel_take(bencher: Bencher<'_, '_>) {
    let x = wave(IMAGE.elements());
    bencher
        .counter(ItemsCount::new(x.len() / 2))
        .bench_local(|| channels::take(black_box(&x), IMAGE, 16, 32));
}

#[divan::bench]
fn channel_put(bencher: Bencher<'_, '_>) {
    let dy = wave(IMAGE.elements() / 2);
    let items = ItemsCount::new(IMAGE.elements());
    bencher.counter(items).bench_local(|| channels::put(black_box(&dy), IMAGE, 16, 32));
}

#[divan::bench]
fn channel_concat(bencher: Bencher<'_, '_>) {
    let (a, b) = (wave(IMAGE.elements()), wave(IMAGE.elements()));
    let items = ItemsCount::new(2 * a.len());
    bencher.counter(items).bench_local(|| channels::concat(black_box(&a), &b, [IMAGE, IMAGE]));
}

#[divan::bench]
fn channel_sums(bencher: Bencher<'_, '_>) {
    let x = wave(IMAGE.elements());
    bencher.counter(ItemsCount::new(x.len())).bench_local(|| channels::sums(black_box(&x), IMAGE));
}

#[divan::bench]
fn channel_shuffle(bencher: Bencher<'_, '_>) {
    let x = wave(IMAGE.elements());
    bencher.counter(ItemsCount::new(x.len())).bench_local(|| channels::shuffle(black_box(&x), IMAGE, 2));
}

/// Planes of the pooling benches.
const PLANES: usize = 512;

/// Windows of 2 (without padding) or 3 (with), two apart, over planes of `112 x 112`.
fn windows(kernel: usize) -> pool::Pool {
    let pad = kernel - 2;
    let output = (112 + 2 * pad - kernel) / 2 + 1;
    pool::Pool {
        kernel: [kernel; 2],
        stride: [2; 2],
        padding: [pad; 2],
        input: [112; 2],
        output: [output; 2],
    }
}

#[divan::bench(args = [2, 3])]
fn max_pool_forward(bencher: Bencher<'_, '_>, kernel: usize) {
    let (x, pool) = (wave(PLANES * 112 * 112), windows(kernel));
    bencher.counter(ItemsCount::new(x.len())).bench_local(|| pool::max_forward(black_box(&x), PLANES, &pool));
}

#[divan::bench(args = [2, 3])]
fn max_pool_backward(bencher: Bencher<'_, '_>, kernel: usize) {
    let (x, pool) = (wave(PLANES * 112 * 112), windows(kernel));
    let (dy, indices) = pool::max_forward(&x, PLANES, &pool);
    let run = || pool::max_backward(black_box(&dy), &indices, PLANES, &pool);
    bencher.counter(ItemsCount::new(x.len())).bench_local(run);
}

#[divan::bench(args = [2, 3])]
fn avg_pool_forward(bencher: Bencher<'_, '_>, kernel: usize) {
    let (x, pool) = (wave(PLANES * 112 * 112), windows(kernel));
    let run = || pool::avg_forward(black_box(&x), PLANES, &pool, true);
    bencher.counter(ItemsCount::new(x.len())).bench_local(run);
}

#[divan::bench(args = [2, 3])]
fn avg_pool_backward(bencher: Bencher<'_, '_>, kernel: usize) {
    let pool = windows(kernel);
    let dy = wave(PLANES * pool.output_plane());
    let run = || pool::avg_backward(black_box(&dy), PLANES, &pool, true);
    bencher.counter(ItemsCount::new(PLANES * pool.input_plane())).bench_local(run);
}

#[divan::bench]
fn global_pool_forward(bencher: Bencher<'_, '_>) {
    let x = wave(IMAGE.elements());
    let run = || pool::global_avg_forward(black_box(&x), IMAGE.n * IMAGE.channels, IMAGE.inner);
    bencher.counter(ItemsCount::new(x.len())).bench_local(run);
}

#[divan::bench]
fn global_pool_backward(bencher: Bencher<'_, '_>) {
    let planes = IMAGE.n * IMAGE.channels;
    let dy = wave(planes);
    let run = || pool::global_avg_backward(black_box(&dy), planes, IMAGE.inner);
    bencher.counter(ItemsCount::new(IMAGE.elements())).bench_local(run);
}

const ADAPTIVE: pool::Adaptive = pool::Adaptive { input: [32, 32], output: [7, 7] };

#[divan::bench]
fn adaptive_avg_pool_forward(bencher: Bencher<'_, '_>) {
    let x = wave(IMAGE.elements());
    let run = || pool::adaptive_avg_forward(black_box(&x), IMAGE.n * IMAGE.channels, &ADAPTIVE);
    bencher.counter(ItemsCount::new(x.len())).bench_local(run);
}

#[divan::bench]
fn adaptive_avg_pool_backward(bencher: Bencher<'_, '_>) {
    let planes = IMAGE.n * IMAGE.channels;
    let dy = wave(planes * ADAPTIVE.output_plane());
    let run = || pool::adaptive_avg_backward(black_box(&dy), planes, &ADAPTIVE);
    bencher.counter(ItemsCount::new(IMAGE.elements())).bench_local(run);
}

#[divan::bench]
fn adaptive_max_pool_forward(bencher: Bencher<'_, '_>) {
    let x = wave(IMAGE.elements());
    let run = || pool::adaptive_max_forward(black_box(&x), IMAGE.n * IMAGE.channels, &ADAPTIVE);
    bencher.counter(ItemsCount::new(x.len())).bench_local(run);
}

#[divan::bench]
fn fake_quant_per_channel(bencher: Bencher<'_, '_>) {
    let x = wave(IMAGE.elements());
    let (scale, zero) = (vec![0.01; IMAGE.channels], vec![0.0; IMAGE.channels]);
    let grid = fake_quant::Grid { scale: &scale, zero_point: &zero, low: -128, high: 127, layout: IMAGE };
    bencher.counter(ItemsCount::new(x.len())).bench_local(|| fake_quant::forward(black_box(&x), &grid));
}

/// One grid for the tensor, or one for every channel.
#[divan::bench(args = [false, true])]
fn fake_quant_backward(bencher: Bencher<'_, '_>, per_channel: bool) {
    let (x, dy) = (wave(IMAGE.elements()), wave(IMAGE.elements()));
    let layout = if per_channel { IMAGE } else { Layout { n: 1, channels: 1, inner: x.len() } };
    let (scale, zero) = (vec![0.01; layout.channels], vec![0.0; layout.channels]);
    let grid = fake_quant::Grid { scale: &scale, zero_point: &zero, low: -128, high: 127, layout };
    let run = || fake_quant::backward(black_box(&x), &dy, &grid);
    bencher.counter(ItemsCount::new(x.len())).bench_local(run);
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
fn sgd(bencher: Bencher<'_, '_>) {
    let (mut p, g) = (wave(1 << 22), wave(1 << 22));
    let rule = optim::Sgd { lr: 1e-3, momentum: 0.0, dampening: 0.0, weight_decay: 1e-4, nesterov: false };
    let items = ItemsCount::new(p.len());
    bencher.counter(items).bench_local(|| optim::sgd(&mut p, black_box(&g), None, true, &rule));
}

#[divan::bench]
fn adamw(bencher: Bencher<'_, '_>) {
    let (mut p, g) = (wave(1 << 22), wave(1 << 22));
    let (mut m, mut v) = (vec![0.0; 1 << 22], vec![0.0; 1 << 22]);
    let rule = optim::AdamW { lr: 1e-3, betas: (0.9, 0.999), eps: 1e-8, weight_decay: 1e-2 };
    let items = ItemsCount::new(p.len());
    bencher.counter(items).bench_local(|| {
        let moments = optim::Moments { exp_avg: &mut m, exp_avg_sq: &mut v };
        optim::adamw(&mut p, black_box(&g), moments, 10, &rule)
    });
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

#[divan::bench]
fn cross_entropy_backward(bencher: Bencher<'_, '_>) {
    let (n, classes) = (512, 1000);
    let (logits, upstream) = (wave(n * classes), wave(n));
    let targets: Vec<i64> = (0..n as i64).collect();
    let (_, probabilities) = softmax::cross_entropy_forward(&logits, &targets, classes).unwrap();
    let run = || softmax::cross_entropy_backward(black_box(&probabilities), &targets, &upstream, classes);
    bencher.counter(ItemsCount::new(logits.len())).bench_local(run);
}

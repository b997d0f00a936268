#![allow(missing_docs, clippy::unwrap_used)]
use occam_kernels::conv::*;
use std::time::Instant;
fn time(mut f: impl FnMut()) -> f64 {
    f();
    let mut best = f64::MAX;
    let start = Instant::now();
    while start.elapsed().as_secs_f64() < 0.5 {
        let t = Instant::now();
        f();
        best = best.min(t.elapsed().as_secs_f64());
    }
    best * 1e3
}
fn main() {
    let threads = std::env::var("RAYON_NUM_THREADS").map_or(2, |v| v.parse().unwrap());
    rayon::ThreadPoolBuilder::new().num_threads(threads).use_current_thread().build_global().unwrap();
    // n c h o k s
    let only: Option<usize> = std::env::args().nth(1).map(|v| v.parse().unwrap());
    for (i, [n, c, h, o, k, s]) in [
        [64, 64, 32, 64, 3, 1],
        [64, 256, 8, 256, 3, 1],
        [32, 64, 32, 64, 3, 1],
        [32, 256, 8, 256, 3, 1],
        [32, 128, 16, 256, 3, 2],
        [32, 192, 16, 32, 1, 1],
        [8, 3, 224, 64, 7, 2],
        [64, 512, 4, 512, 3, 1],
        [64, 128, 16, 128, 3, 1],
        [64, 256, 4, 512, 3, 1],
        [64, 512, 2, 512, 3, 1],
        [8, 128, 28, 128, 3, 1],
        [8, 256, 14, 256, 3, 1],
        [64, 64, 16, 128, 3, 1],
        [8, 64, 56, 256, 1, 1],
        [8, 256, 56, 64, 1, 1],
        [8, 1024, 14, 256, 1, 1],
        [8, 512, 7, 2048, 1, 1],
        [8, 512, 7, 512, 3, 1],
        [8, 64, 56, 64, 3, 1],
        [16, 16, 112, 96, 1, 1],
        [16, 96, 56, 24, 1, 1],
        [16, 144, 56, 24, 1, 1],
        [16, 58, 28, 58, 1, 1],
        [16, 320, 7, 1280, 1, 1],
        [64, 3, 32, 64, 3, 1],
        [1, 64, 56, 64, 3, 1],
    ]
    .into_iter()
    .enumerate()
    {
        if only.is_some_and(|o| o != i) {
            continue;
        }
        let p = k / 2;
        let d = Dims {
            n,
            c,
            h,
            w: h,
            o,
            kh: k,
            kw: k,
            geometry: Geometry { stride: [s; 2], padding: [(p, p); 2], dilation: [1; 2], groups: 1 },
        };
        let (oh, ow) = d.output();
        let x: Vec<f32> = (0..n * c * h * h).map(|i| (i as f32 * 0.1).sin()).collect();
        let w: Vec<f32> = (0..o * c * k * k).map(|i| (i as f32 * 0.1).sin()).collect();
        let dy: Vec<f32> = (0..n * o * oh * ow).map(|i| (i as f32 * 0.1).sin()).collect();
        let flop = 2.0 * (n * o * oh * ow * c * k * k) as f64 / 1e6;
        let a = time(|| {
            std::hint::black_box(forward(&x, &w, &d, &Epilogue::default()));
        });
        let b = time(|| {
            std::hint::black_box(input_grad(&w, &dy, &d));
        });
        let e = time(|| {
            std::hint::black_box(weight_grad(&x, &dy, &d));
        });
        println!(
            "{n}x{c}x{h} -> {o} k{k} s{s}: fwd {a:.2} ms ({:.0} GF/s)  dx {b:.2} ({:.0})  dw {e:.2} ({:.0})  all {:.2}",
            flop / a,
            flop / b,
            flop / e,
            a + b + e
        );
    }
}

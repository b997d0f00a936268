//! Pooling against plain references, over random shapes.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use occam_kernels::pool::{
    Adaptive, Pool, adaptive_avg_backward, adaptive_avg_forward, adaptive_max_backward, adaptive_max_forward,
    avg_backward, avg_forward, global_avg_backward, global_avg_forward, max_backward, max_forward,
    max_forward_only,
};
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

/// The output's size as PyTorch computes it.
fn size(input: usize, kernel: usize, stride: usize, padding: usize, ceil: bool) -> usize {
    let reach = (input + 2 * padding - kernel) as isize;
    let mut n = if ceil { (reach as usize).div_ceil(stride) } else { reach as usize / stride } + 1;
    if ceil && (n - 1) * stride >= input + padding {
        n -= 1;
    }
    n
}

fn pools() -> impl Strategy<Value = (usize, Pool, u64)> {
    let axis = || (1usize..=5, 1usize..=4, 0usize..=2, 1usize..=40);
    (1usize..=5, axis(), axis(), any::<bool>(), any::<u64>()).prop_map(|(planes, a, b, ceil, seed)| {
        let fit = |(k, s, p, n): (usize, usize, usize, usize)| {
            let (p, n) = (p.min(k / 2), n.max(k));
            (k, s, p, n, size(n, k, s, p, ceil))
        };
        let (a, b) = (fit(a), fit(b));
        let pool = Pool {
            kernel: [a.0, b.0],
            stride: [a.1, b.1],
            padding: [a.2, b.2],
            input: [a.3, b.3],
            output: [a.4, b.4],
        };
        (planes, pool, seed)
    })
}

/// Calls `f(output index, input index)` in row order, and gives the number of padded elements of every window.
fn each(planes: usize, pool: &Pool, mut f: impl FnMut(usize, usize, usize)) -> Vec<usize> {
    let ([h, w], [oh, ow]) = (pool.input, pool.output);
    let mut padded = vec![0; planes * oh * ow];
    for p in 0..planes {
        for oy in 0..oh {
            for ox in 0..ow {
                let o = (p * oh + oy) * ow + ox;
                for ky in 0..pool.kernel[0] {
                    for kx in 0..pool.kernel[1] {
                        let (y, x) = (oy * pool.stride[0] + ky, ox * pool.stride[1] + kx);
                        if y < h + 2 * pool.padding[0] && x < w + 2 * pool.padding[1] {
                            padded[o] += 1;
                        }
                        let inside = |v: usize, axis: usize| {
                            v.checked_sub(pool.padding[axis]).filter(|&v| v < pool.input[axis])
                        };
                        if let (Some(y), Some(x)) = (inside(y, 0), inside(x, 1)) {
                            f(o, p, y * w + x);
                        }
                    }
                }
            }
        }
    }
    padded
}

fn check_max(planes: usize, pool: &Pool, x: &[f32], seed: u64) -> Result<(), TestCaseError> {
    let (plane, outputs) = (pool.input_plane(), planes * pool.output_plane());
    let (mut y, mut index) = (vec![f32::NEG_INFINITY; outputs], vec![u32::MAX; outputs]);
    each(planes, pool, |o, p, i| {
        let v = x[p * plane + i];
        if index[o] == u32::MAX || v > y[o] || v.is_nan() {
            (y[o], index[o]) = (v, i as u32);
        }
    });
    let (found, places) = max_forward(x, planes, pool);
    let bits = |v: &[f32]| v.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    prop_assert_eq!(bits(&found), bits(&y));
    prop_assert_eq!(&places, &index);
    let only = max_forward_only(x, planes, pool);
    for (a, b) in only.iter().zip(&y) {
        prop_assert!(a == b || (a.is_nan() && b.is_nan()), "{} and {}", a, b);
    }
    let dy = noise(outputs, seed ^ 1);
    let mut dx = vec![0f64; planes * plane];
    for (o, (&i, &g)) in index.iter().zip(&dy).enumerate() {
        dx[o / pool.output_plane() * plane + i as usize] += f64::from(g);
    }
    close(&max_backward(&dy, &places, planes, pool), &dx)
}

fn close(found: &[f32], wanted: &[f64]) -> Result<(), TestCaseError> {
    prop_assert_eq!(found.len(), wanted.len());
    for (i, (a, b)) in found.iter().zip(wanted).enumerate() {
        prop_assert!((f64::from(*a) - b).abs() <= 1e-5, "{}: {} and {}", i, a, b);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn max((planes, pool, seed) in pools()) {
        check_max(planes, &pool, &noise(planes * pool.input_plane(), seed), seed)?;
    }

    #[test]
    fn max_with_ties_and_nan((planes, pool, seed) in pools()) {
        let mut x = noise(planes * pool.input_plane(), seed);
        for v in &mut x {
            *v = match (*v * 4.0).round() {
                3.0 => f32::NAN,
                -4.0 | -3.0 | 4.0 => f32::NEG_INFINITY,
                v => v,
            };
        }
        check_max(planes, &pool, &x, seed)?;
    }

    #[test]
    fn average((planes, pool, seed) in pools(), include in any::<bool>()) {
        let plane = pool.input_plane();
        let x = noise(planes * plane, seed);
        let dy = noise(planes * pool.output_plane(), seed ^ 1);
        let (mut sums, mut covered) = (vec![0f64; dy.len()], vec![0usize; dy.len()]);
        let padded = each(planes, &pool, |o, p, i| {
            sums[o] += f64::from(x[p * plane + i]);
            covered[o] += 1;
        });
        let count = |o: usize| (if include { padded[o] } else { covered[o] }).max(1) as f64;
        let y: Vec<f64> = sums.iter().enumerate().map(|(o, s)| s / count(o)).collect();
        close(&avg_forward(&x, planes, &pool, include), &y)?;
        let mut dx = vec![0f64; x.len()];
        each(planes, &pool, |o, p, i| dx[p * plane + i] += f64::from(dy[o]) / count(o));
        close(&avg_backward(&dy, planes, &pool, include), &dx)?;
    }

    #[test]
    fn average_gradient_by_differences((planes, pool, seed) in pools(), include in any::<bool>()) {
        let x = noise(planes * pool.input_plane(), seed);
        let dy = noise(planes * pool.output_plane(), seed ^ 1);
        let dx = avg_backward(&dy, planes, &pool, include);
        let loss = |x: &[f32]| -> f64 {
            let y = avg_forward(x, planes, &pool, include);
            y.iter().zip(&dy).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
        };
        let at = (seed % x.len() as u64) as usize;
        let moved = |step: f32| { let mut x = x.clone(); x[at] += step; loss(&x) };
        // Linear: the step may be large.
        let slope = (moved(8.0) - moved(-8.0)) / 16.0;
        prop_assert!((slope - f64::from(dx[at])).abs() < 1e-5, "{} and {}", slope, dx[at]);
    }

    #[test]
    fn adaptive(planes in 1usize..4, input in [1usize..14, 1usize..14], output in [1usize..9, 1usize..9], seed in any::<u64>()) {
        let pool = Adaptive { input, output };
        let (plane, outputs) = (pool.input_plane(), pool.output_plane());
        let (x, dy) = (noise(planes * plane, seed), noise(planes * outputs, seed ^ 1));
        let (mut means, mut largest, mut places) = (vec![], vec![], vec![]);
        let (mut from_means, mut from_largest) = (vec![0f64; x.len()], vec![0f64; x.len()]);
        for (o, &g) in dy.iter().enumerate() {
            let (p, oy, ox) = (o / outputs, o % outputs / output[1], o % output[1]);
            // As the documentation of PyTorch's has it.
            let rows = oy * input[0] / output[0]..((oy + 1) * input[0]).div_ceil(output[0]);
            let columns = ox * input[1] / output[1]..((ox + 1) * input[1]).div_ceil(output[1]);
            let all: Vec<usize> = rows.flat_map(|y| columns.clone().map(move |x| y * input[1] + x)).collect();
            means.push(all.iter().map(|i| f64::from(x[p * plane + i])).sum::<f64>() / all.len() as f64);
            let most = all.iter().copied().reduce(|a, b| if x[p * plane + b] > x[p * plane + a] { b } else { a });
            largest.push(f64::from(x[p * plane + most.unwrap()]));
            places.push(most.unwrap() as u32);
            from_largest[p * plane + most.unwrap()] += f64::from(g);
            all.iter().for_each(|i| from_means[p * plane + i] += f64::from(g) / all.len() as f64);
        }
        close(&adaptive_avg_forward(&x, planes, &pool), &means)?;
        close(&adaptive_avg_backward(&dy, planes, &pool), &from_means)?;
        let (found, indices) = adaptive_max_forward(&x, planes, &pool);
        close(&found, &largest)?;
        prop_assert_eq!(&indices, &places);
        close(&adaptive_max_backward(&dy, &indices, planes, &pool), &from_largest)?;
        // The gradient by differences: the mean is linear, so that the step may be large.
        let loss = |x: &[f32]| -> f64 {
            let y = adaptive_avg_forward(x, planes, &pool);
            y.iter().zip(&dy).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
        };
        let at = (seed % x.len() as u64) as usize;
        let moved = |step: f32| { let mut x = x.clone(); x[at] += step; loss(&x) };
        let slope = (moved(8.0) - moved(-8.0)) / 16.0;
        prop_assert!((slope - from_means[at]).abs() < 1e-5, "{} and {}", slope, from_means[at]);
    }

    #[test]
    fn global(planes in 1usize..40, inner in 1usize..700, seed in any::<u64>()) {
        let x = noise(planes * inner, seed);
        let mean = |x: &[f32]| x.iter().map(|&v| f64::from(v)).sum::<f64>() / inner as f64;
        close(&global_avg_forward(&x, planes, inner), &x.chunks(inner).map(mean).collect::<Vec<_>>())?;
        let dy = noise(planes, seed ^ 1);
        let dx: Vec<f64> = (0..x.len()).map(|i| f64::from(dy[i / inner]) / inner as f64).collect();
        close(&global_avg_backward(&dy, planes, inner), &dx)?;
    }
}

#[test]
fn windows_beyond_the_padded_image_count_only_what_lies_in_it() {
    // ceil_mode: torch.nn.AvgPool2d(3, 2, ceil_mode=True) on a plane of 4 × 4.
    let pool = Pool { kernel: [3, 3], stride: [2, 2], padding: [0, 0], input: [4, 4], output: [2, 2] };
    let x: Vec<f32> = (0..16u8).map(f32::from).collect();
    assert_eq!(avg_forward(&x, 1, &pool, true), [5.0, 6.5, 11.0, 12.5]);
    assert_eq!(max_forward(&x, 1, &pool).1, [10, 11, 14, 15]);
}

/// torch.nn.AdaptiveAvgPool2d((2, 3)) and AdaptiveMaxPool2d((2, 3)) on a plane of 3 × 4.
#[test]
fn adaptive_windows_share_elements() {
    let pool = Adaptive { input: [3, 4], output: [2, 3] };
    let x: Vec<f32> = (0..12u8).map(f32::from).collect();
    assert_eq!(adaptive_avg_forward(&x, 1, &pool), [2.5, 3.5, 4.5, 6.5, 7.5, 8.5]);
    assert_eq!(adaptive_max_forward(&x, 1, &pool).1, [5, 6, 7, 9, 10, 11]);
    let x = [1.0, f32::NAN, 3.0, f32::NAN];
    let whole = Adaptive { input: [2, 2], output: [1, 1] };
    assert_eq!(adaptive_max_forward(&x, 1, &whole).1, [3]);
}

#[test]
fn empty_sizes_give_empty_results() {
    let pool = Pool { kernel: [3, 3], stride: [1, 1], padding: [1, 1], input: [4, 4], output: [4, 0] };
    assert!(max_forward(&[0.0; 16], 1, &pool).0.is_empty());
    assert!(max_forward_only(&[0.0; 16], 1, &pool).is_empty());
    assert_eq!(avg_backward(&[], 1, &pool, true), [0.0; 16]);
    assert_eq!(max_backward(&[], &[], 1, &pool), [0.0; 16]);
    let pool = Adaptive { input: [4, 4], output: [4, 0] };
    assert!(adaptive_avg_forward(&[0.0; 16], 1, &pool).is_empty());
    assert!(adaptive_max_forward(&[0.0; 16], 1, &pool).0.is_empty());
    assert_eq!(adaptive_avg_backward(&[], 1, &pool), [0.0; 16]);
}

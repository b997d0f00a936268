//! Convolution by its definition, in `f64`.

use occam_kernels::Activation;
use occam_kernels::conv::{Dims, Epilogue, Geometry, backward, forward, input_grad, weight_grad};
use proptest::prelude::*;

/// Numbers without pattern in [-1, 1).
pub fn noise(n: usize, seed: u64) -> Vec<f32> {
    (0..n as u64)
        .map(|i| {
            let mut z = seed.wrapping_add((i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z >> 40) as f64 / f64::from(1u32 << 24)).mul_add(2.0, -1.0) as f32
        })
        .collect()
}

/// Calls `f(y index, x index, w index)` for every product of the convolution.
fn each(d: &Dims, mut f: impl FnMut(usize, usize, usize)) {
    let g = &d.geometry;
    let (oh, ow) = d.output();
    let (cg, og) = (d.c / g.groups, d.o / g.groups);
    for n in 0..d.n {
        for o in 0..d.o {
            for oy in 0..oh {
                for ox in 0..ow {
                    for c in 0..cg {
                        for ky in 0..d.kh {
                            for kx in 0..d.kw {
                                let y = (oy * g.stride[0] + ky * g.dilation[0]) as isize
                                    - g.padding[0].0 as isize;
                                let x = (ox * g.stride[1] + kx * g.dilation[1]) as isize
                                    - g.padding[1].0 as isize;
                                if y < 0 || x < 0 || y >= d.h as isize || x >= d.w as isize {
                                    continue;
                                }
                                let channel = o / og * cg + c;
                                f(
                                    ((n * d.o + o) * oh + oy) * ow + ox,
                                    ((n * d.c + channel) * d.h + y as usize) * d.w + x as usize,
                                    ((o * cg + c) * d.kh + ky) * d.kw + kx,
                                );
                            }
                        }
                    }
                }
            }
        }
    }
}

fn close(found: &[f32], wanted: &[f64], terms: usize, what: &str) -> Result<(), TestCaseError> {
    prop_assert_eq!(found.len(), wanted.len());
    let scale = (terms as f64).sqrt().max(1.0);
    for (i, (a, b)) in found.iter().zip(wanted).enumerate() {
        prop_assert!((f64::from(*a) - b).abs() <= 2e-6 * scale, "{} {}: {} and {}", what, i, a, b);
    }
    Ok(())
}

/// Compares all results, with every epilogue, and by prefixes of larger weights.
pub fn check(d: &Dims, seed: u64) -> Result<(), TestCaseError> {
    let (oh, ow) = d.output();
    let cg = d.c / d.geometry.groups;
    let x = noise(d.n * d.c * d.h * d.w, seed);
    let w = noise(d.o * cg * d.kh * d.kw, seed ^ 1);
    let dy = noise(d.n * d.o * oh * ow, seed ^ 2);
    let (scale, bias) = (noise(d.o, seed ^ 3), noise(d.o, seed ^ 4));
    let residual = noise(dy.len(), seed ^ 5);
    let mut y = vec![0f64; dy.len()];
    let mut dx = vec![0f64; x.len()];
    let mut dw = vec![0f64; w.len()];
    each(d, |i, j, k| {
        y[i] += f64::from(x[j]) * f64::from(w[k]);
        dx[j] += f64::from(dy[i]) * f64::from(w[k]);
        dw[k] += f64::from(dy[i]) * f64::from(x[j]);
    });
    let terms = cg * d.kh * d.kw;
    close(&forward(&x, &w, d, &Epilogue::default()), &y, terms, "y")?;
    close(&input_grad(&w, &dy, d), &dx, d.o * d.kh * d.kw, "dx")?;
    close(&weight_grad(&x, &dy, d), &dw, d.n * oh * ow, "dw")?;
    let [gx, gw] = backward(&x, &w, &dy, d, [true, true]);
    close(&gx.unwrap(), &dx, d.o * d.kh * d.kw, "dx of both")?;
    close(&gw.unwrap(), &dw, d.n * oh * ow, "dw of both")?;
    assert!(backward(&x, &w, &dy, d, [false, false]).iter().all(Option::is_none));
    // The same kernels as the first channels of larger ones.
    let row = cg * d.kh * d.kw;
    let mut larger = noise((row + 5) * d.o, seed ^ 6);
    for (larger, w) in larger.chunks_exact_mut(row + 5).zip(w.chunks_exact(row.max(1))) {
        larger[..row].copy_from_slice(w);
    }
    let part = Dims { weight_row: Some(row + 5), ..*d };
    prop_assert_eq!(
        forward(&x, &larger, &part, &Epilogue::default()),
        forward(&x, &w, d, &Epilogue::default())
    );
    prop_assert_eq!(input_grad(&larger, &dy, &part), input_grad(&w, &dy, d));
    prop_assert_eq!(backward(&x, &larger, &dy, &part, [true; 2]), backward(&x, &w, &dy, d, [true; 2]));
    for activation in [Activation::None, Activation::Relu, Activation::Relu6] {
        for residual in [None, Some(&residual[..])] {
            let epilogue = Epilogue { scale: Some(&scale), bias: Some(&bias), residual, activation };
            let (low, high) = activation.range();
            let wanted: Vec<f64> = y
                .iter()
                .enumerate()
                .map(|(i, v)| {
                    let o = i / (oh * ow) % d.o;
                    let v = v * f64::from(scale[o]) + f64::from(bias[o]);
                    (v + residual.map_or(0.0, |r| f64::from(r[i]))).max(f64::from(low)).min(f64::from(high))
                })
                .collect();
            close(&forward(&x, &w, d, &epilogue), &wanted, terms, "epilogue")?;
        }
    }
    Ok(())
}

/// A convolution for each way that there is.
pub fn each_way() -> Vec<Dims> {
    let plain = Geometry { stride: [1; 2], padding: [(0, 0); 2], dilation: [1; 2], groups: 1 };
    let dims = |[n, c, h, w]: [usize; 4], [o, kh, kw]: [usize; 3], geometry: Geometry| Dims {
        n,
        c,
        h,
        w,
        o,
        kh,
        kw,
        geometry,
        weight_row: None,
    };
    let padded = Geometry { padding: [(1, 1), (0, 2)], ..plain };
    let strided = Geometry { stride: [2, 3], ..padded };
    let channels = |groups: usize, geometry: Geometry| Geometry { groups, ..geometry };
    vec![
        dims([3, 20, 7, 9], [30, 1, 1], plain),
        dims([2, 11, 6, 7], [9, 3, 3], padded),
        dims([2, 6, 9, 8], [10, 3, 2], channels(2, strided)),
        dims([1, 5, 11, 12], [7, 3, 3], Geometry { dilation: [2, 3], ..strided }),
        // The inner dimension in blocks.
        dims([2, 90, 3, 4], [35, 3, 3], strided),
        // Winograd's filtering, also in blocks.
        dims([11, 13, 7, 6], [17, 3, 3], padded),
        dims([22, 200, 5, 4], [14, 3, 3], padded),
        // Too few tiles for it.
        dims([3, 13, 7, 6], [17, 3, 3], padded),
        // Depthwise, and with planes that are not laid out.
        dims([2, 5, 9, 19], [5, 3, 3], channels(5, padded)),
        dims([2, 5, 9, 35], [5, 3, 3], channels(5, strided)),
        dims(
            [1, 3, 9, 8],
            [3, 5, 4],
            channels(3, Geometry { padding: [(6, 5), (4, 7)], dilation: [2, 1], ..plain }),
        ),
        dims(
            [1, 3, 4, 5],
            [3, 3, 3],
            channels(3, Geometry { padding: [(700, 700); 2], dilation: [700; 2], ..plain }),
        ),
        // Windows further apart than the image is wide.
        dims([2, 3, 4, 5], [3, 3, 3], channels(3, Geometry { stride: [1_000_000; 2], ..padded })),
        dims([2, 3, 4, 5], [4, 3, 3], Geometry { stride: [1_000_000; 2], ..padded }),
    ]
}

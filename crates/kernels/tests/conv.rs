//! Convolution against a plain `f64` reference, over random shapes.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use occam_kernels::Activation;
use occam_kernels::conv::{Dims, Epilogue, Geometry, backward, forward, input_grad, weight_grad};
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

fn check(d: &Dims, seed: u64) -> Result<(), TestCaseError> {
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
    for (larger, w) in larger.chunks_exact_mut(row + 5).zip(w.chunks_exact(row)) {
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

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn small(
        n in 1usize..6, groups in 1usize..4, cg in 1usize..5, og in 1usize..12,
        h in 1usize..12, w in 1usize..20, kh in 1usize..4, kw in 1usize..4,
        sh in 1usize..4, sw in 1usize..4, pads in prop::array::uniform4(0usize..3),
        dh in 1usize..3, dw in 1usize..3, seed in any::<u64>(),
    ) {
        prop_assume!(h + pads[0] + pads[1] > dh * (kh - 1) && w + pads[2] + pads[3] > dw * (kw - 1));
        let geometry = Geometry {
            stride: [sh, sw],
            padding: [(pads[0], pads[1]), (pads[2], pads[3])],
            dilation: [dh, dw],
            groups,
        };
        check(&Dims { n, c: groups * cg, h, w, o: groups * og, kh, kw, geometry, weight_row: None }, seed)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn depthwise(
        n in 1usize..4, c in 2usize..6, h in 1usize..20, w in 1usize..40, kh in 1usize..6, kw in 1usize..6,
        sh in 1usize..4, sw in 1usize..4, pads in prop::array::uniform4(0usize..5),
        dh in 1usize..3, dw in 1usize..3, seed in any::<u64>(),
    ) {
        prop_assume!(h + pads[0] + pads[1] > dh * (kh - 1) && w + pads[2] + pads[3] > dw * (kw - 1));
        let geometry = Geometry {
            stride: [sh, sw],
            padding: [(pads[0], pads[1]), (pads[2], pads[3])],
            dilation: [dh, dw],
            groups: c,
        };
        check(&Dims { n, c, h, w, o: c, kh, kw, geometry, weight_row: None }, seed)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// Many channels: the inner dimension is split and outputs fill several panels.
    #[test]
    fn wide(n in 1usize..4, c in 60usize..200, o in 30usize..140, h in 3usize..9, k in 1usize..4, s in 1usize..3, seed in any::<u64>()) {
        let geometry = Geometry { stride: [s; 2], padding: [(k / 2, k / 2); 2], dilation: [1; 2], groups: 1 };
        check(&Dims { n, c, h, w: h + 1, o, kh: k, kw: k, geometry, weight_row: None }, seed)?;
    }
}

/// Kernels too large for the near caches: one point of the transforms at a time.
#[test]
fn large() {
    let geometry = Geometry { stride: [1; 2], padding: [(1, 1), (0, 2)], dilation: [1; 2], groups: 1 };
    check(&Dims { n: 2, c: 391, h: 4, w: 5, o: 349, kh: 3, kw: 3, geometry, weight_row: None }, 7).unwrap();
}

//! Convolution against a plain `f64` reference, over random shapes.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "reference/conv.rs"]
mod reference;

use occam_kernels::conv::{Dims, Epilogue, Geometry, forward};
use proptest::prelude::*;
use reference::check;

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

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    /// 3x3 kernels of many channels: Winograd's filtering up to a padding of 2 where there are 128 tiles, gathered products
    /// elsewhere.
    #[test]
    fn winograd(
        more in 0usize..3, many in any::<bool>(), c in 12usize..40, o in 12usize..40, h in 2usize..15, w in 2usize..15,
        pads in prop::array::uniform4(0usize..4), seed in any::<u64>(),
    ) {
        prop_assume!(h + pads[0] + pads[1] >= 3 && w + pads[2] + pads[3] >= 3);
        let padding = [(pads[0], pads[1]), (pads[2], pads[3])];
        let geometry = Geometry { stride: [1; 2], padding, dilation: [1; 2], groups: 1 };
        let tiles = (h + pads[0] + pads[1] - 2).div_ceil(2) * (w + pads[2] + pads[3] - 2).div_ceil(2);
        let n = if many { 128usize.div_ceil(tiles) + more } else { 1 + more };
        check(&Dims { n, c, h, w, o, kh: 3, kw: 3, geometry, weight_row: None }, seed)?;
    }
}

/// Kernels too large for the near caches, and more tiles than a panel has: one point of the transforms at a time.
#[test]
fn large() {
    let geometry = Geometry { stride: [1; 2], padding: [(1, 1), (0, 2)], dilation: [1; 2], groups: 1 };
    check(&Dims { n: 22, c: 391, h: 4, w: 5, o: 349, kh: 3, kw: 3, geometry, weight_row: None }, 7).unwrap();
}

#[test]
fn ways() {
    for (i, d) in reference::each_way().iter().enumerate() {
        check(d, i as u64).unwrap();
    }
}

/// Sums of nothing are 0; without images or outputs there is nothing.
#[test]
fn empty_sizes_give_zeros() {
    let geometry = Geometry { stride: [1; 2], padding: [(1, 1); 2], dilation: [1; 2], groups: 1 };
    let all = Dims { n: 2, c: 16, h: 5, w: 5, o: 16, kh: 3, kw: 3, geometry, weight_row: None };
    let strided = Geometry { stride: [2, 2], ..geometry };
    let depthwise = Dims { geometry: Geometry { groups: 16, ..geometry }, ..all };
    for d in [
        Dims { n: 0, ..all },
        Dims { n: 0, geometry: strided, ..all },
        Dims { n: 0, ..depthwise },
        Dims { c: 0, ..all },
        Dims { c: 0, geometry: strided, ..all },
        Dims { o: 0, ..all },
        Dims { o: 0, geometry: strided, ..all },
        Dims { h: 0, kh: 1, ..all },
        Dims { w: 0, kw: 1, geometry: strided, ..all },
        Dims { h: 0, kh: 1, ..depthwise },
    ] {
        check(&d, 3).unwrap();
    }
    let large = Dims { n: 0, c: 400, o: 400, ..all };
    check(&large, 3).unwrap();
}

#[test]
fn unsound_sizes_are_refused() {
    let geometry = Geometry { stride: [1; 2], padding: [(1, 1); 2], dilation: [1; 2], groups: 2 };
    let d = Dims { n: 1, c: 4, h: 5, w: 5, o: 4, kh: 3, kw: 3, geometry, weight_row: None };
    assert_eq!(d.check(), Ok(()));
    let with = |geometry: Geometry| Dims { geometry, ..d };
    let huge = usize::MAX / 2;
    for (d, about) in [
        (Dims { kh: 0, ..d }, "at least 1"),
        (with(Geometry { stride: [0, 1], ..geometry }), "at least 1"),
        (with(Geometry { dilation: [1, 0], ..geometry }), "at least 1"),
        (with(Geometry { groups: 0, ..geometry }), "groups"),
        (with(Geometry { groups: 3, ..geometry }), "groups"),
        (Dims { kh: 8, ..d }, "larger than the padded image"),
        (with(Geometry { dilation: [9, 1], ..geometry }), "larger than the padded image"),
        (with(Geometry { dilation: [huge, 1], ..geometry }), "larger than the padded image"),
        (with(Geometry { padding: [(huge, huge); 2], ..geometry }), "more elements"),
        (with(Geometry { padding: [(1 << 40, 0); 2], ..geometry }), "more elements"),
        (with(Geometry { stride: [usize::MAX, 1], ..geometry }), "more elements"),
        (Dims { n: huge, ..d }, "more elements"),
        (Dims { c: 1 << 40, o: 1 << 40, ..d }, "more elements"),
        (Dims { weight_row: Some(huge), ..d }, "more elements"),
    ] {
        let error = d.check().unwrap_err();
        assert!(error.contains(about), "{d:?}: {error}");
    }
}

#[test]
#[should_panic(expected = "the groups do not divide the channels")]
fn unsound_sizes_are_not_computed() {
    let geometry = Geometry { stride: [1; 2], padding: [(1, 1); 2], dilation: [1; 2], groups: 3 };
    let d = Dims { n: 1, c: 4, h: 5, w: 5, o: 4, kh: 3, kw: 3, geometry, weight_row: None };
    let _ = forward(&[0.0; 1000], &[0.0; 1000], &d, &Epilogue::default());
}

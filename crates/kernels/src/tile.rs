//! The innermost product: a tile of `MR` rows and `NV` vectors, held in registers over the whole inner dimension.
//!
//! A processor with 32 registers of 16 or 4 lanes holds 24 sums, one with 16 registers of 8 lanes holds 12; what is
//! left takes one row of the right operand and one element of the left.

use pulp::Simd;

use crate::arch::arch;

/// Sums of one tile.
pub(crate) type Sums<S, const MR: usize, const NV: usize> = [[<S as Simd>::f32s; NV]; MR];

/// `Σ_k a[i, k] · b[k, j]` for `MR` rows `i` and `NV` vectors `j`.
///
/// `a[i, k]` lies at `i · row + k · step`, `b` without gaps; with `PACKED` the rows lie side by side instead
/// (`row` 1, `step` `MR`). Rows of `b` lie `right` elements apart.
///
/// # Safety
/// Both operands have all elements named above.
#[inline(always)]
pub(crate) unsafe fn product<S: Simd, const MR: usize, const NV: usize, const PACKED: bool>(
    simd: S,
    depth: usize,
    mut a: *const f32,
    row: usize,
    mut b: *const f32,
    right: usize,
) -> Sums<S, MR, NV> {
    let mut sums = [[simd.splat_f32s(0.0); NV]; MR];
    for _ in 0..depth {
        // SAFETY: the caller's promise; vectors are read without alignment.
        unsafe {
            let mut vectors = [simd.splat_f32s(0.0); NV];
            for (j, v) in vectors.iter_mut().enumerate() {
                *v = load::<S>(b.add(j * S::F32_LANES));
            }
            for (i, sums) in sums.iter_mut().enumerate() {
                let left = simd.splat_f32s(*a.add(if PACKED { i } else { i * row }));
                for (sum, v) in sums.iter_mut().zip(vectors) {
                    *sum = simd.mul_add_e_f32s(left, v, *sum);
                }
            }
            a = a.add(if PACKED { MR } else { 1 });
            b = b.add(right);
        }
    }
    sums
}

/// Reads a vector.
///
/// # Safety
/// All its elements can be read.
#[inline(always)]
pub(crate) unsafe fn load<S: Simd>(from: *const f32) -> S::f32s {
    // SAFETY: the caller's promise.
    unsafe { from.cast::<S::f32s>().read_unaligned() }
}

/// Writes a vector.
///
/// # Safety
/// All its elements can be written.
#[inline(always)]
pub(crate) unsafe fn store<S: Simd>(to: *mut f32, v: S::f32s) {
    // SAFETY: the caller's promise.
    unsafe { to.cast::<S::f32s>().write_unaligned(v) }
}

/// Work that is generic over the tile: [`dispatch`] and [`dispatch_for`] pick one that fits the processor.
pub(crate) trait Tiled {
    type Output;
    fn run<S: Simd, const MR: usize, const NV: usize>(self, simd: S) -> Self::Output;
}

/// Runs `work` with the tile that suits long rows of the right operand.
pub(crate) fn dispatch<W: Tiled>(work: W) -> W::Output {
    struct Long<W>(W);
    impl<W: Tiled> pulp::WithSimd for Long<W> {
        type Output = W::Output;
        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) -> W::Output {
            if S::F32_LANES == 8 { self.0.run::<S, 4, 3>(simd) } else { self.0.run::<S, 8, 3>(simd) }
        }
    }
    arch().dispatch(Long(work))
}

/// Rows and columns of the tile of [`dispatch`].
pub(crate) fn shape() -> (usize, usize) {
    struct Shape;
    impl Tiled for Shape {
        type Output = (usize, usize);
        #[inline(always)]
        fn run<S: Simd, const MR: usize, const NV: usize>(self, _: S) -> Self::Output {
            (MR, NV * S::F32_LANES)
        }
    }
    dispatch(Shape)
}

/// Runs `work` with the tile that wastes least on `columns` of the right operand.
pub(crate) fn dispatch_for<W: Tiled>(columns: usize, work: W) -> W::Output {
    struct Fitting<W>(usize, W);
    impl<W: Tiled> pulp::WithSimd for Fitting<W> {
        type Output = W::Output;
        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) -> W::Output {
            let Fitting(columns, work) = self;
            let waste = |nv: usize| columns.next_multiple_of(nv * S::F32_LANES);
            if S::F32_LANES == 8 {
                let best = [3, 2, 1].into_iter().min_by_key(|&nv| waste(nv));
                return match best {
                    Some(3) => work.run::<S, 4, 3>(simd),
                    Some(2) => work.run::<S, 6, 2>(simd),
                    _ => work.run::<S, 12, 1>(simd),
                };
            }
            match [4, 3, 2, 1].into_iter().min_by_key(|&nv| waste(nv)) {
                Some(4) => work.run::<S, 6, 4>(simd),
                Some(3) => work.run::<S, 8, 3>(simd),
                Some(2) => work.run::<S, 12, 2>(simd),
                _ => work.run::<S, 16, 1>(simd),
            }
        }
    }
    arch().dispatch(Fitting(columns, work))
}

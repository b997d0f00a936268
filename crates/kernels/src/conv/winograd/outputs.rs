//! From sums to outputs.

use pulp::Simd;

use super::super::Epilogue;
use super::super::gather::Grid;
use crate::Activation;
use crate::memory::Shared;
use crate::tile::load;

/// Where outputs go.
pub(super) struct Outputs<'a> {
    /// Of tiles.
    pub(super) grid: &'a Grid<'a>,
    pub(super) rows: usize,
    pub(super) out: Shared,
    /// Of an output plane.
    pub(super) size: (usize, usize),
    pub(super) epilogue: &'a Epilogue<'a>,
}

impl Outputs<'_> {
    /// `Aᵀ m A`, the epilogue, and the 2x2 outputs of tiles `tiles.0..tiles.1` of the rows from `row` on.
    ///
    /// # Safety
    /// `sums` has all points of a panel, `[point, MR, NV vectors]`; no other task has these rows and tiles.
    #[inline(always)]
    pub(super) unsafe fn finish<S: Simd, const MR: usize, const NV: usize>(
        &self,
        simd: S,
        row: usize,
        tiles: (usize, usize),
        sums: *const f32,
    ) {
        let nr = NV * S::F32_LANES;
        let (oh, ow) = self.size;
        let (low, high) = self.epilogue.activation.range();
        let plain = self.epilogue.activation == Activation::None;
        // Of every tile its outputs, one line each.
        let mut lines = [[simd.splat_f32s(0.0); NV]; 4];
        for i in 0..MR.min(self.rows - row) {
            let bias = self.epilogue.bias.and_then(|b| b.get(row + i)).copied().unwrap_or(0.0);
            let bias = simd.splat_f32s(bias);
            let vectors = 0..NV;
            for v in vectors {
                let at = |f: usize| (f * MR + i) * nr + v * S::F32_LANES;
                let along = |m: [S::f32s; 4]| {
                    let both = simd.sub_f32s(m[1], m[2]);
                    [simd.add_f32s(simd.add_f32s(m[0], m[1]), m[2]), simd.sub_f32s(both, m[3])]
                };
                let mut half = [[simd.splat_f32s(0.0); 4]; 2];
                for x in 0..4 {
                    // SAFETY: the caller's promise.
                    let column = [0, 1, 2, 3].map(|y| unsafe { load::<S>(sums.add(at(4 * y + x))) });
                    for (half, d) in half.iter_mut().zip(along(column)) {
                        half[x] = d;
                    }
                }
                for (y, half) in half.into_iter().enumerate() {
                    for (x, sum) in along(half).into_iter().enumerate() {
                        lines[2 * y + x][v] = simd.add_f32s(sum, bias);
                    }
                }
            }
            let lines = lines.as_ptr().cast::<f32>();
            let pixels = self.grid.pixels();
            let (mut p, mut from) = (tiles.0, 0);
            while p < tiles.1 {
                let (n, inside) = (p / pixels, p % pixels);
                let (ty, tx) = (inside / self.grid.gw, inside % self.grid.gw);
                let len = (self.grid.gw - tx).min(tiles.1 - p);
                for y in 0..2.min(oh - 2 * ty) {
                    let to = ((n * self.rows + row + i) * oh + 2 * ty + y) * ow + 2 * tx;
                    let count = (2 * len).min(ow - 2 * tx);
                    // SAFETY: `count` elements of a row of the output from `to` on are of these tiles; each line has
                    // an element for every tile, and the residual has the output's shape.
                    unsafe {
                        let out = self.out.slice(to, count);
                        let even = std::slice::from_raw_parts(lines.add(2 * y * nr + from), len);
                        let odd = std::slice::from_raw_parts(lines.add((2 * y + 1) * nr + from), len);
                        for ((o, &a), &b) in out.chunks_exact_mut(2).zip(even).zip(odd) {
                            o[0].write(a);
                            o[1].write(b);
                        }
                        if let (1, Some(o), Some(&a)) = (count % 2, out.last_mut(), even.last()) {
                            o.write(a);
                        }
                        // All were written: two for every tile, one of the last if the row is odd.
                        let out = std::slice::from_raw_parts_mut(self.out.at(to), count);
                        if let Some(residual) = self.epilogue.residual {
                            out.iter_mut().zip(&residual[to..to + count]).for_each(|(o, r)| *o += r);
                        }
                        if !plain {
                            for o in out {
                                let v = if *o < low { low } else { *o };
                                *o = if v > high { high } else { v };
                            }
                        }
                    }
                }
                p += len;
                from += len;
            }
        }
    }
}

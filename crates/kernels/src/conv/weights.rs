//! The left operand, packed: panels of as many rows as a tile has, `[rows / MR, depth, MR]`, the rest zero.

use rayon::prelude::*;

use crate::tile;

/// A packed left operand.
pub(super) struct Packed {
    pub(super) data: Vec<f32>,
    pub(super) rows: usize,
    pub(super) depth: usize,
}

/// Columns of a panel that are turned at a time: their rows stay in the first cache.
const COLUMNS: usize = 128;

impl Packed {
    /// Packs rows of `depth` elements that follow each other from the offsets `start(row)` on.
    pub(super) fn of_rows(
        w: &[f32],
        rows: usize,
        depth: usize,
        start: impl Fn(usize) -> usize + Sync,
        scale: Option<&[f32]>,
    ) -> Self {
        let (mr, _) = tile::shape();
        let mut data = vec![0.0; rows.div_ceil(mr) * depth * mr];
        if depth > 0 {
            data.par_chunks_mut(depth * mr).enumerate().for_each(|(panel, to)| {
                let first = panel * mr;
                for (block, to) in to.chunks_mut(COLUMNS * mr).enumerate() {
                    for i in 0..mr.min(rows - first) {
                        let from = start(first + i) + block * COLUMNS;
                        let factor = scale.and_then(|s| s.get(first + i)).copied().unwrap_or(1.0);
                        let row = &w[from..from + to.len() / mr];
                        for (to, &x) in to.chunks_exact_mut(mr).zip(row) {
                            to[i] = x * factor;
                        }
                    }
                }
            });
        }
        Self { data, rows, depth }
    }

    /// Packs `at(row, step, tap)`, an offset into `w`; the depth is `steps · taps`.
    pub(super) fn new(
        w: &[f32],
        rows: usize,
        [steps, taps]: [usize; 2],
        at: impl Fn(usize, usize, usize) -> usize + Sync,
        scale: Option<&[f32]>,
    ) -> Self {
        let (mr, _) = tile::shape();
        let depth = steps * taps;
        let mut data = vec![0.0; rows.div_ceil(mr) * depth * mr];
        if depth > 0 {
            data.par_chunks_mut(depth * mr).enumerate().for_each(|(panel, to)| {
                let first = panel * mr;
                let count = mr.min(rows - first);
                for (step, to) in to.chunks_exact_mut(taps * mr).enumerate() {
                    for i in 0..count {
                        let factor = scale.and_then(|s| s.get(first + i)).copied().unwrap_or(1.0);
                        for (tap, to) in to.chunks_exact_mut(mr).enumerate() {
                            to[i] = w[at(first + i, step, tap)] * factor;
                        }
                    }
                }
            });
        }
        Self { data, rows, depth }
    }
}

//! The left operand, packed: panels of as many rows as a tile has, `[rows / MR, depth, MR]`, the rest zero.

use rayon::prelude::*;

use crate::tile;

/// A packed left operand.
pub(super) struct Packed {
    pub(super) data: Vec<f32>,
    pub(super) rows: usize,
    pub(super) depth: usize,
}

impl Packed {
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

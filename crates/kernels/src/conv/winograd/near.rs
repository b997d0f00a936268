//! All points of a few tiles at a time, in the near caches: for kernels that stay there as well.

use pulp::Simd;
use rayon::prelude::*;

use super::super::gather::{SLACK, Table};
use super::outputs::Outputs;
use super::{POINTS, transform_tiles};
use crate::memory::{Scratch, room, with_scratch};
use crate::tile::{self, Tiled, load, product, store};

/// Channels at a time: sixteen rows of each stay in the second cache.
const SHARE: usize = 192;

/// The outputs of all tiles.
pub(super) fn run(outputs: &Outputs<'_>, kernels: &[f32], channels: usize, total: usize) {
    let (mr, nr) = tile::shape();
    let threads = rayon::current_num_threads();
    let row_panels = outputs.rows.div_ceil(mr);
    let tasks = total.div_ceil(nr);
    // Few panels of tiles are shared by rows as well, though each share transforms the tiles anew.
    let wanted = (4 * threads).div_ceil(tasks.max(1));
    let splits = if tasks < 4 * threads { wanted.clamp(1, row_panels.div_ceil(4)) } else { 1 };
    let split = row_panels.div_ceil(splits.max(1));
    (0..tasks * splits).into_par_iter().for_each(|task| {
        let (t, s) = (task / splits, task % splits);
        with_scratch(|scratch| {
            tile::dispatch(Task {
                outputs,
                kernels,
                channels,
                panels: (s * split, ((s + 1) * split).min(row_panels)),
                tiles: (t * nr, ((t + 1) * nr).min(total)),
                scratch,
            });
        });
    });
}

/// The tiles of one panel and some panels of rows.
struct Task<'a> {
    outputs: &'a Outputs<'a>,
    kernels: &'a [f32],
    channels: usize,
    panels: (usize, usize),
    tiles: (usize, usize),
    scratch: &'a mut Scratch,
}

impl Tiled for Task<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const MR: usize, const NV: usize>(self, simd: S) {
        let nr = NV * S::F32_LANES;
        let (first, end) = self.panels;
        if first >= end {
            return;
        }
        let all_panels = self.outputs.rows.div_ceil(MR);
        let blocks = self.channels.div_ceil(SHARE).max(1);
        let share = self.channels.div_ceil(blocks).max(1);
        let mut table = Table::default();
        self.outputs.grid.table(self.tiles.0, self.tiles.1, &mut table);
        let tile = POINTS * MR * nr;
        let packed = room(&mut self.scratch.a, POINTS * share * nr).as_mut_ptr();
        let patches = room(&mut self.scratch.c, POINTS * nr + SLACK).as_mut_ptr();
        let kept = if blocks > 1 { end - first } else { 1 };
        let sums = room(&mut self.scratch.b, kept * tile).as_mut_ptr();
        for block in 0..blocks {
            let channels = block * share..((block + 1) * share).min(self.channels);
            let depth = channels.len();
            // SAFETY: room for the rows and the slack was made above.
            unsafe {
                for (i, c) in channels.clone().enumerate() {
                    self.outputs.grid.gather(simd, &table, c..c + 1, patches, nr);
                    transform_tiles(simd, patches, nr, packed.add(i * nr), share * nr);
                }
            }
            for panel in first..end {
                // SAFETY: every panel has its own sums where they are kept; kernels have `channels` rows a panel.
                unsafe {
                    let sums = sums.add(if blocks > 1 { (panel - first) * tile } else { 0 });
                    for f in 0..POINTS {
                        let a = ((f * all_panels + panel) * self.channels + channels.start) * MR;
                        let a = self.kernels.as_ptr().add(a);
                        let found =
                            product::<S, MR, NV, true>(simd, depth, a, 1, packed.add(f * share * nr), nr);
                        for (i, found) in found.into_iter().enumerate() {
                            for (v, mut sum) in found.into_iter().enumerate() {
                                let to = sums.add((f * MR + i) * nr + v * S::F32_LANES);
                                if block > 0 {
                                    sum = simd.add_f32s(load::<S>(to), sum);
                                }
                                store::<S>(to, sum);
                            }
                        }
                    }
                    if block + 1 == blocks {
                        self.outputs.finish::<S, MR, NV>(simd, panel * MR, self.tiles, sums);
                    }
                }
            }
        }
    }
}

//! One point of many tiles at a time, in three stages: tiles, products, outputs. For kernels that are too large to be
//! read for every few tiles.

use pulp::Simd;
use rayon::prelude::*;

use super::super::gather::{Grid, SLACK, Table};
use super::outputs::Outputs;
use super::{POINTS, transform_tiles};
use crate::memory::{Output, Scratch, Shared, room, with_scratch};
use crate::tile::{self, Tiled, product, store};

/// The outputs of all tiles, of so many at a time that a stage leaves at most `stage` elements to the next.
pub(super) fn run(outputs: &Outputs<'_>, kernels: &[f32], channels: usize, total: usize, stage: usize) {
    let (mr, nr) = tile::shape();
    let row_panels = outputs.rows.div_ceil(mr);
    let most = (stage / (POINTS * (channels + row_panels * mr) * nr)).max(1);
    let chunks = total.div_ceil(nr).div_ceil(most);
    let panels = total.div_ceil(nr).div_ceil(chunks);
    let threads = rayon::current_num_threads();
    let mut tiles = Output::new(POINTS * panels * channels * nr);
    let mut sums = Output::new(row_panels * panels * POINTS * mr * nr);
    for first in (0..total).step_by(panels * nr) {
        let end = (first + panels * nr).min(total);
        let panels = (end - first).div_ceil(nr);
        let stage = Stage {
            outputs,
            kernels,
            channels,
            row_panels,
            panels,
            tiles: tiles.shared(),
            sums: sums.shared(),
            first,
            end,
        };
        let share = channels.div_ceil((4 * threads).div_ceil(panels)).max(1);
        let shares = channels.div_ceil(share);
        (0..panels * shares).into_par_iter().for_each(|task| {
            let (panel, share_index) = (task / shares, task % shares);
            let channels = (share_index * share, ((share_index + 1) * share).min(channels));
            with_scratch(|scratch| tile::dispatch(Transform { stage: &stage, panel, channels, scratch }));
        });
        let splits = (4 * threads).div_ceil(POINTS).min(row_panels);
        let split = row_panels.div_ceil(splits.max(1));
        (0..POINTS * splits).into_par_iter().for_each(|task| {
            let (point, s) = (task / splits, task % splits);
            let rows = (s * split, ((s + 1) * split).min(row_panels));
            tile::dispatch(Multiply { stage: &stage, point, rows });
        });
        (0..row_panels).into_par_iter().for_each(|row| tile::dispatch(Finish { stage: &stage, row }));
    }
}

/// What the stages share.
struct Stage<'a> {
    outputs: &'a Outputs<'a>,
    kernels: &'a [f32],
    channels: usize,
    row_panels: usize,
    /// Of tiles.
    panels: usize,
    /// Transformed tiles, `[point, panel, channel, nr]`.
    tiles: Shared,
    /// Sums, `[row panel, panel, point, MR, nr]`.
    sums: Shared,
    /// The tiles of this chunk.
    first: usize,
    end: usize,
}

impl Stage<'_> {
    fn grid(&self) -> &Grid<'_> {
        self.outputs.grid
    }

    /// The tiles of a panel.
    fn range(&self, panel: usize, nr: usize) -> (usize, usize) {
        let first = self.first + panel * nr;
        (first, (first + nr).min(self.end))
    }
}

/// Tiles of one panel and some channels.
struct Transform<'a> {
    stage: &'a Stage<'a>,
    panel: usize,
    channels: (usize, usize),
    scratch: &'a mut Scratch,
}

impl Tiled for Transform<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const MR: usize, const NV: usize>(self, simd: S) {
        let nr = NV * S::F32_LANES;
        let stage = self.stage;
        let (first, end) = stage.range(self.panel, nr);
        let mut table = Table::default();
        stage.grid().table(first, end, &mut table);
        let patches = room(&mut self.scratch.c, POINTS * nr + SLACK).as_mut_ptr();
        for c in self.channels.0..self.channels.1 {
            // SAFETY: room for the patches was made above; each panel and channel is of one task.
            unsafe {
                stage.grid().gather(simd, &table, c..c + 1, patches, nr);
                let to = stage.tiles.at((self.panel * stage.channels + c) * nr);
                transform_tiles(simd, patches, nr, to, stage.panels * stage.channels * nr);
            }
        }
    }
}

/// The products of one point and some panels of rows.
struct Multiply<'a> {
    stage: &'a Stage<'a>,
    point: usize,
    rows: (usize, usize),
}

impl Tiled for Multiply<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const MR: usize, const NV: usize>(self, simd: S) {
        let nr = NV * S::F32_LANES;
        let Multiply { stage, point, rows } = self;
        for row in rows.0..rows.1 {
            for panel in 0..stage.panels {
                // SAFETY: kernels and tiles have `channels` rows from these offsets on, and the sums are this task's.
                unsafe {
                    let a = (point * stage.row_panels + row) * stage.channels * MR;
                    let a = stage.kernels.as_ptr().add(a);
                    let b = stage.tiles.at((point * stage.panels + panel) * stage.channels * nr);
                    let sums = product::<S, MR, NV, true>(simd, stage.channels, a, 1, b, nr);
                    let to = stage.sums.at(((row * stage.panels + panel) * POINTS + point) * MR * nr);
                    for (i, sums) in sums.into_iter().enumerate() {
                        for (v, sum) in sums.into_iter().enumerate() {
                            store::<S>(to.add(i * nr + v * S::F32_LANES), sum);
                        }
                    }
                }
            }
        }
    }
}

/// The outputs of one panel of rows.
struct Finish<'a> {
    stage: &'a Stage<'a>,
    row: usize,
}

impl Tiled for Finish<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const MR: usize, const NV: usize>(self, simd: S) {
        let nr = NV * S::F32_LANES;
        let Finish { stage, row } = self;
        for panel in 0..stage.panels {
            // SAFETY: the sums of all points were written; rows and tiles are this task's.
            unsafe {
                let sums = stage.sums.at((row * stage.panels + panel) * POINTS * MR * nr);
                stage.outputs.finish::<S, MR, NV>(simd, row * MR, stage.range(panel, nr), sums);
            }
        }
    }
}

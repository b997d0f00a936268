//! The gradient of kernels that are too large to be added to for every few tiles: one point of many tiles at a time.

use pulp::Simd;
use rayon::prelude::*;

use super::super::Dims;
use super::super::gather::{SLACK, Table};
use super::weight_grad::Gradients;
use super::{POINTS, transform_tiles};
use crate::memory::{Output, Scratch, Shared, room, with_scratch};
use crate::tile::{self, Tiled, load, product, store};

/// Tiles whose gradients are transformed together.
const BLOCK: usize = 16;

/// Sums over all tiles, `[point, c, padded]`; a stage leaves about `stage` elements to the next.
pub(super) fn sums(gradients: &Gradients<'_>, d: &Dims, padded: usize, stage: usize) -> Vec<f32> {
    let total = d.n * gradients.grid.pixels();
    let threads = rayon::current_num_threads();
    let most = (stage / (POINTS * (d.c + padded))).max(BLOCK);
    let chunk = total.div_ceil(total.div_ceil(most)).next_multiple_of(BLOCK);
    // Tiles read as rows of the left operand; rows of whole powers of two would share few sets of a cache.
    let width = chunk + 16;
    let rows = (d.c + 16).next_multiple_of(16);
    let mut left = Output::new(POINTS * rows * width);
    let mut right = Output::new(POINTS * padded * chunk);
    let mut sums = Output::new(POINTS * d.c * padded);
    for first in (0..total).step_by(chunk) {
        let stage = Stage {
            gradients,
            channels: d.c,
            rows,
            padded,
            chunk,
            width,
            tiles: (first, (first + chunk).min(total)),
            left: left.shared(),
            right: right.shared(),
            sums: sums.shared(),
        };
        let blocks = (stage.tiles.1 - first).div_ceil(BLOCK);
        (0..blocks).into_par_iter().for_each(|block| {
            with_scratch(|scratch| tile::dispatch_for(d.o, Gradient { stage: &stage, block, scratch }));
        });
        let share = rows.div_ceil(4 * threads).max(1);
        (0..rows.div_ceil(share)).into_par_iter().for_each(|task| {
            let channels = (task * share, ((task + 1) * share).min(rows));
            with_scratch(|scratch| tile::dispatch_for(d.o, Image { stage: &stage, channels, scratch }));
        });
        let splits = (4 * threads).div_ceil(POINTS);
        let share = d.c.div_ceil(splits).next_multiple_of(16);
        let splits = d.c.div_ceil(share);
        (0..POINTS * splits).into_par_iter().for_each(|task| {
            let (point, s) = (task / splits, task % splits);
            let channels = (s * share, ((s + 1) * share).min(d.c));
            tile::dispatch_for(d.o, Multiply { stage: &stage, point, channels });
        });
    }
    // SAFETY: every point of every channel was written by the first chunk.
    unsafe { sums.finish() }
}

/// What the stages share.
struct Stage<'a> {
    gradients: &'a Gradients<'a>,
    channels: usize,
    /// Channels and at least as many rows as a tile may have beyond the last; they are zero.
    rows: usize,
    padded: usize,
    /// Tiles of a chunk at most.
    chunk: usize,
    width: usize,
    tiles: (usize, usize),
    /// `[point, row, width]`
    left: Shared,
    /// `[point, panel, chunk, nr]`
    right: Shared,
    sums: Shared,
}

/// A block of tiles of the output's gradient.
struct Gradient<'a> {
    stage: &'a Stage<'a>,
    block: usize,
    scratch: &'a mut Scratch,
}

impl Tiled for Gradient<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const MR: usize, const NV: usize>(self, simd: S) {
        let Gradient { stage, block, scratch } = self;
        let nr = NV * S::F32_LANES;
        let first = stage.tiles.0 + block * BLOCK;
        let count = BLOCK.min(stage.tiles.1 - first);
        let line = room(&mut scratch.c, 4 * stage.padded * BLOCK).as_mut_ptr();
        // SAFETY: room for the lines was made above; the block's tiles are this task's.
        unsafe {
            let to = stage.right.at(block * BLOCK * nr);
            stage.gradients.transform::<S, NV>(simd, first, count, stage.chunk, line, to);
        }
    }
}

/// All tiles of some channels.
struct Image<'a> {
    stage: &'a Stage<'a>,
    channels: (usize, usize),
    scratch: &'a mut Scratch,
}

impl Tiled for Image<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const MR: usize, const NV: usize>(self, simd: S) {
        let Image { stage, channels, scratch } = self;
        let grid = stage.gradients.grid;
        let mut table = Table::default();
        grid.table(stage.tiles.0, stage.tiles.1, &mut table);
        let patches = room(&mut scratch.c, POINTS * stage.chunk + SLACK).as_mut_ptr();
        for c in channels.0..channels.1 {
            // SAFETY: room for the patches was made above; the rows are this task's.
            unsafe {
                if c < stage.channels {
                    grid.gather(simd, &table, c..c + 1, patches, stage.chunk);
                    let to = stage.left.at(c * stage.width);
                    transform_tiles(simd, patches, stage.chunk, to, stage.rows * stage.width);
                } else {
                    for f in 0..POINTS {
                        stage.left.zeros((f * stage.rows + c) * stage.width, stage.chunk);
                    }
                }
            }
        }
    }
}

/// The products of one point and some channels.
struct Multiply<'a> {
    stage: &'a Stage<'a>,
    point: usize,
    channels: (usize, usize),
}

impl Tiled for Multiply<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const MR: usize, const NV: usize>(self, simd: S) {
        let Multiply { stage, point, channels } = self;
        let lanes = S::F32_LANES;
        let nr = NV * lanes;
        let panels = stage.padded / nr;
        let depth = stage.tiles.1 - stage.tiles.0;
        let start = stage.tiles.0 == 0;
        for panel in 0..panels {
            for row in (channels.0..channels.1).step_by(MR) {
                // SAFETY: rows up to a whole tile beyond the last channel are there; the sums are this task's.
                unsafe {
                    let a = stage.left.at((point * stage.rows + row) * stage.width);
                    let b = stage.right.at((point * panels + panel) * stage.chunk * nr);
                    let sums = product::<S, MR, NV, false>(simd, depth, a, stage.width, b, nr);
                    let at = (point * stage.channels + row) * stage.padded + panel * nr;
                    for (i, sums) in sums.iter().enumerate().take(channels.1 - row) {
                        for (v, &sum) in sums.iter().enumerate() {
                            let to = stage.sums.at(at + i * stage.padded + v * lanes);
                            let before = if start { simd.splat_f32s(0.0) } else { load::<S>(to) };
                            store::<S>(to, simd.add_f32s(before, sum));
                        }
                    }
                }
            }
        }
    }
}

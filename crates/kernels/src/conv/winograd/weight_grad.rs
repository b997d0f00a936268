//! The gradient of the kernels.

use pulp::Simd;
use rayon::prelude::*;

use super::super::Dims;
use super::super::gather::{Grid, SLACK, Table};
use super::{Limits, POINTS, grid, staged_grad, tiles, transform_tiles};
use crate::memory::{Output, Scratch, Shared, room, with_scratch};
use crate::tile::{self, Tiled, load, product, store};
use crate::vector::vectorize;

/// Elements of a vector, at most.
const LANES: usize = 16;

/// Elements of an operand of the weight gradient that are packed at a time.
const NEAR: usize = 64 * 1024;

/// `dw` of `y = x ⋆ w`.
pub(super) fn weight_grad(x: &[f32], dy: &[f32], d: &Dims, limits: Limits) -> Vec<f32> {
    let padding = [d.geometry.padding[0].0, d.geometry.padding[1].0];
    let source = tiles(&x[..d.input_len()], [d.n * d.c, d.h, d.w], padding);
    let grid = grid(&source, d.c, d.output());
    let threads = rayon::current_num_threads();
    let padded = tile::dispatch_for(d.o, super::super::weight_grad::Padded(d.o));
    let size = POINTS * d.c * padded;
    let gradients = Gradients { grid: &grid, dy, size: d.output(), outputs: d.o };
    if size > limits.own {
        return kernels(&staged_grad::sums(&gradients, d, padded, limits.stage), 1, padded, d);
    }
    let by_image = d.n >= threads;
    let (image_parts, channel_parts) = if by_image { (threads, 1) } else { (1, threads.min(d.c)) };
    let share = d.c.div_ceil(channel_parts);
    let images = d.n.div_ceil(image_parts);
    let mut sums = vec![0.0; image_parts * size];
    let shared = Shared::new(&mut sums);
    (0..image_parts * channel_parts).into_par_iter().for_each(|task| {
        let (i, j) = (task / channel_parts, task % channel_parts);
        with_scratch(|scratch| {
            tile::dispatch_for(
                d.o,
                WeightGrad {
                    gradients: &gradients,
                    all_channels: d.c,
                    images: ((i * images).min(d.n), ((i + 1) * images).min(d.n)),
                    channels: ((j * share).min(d.c), ((j + 1) * share).min(d.c)),
                    sums: shared,
                    first: i * size,
                    scratch,
                },
            );
        });
    });
    kernels(&sums, image_parts, padded, d)
}

/// Rows of sums that are transformed together.
const BLOCK: usize = 16;

/// `Gᵀ m G` of sums `[part, point, c, padded]`, summed over the parts: `[o, c, 3, 3]`.
pub(super) fn kernels(sums: &[f32], parts: usize, padded: usize, d: &Dims) -> Vec<f32> {
    type Row = [f32; BLOCK];
    let mut dw = Output::new(d.weight_len());
    let out = dw.shared();
    let channels = 8;
    (0..d.c.div_ceil(channels)).into_par_iter().for_each(|task| {
        let first = task * channels;
        let count = channels.min(d.c - first);
        vectorize(
            #[inline(always)]
            || {
                let each = |f: &dyn Fn(usize) -> f32| -> Row { std::array::from_fn(f) };
                let along = |m: [Row; 4]| -> [Row; 3] {
                    [
                        each(&|i| m[0][i] + 0.5 * (m[1][i] + m[2][i])),
                        each(&|i| 0.5 * (m[1][i] - m[2][i])),
                        each(&|i| 0.5 * (m[1][i] + m[2][i]) + m[3][i]),
                    ]
                };
                for o in (0..d.o).step_by(BLOCK) {
                    // Columns beyond the outputs are there, up to whole panels.
                    let mut block = [[[0.0f32; 9]; 8]; BLOCK];
                    for c in 0..count {
                        let at = |f: usize| {
                            let mut sum = [0.0; BLOCK];
                            for part in 0..parts {
                                let from = ((part * POINTS + f) * d.c + first + c) * padded + o;
                                let have = &sums[from..from + BLOCK.min(padded - o)];
                                sum.iter_mut().zip(have).for_each(|(s, v)| *s += v);
                            }
                            sum
                        };
                        let columns = [0, 1, 2, 3].map(|x| along([at(x), at(4 + x), at(8 + x), at(12 + x)]));
                        for y in 0..3 {
                            let row = along([columns[0][y], columns[1][y], columns[2][y], columns[3][y]]);
                            for (x, row) in row.iter().enumerate() {
                                for (block, &v) in block.iter_mut().zip(row) {
                                    block[c][3 * y + x] = v;
                                }
                            }
                        }
                    }
                    for (i, block) in block.iter().enumerate().take(d.o - o) {
                        // SAFETY: inside the buffer; every channel is of one task.
                        unsafe { out.put(((o + i) * d.c + first) * 9, &block.as_flattened()[..count * 9]) };
                    }
                }
            },
        );
    });
    // SAFETY: all kernels were written.
    unsafe { dw.finish() }
}

/// Some images and some channels.
struct WeightGrad<'a> {
    gradients: &'a Gradients<'a>,
    all_channels: usize,
    images: (usize, usize),
    channels: (usize, usize),
    sums: Shared,
    first: usize,
    scratch: &'a mut Scratch,
}

impl Tiled for WeightGrad<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const MR: usize, const NV: usize>(self, simd: S) {
        let lanes = S::F32_LANES;
        let gradients = self.gradients;
        let nr = NV * lanes;
        let padded = gradients.outputs.next_multiple_of(nr);
        let pixels = gradients.grid.pixels();
        let (begin, end) = (self.images.0 * pixels, self.images.1 * pixels);
        if begin >= end || self.channels.0 >= self.channels.1 {
            return;
        }
        let block = (4 * NEAR / (POINTS * padded)).clamp(32, 128).next_multiple_of(lanes);
        let share = (NEAR / (block * POINTS)).clamp(1, self.channels.1 - self.channels.0);
        // Rows beyond the last channel are read, not kept. Rows of whole powers of two would share few sets of a cache.
        let (rows, width) = (share.next_multiple_of(MR), block + LANES);
        let left = room(&mut self.scratch.a, POINTS * rows * width).as_mut_ptr();
        let patches = room(&mut self.scratch.d, POINTS * block + SLACK).as_mut_ptr();
        let right = room(&mut self.scratch.b, POINTS * padded * block).as_mut_ptr();
        let line = room(&mut self.scratch.c, 4 * padded * block).as_mut_ptr();
        let mut table = Table::default();
        let mut p = begin;
        while p < end {
            let count = block.min(end - p);
            // SAFETY: room for everything was made above; the sums of this task's channels are its own.
            unsafe {
                gradients.transform::<S, NV>(simd, p, count, block, line, right);
                gradients.grid.table(p, p + count, &mut table);
                let mut c = self.channels.0;
                while c < self.channels.1 {
                    let channels = c..(c + share).min(self.channels.1);
                    for (i, c) in channels.clone().enumerate() {
                        gradients.grid.gather(simd, &table, c..c + 1, patches, block);
                        transform_tiles(simd, patches, block, left.add(i * width), rows * width);
                    }
                    for f in 0..POINTS {
                        for panel in 0..padded / nr {
                            let b = right.add((f * (padded / nr) + panel) * block * nr);
                            for row in (0..channels.len()).step_by(MR) {
                                let a = left.add((f * rows + row) * width);
                                let sums = product::<S, MR, NV, false>(simd, count, a, width, b, nr);
                                let at = self.first + (f * self.all_channels + c + row) * padded + panel * nr;
                                for (i, sums) in sums.iter().enumerate().take(channels.len() - row) {
                                    for (v, &sum) in sums.iter().enumerate() {
                                        let to = self.sums.at(at + i * padded + v * lanes);
                                        store::<S>(to, simd.add_f32s(load::<S>(to), sum));
                                    }
                                }
                            }
                        }
                    }
                    c = channels.end;
                }
            }
            p += count;
        }
    }
}

/// The output's gradient, by tiles.
pub(super) struct Gradients<'a> {
    pub(super) grid: &'a Grid<'a>,
    pub(super) dy: &'a [f32],
    /// Of a plane.
    pub(super) size: (usize, usize),
    pub(super) outputs: usize,
}

impl Gradients<'_> {
    /// `A dy Aᵀ` of `count` tiles from `p` on, channels innermost: `[point, panel, block, nr]`, of which the first
    /// `count` of a block are written; `line` is scratch, `[count, 4, panels · nr]`.
    ///
    /// # Safety
    /// `line` and `to` have room for all.
    #[inline(always)]
    pub(super) unsafe fn transform<S: Simd, const NV: usize>(
        &self,
        simd: S,
        p: usize,
        count: usize,
        block: usize,
        line: *mut f32,
        to: *mut f32,
    ) {
        let nr = NV * S::F32_LANES;
        let panels = self.outputs.div_ceil(nr);
        let pixels = self.grid.pixels();
        let (oh, ow) = self.size;
        // Of every tile its 2x2 gradients, `[tile, 4, channel]`.
        let width = panels * nr;
        let mut done = 0;
        while done < count {
            let (n, inside) = ((p + done) / pixels, (p + done) % pixels);
            let (ty, tx) = (inside / self.grid.gw, inside % self.grid.gw);
            let len = (self.grid.gw - tx).min(count - done);
            for o in 0..self.outputs {
                for y in 0..2 {
                    let row = ((n * self.outputs + o) * oh + 2 * ty + y) * ow + 2 * tx;
                    let row = if 2 * ty + y < oh {
                        self.dy.get(row..row + (2 * len).min(ow - 2 * tx)).unwrap_or(&[])
                    } else {
                        &[]
                    };
                    // SAFETY: the caller's promise.
                    unsafe {
                        let to = line.add((done * 4 + 2 * y) * width + o);
                        for (t, pair) in row.chunks_exact(2).enumerate() {
                            *to.add(4 * t * width) = pair[0];
                            *to.add((4 * t + 1) * width) = pair[1];
                        }
                        for t in row.len() / 2..len {
                            let last =
                                if row.len() % 2 == 1 && t == row.len() / 2 { row.last() } else { None };
                            *to.add(4 * t * width) = last.copied().unwrap_or(0.0);
                            *to.add((4 * t + 1) * width) = 0.0;
                        }
                    }
                }
            }
            done += len;
        }
        let along = |a: S::f32s, b: S::f32s| [a, simd.add_f32s(a, b), simd.sub_f32s(a, b), simd.neg_f32s(b)];
        for t in 0..count {
            for v in 0..panels * NV {
                let at = (4 * t) * width + v * S::F32_LANES;
                let (panel, inside) = (v / NV, v % NV * S::F32_LANES);
                // SAFETY: the caller's promise.
                unsafe {
                    let [a, b, c, d] = [0, 1, 2, 3].map(|i| load::<S>(line.add(at + i * width)));
                    let (left, right) = (along(a, c), along(b, d));
                    for y in 0..4 {
                        for (x, value) in along(left[y], right[y]).into_iter().enumerate() {
                            let f = 4 * y + x;
                            store::<S>(to.add(((f * panels + panel) * block + t) * nr + inside), value);
                        }
                    }
                }
            }
        }
    }
}

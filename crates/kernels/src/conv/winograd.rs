//! 3x3 convolutions of stride 1 by Winograd's minimal filtering, `F(2x2, 3x3)` (Lavin and Gray, 2016,
//! arXiv:1509.09308): 16 products for 2x2 outputs where the definition has 36.
//!
//! With `d` a 4x4 tile of the image, `g` the kernel, `y` 2x2 outputs: `y = Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A`, summed over
//! channels, which makes 16 products of matrices. By its adjoint, `dg = Gᵀ [(A dy Aᵀ) ⊙ (Bᵀ d B)] G`, summed over tiles.
//! `Bᵀ = [1 0 -1 0; 0 1 1 0; 0 -1 1 0; 0 1 0 -1]`, `G = [1 0 0; ½ ½ ½; ½ -½ ½; 0 0 1]`, `Aᵀ = [1 1 1 0; 0 1 -1 -1]`.
//!
//! The tiles are the patches of a 4x4 kernel of stride 2, so they are gathered as those are, sixteen rows a channel.

use pulp::Simd;
use rayon::prelude::*;

use super::gather::{Grid, SLACK, Table};
use super::planes::{Source, split};
use super::{Dims, Epilogue};
use crate::Activation;
use crate::memory::{Output, Scratch, Shared, room, with_scratch};
use crate::tile::{self, Tiled, load, product, store};
use crate::vector::vectorize;

/// Products of a tile.
const POINTS: usize = 16;

/// Channels at a time: sixteen rows of each stay in the second cache.
const SHARE: usize = 192;

/// Whether a convolution has this form and enough channels to pay for the transforms.
pub(super) fn fits(d: &Dims) -> bool {
    let g = &d.geometry;
    let (oh, ow) = d.output();
    [d.kh, d.kw] == [3, 3]
        && g.stride == [1, 1]
        && g.dilation == [1, 1]
        && g.groups == 1
        && d.c >= 12
        && d.o >= 12
        && oh * ow > 1
        && g.padding.iter().all(|p| p.0 <= 2 && p.1 <= 2)
}

/// Tiles of `x`: planes `[h, w]`, `padding` zeros before.
fn tiles<'a>(x: &'a [f32], planes: [usize; 3], padding: [usize; 2]) -> Source<'a> {
    let offset = |i: usize, axis: usize| i as isize - padding[axis] as isize;
    let offsets: Vec<_> = (0..POINTS).map(|t| (offset(t / 4, 0), offset(t % 4, 1))).collect();
    split(x, planes, [2, 2], &offsets)
}

fn grid<'a>(source: &'a Source<'a>, channels: usize, (oh, ow): (usize, usize)) -> Grid<'a> {
    Grid {
        data: &source.data,
        taps: &source.taps,
        planes: source.planes,
        h: source.h,
        w: source.w,
        gh: oh.div_ceil(2),
        gw: ow.div_ceil(2),
        image: channels * source.planes * source.h * source.w,
        first: 0,
    }
}

/// Rows that are transformed together: a tile has at most so many.
const ROWS: usize = 8;

/// Element by element.
#[inline(always)]
fn zip(a: [f32; ROWS], b: [f32; ROWS], f: impl Fn(f32, f32) -> f32) -> [f32; ROWS] {
    let mut out = [0.0; ROWS];
    for (o, (a, b)) in out.iter_mut().zip(a.into_iter().zip(b)) {
        *o = f(a, b);
    }
    out
}

/// `G g Gᵀ` of a kernel for each of [`ROWS`] rows.
#[inline(always)]
fn kernel(g: &[[f32; ROWS]; 9]) -> [[f32; ROWS]; POINTS] {
    let along = |a: [f32; ROWS], b: [f32; ROWS], c: [f32; ROWS]| {
        let outer = zip(a, c, |a, c| 0.5 * (a + c));
        [a, zip(outer, b, |o, b| 0.5f32.mul_add(b, o)), zip(outer, b, |o, b| (-0.5f32).mul_add(b, o)), c]
    };
    let columns = [0, 1, 2].map(|x| along(g[x], g[3 + x], g[6 + x]));
    let mut out = [[0.0; ROWS]; POINTS];
    for (y, out) in out.chunks_exact_mut(4).enumerate() {
        out.copy_from_slice(&along(columns[0][y], columns[1][y], columns[2][y]));
    }
    out
}

/// Where a kernel lies among the weights: the distance of rows, of steps of the inner dimension, and whether it is
/// mirrored.
#[derive(Clone, Copy)]
struct Kernels {
    row: usize,
    step: usize,
    mirrored: bool,
}

/// Transformed kernels in panels, `[point, rows / MR, depth, MR]`.
fn kernels(w: &[f32], rows: usize, depth: usize, at: Kernels, scale: Option<&[f32]>) -> Vec<f32> {
    let (mr, _) = tile::shape();
    let panels = rows.div_ceil(mr);
    let mut out = Output::new(POINTS * panels * depth * mr);
    let shared = out.shared();
    (0..panels).into_par_iter().for_each(|panel| {
        let count = mr.min(rows - panel * mr);
        let mut factors = [1.0; ROWS];
        for (i, f) in factors.iter_mut().enumerate().take(count) {
            *f = scale.and_then(|s| s.get(panel * mr + i)).copied().unwrap_or(1.0);
        }
        vectorize(
            #[inline(always)]
            || {
                let mut g = [[0.0; ROWS]; 9];
                for k in 0..depth {
                    for i in 0..count {
                        let from = (panel * mr + i) * at.row + k * at.step;
                        let kernel = &w[from..from + 9];
                        for (t, g) in g.iter_mut().enumerate() {
                            g[i] = kernel[if at.mirrored { 8 - t } else { t }] * factors[i];
                        }
                    }
                    for (f, v) in kernel(&g).into_iter().enumerate() {
                        // SAFETY: inside the buffer, and every panel is of one task.
                        unsafe {
                            let to = shared.at(((f * panels + panel) * depth + k) * mr);
                            std::ptr::copy_nonoverlapping(v.as_ptr(), to, mr.min(ROWS));
                        }
                    }
                }
            },
        );
    });
    // SAFETY: all points of all panels were written; a tile has at most `ROWS` rows.
    unsafe { out.finish() }
}

/// `Bᵀ d B` of sixteen rows of `width` elements, vector by vector; points go to rows `point` elements apart.
///
/// # Safety
/// `rows` has `16 · width` elements, whole vectors make up `width`, and `to` has room for all points.
#[inline(always)]
unsafe fn transform_tiles<S: Simd>(simd: S, rows: *const f32, width: usize, to: *mut f32, point: usize) {
    let along = |d: [S::f32s; 4]| {
        [
            simd.sub_f32s(d[0], d[2]),
            simd.add_f32s(d[1], d[2]),
            simd.sub_f32s(d[2], d[1]),
            simd.sub_f32s(d[1], d[3]),
        ]
    };
    for v in (0..width).step_by(S::F32_LANES) {
        // SAFETY: the caller's promise.
        unsafe {
            let zero = simd.splat_f32s(0.0);
            let mut half = [[zero; 4]; 4];
            for x in 0..4 {
                let column = [0, 1, 2, 3].map(|y| load::<S>(rows.add((4 * y + x) * width + v)));
                for (half, d) in half.iter_mut().zip(along(column)) {
                    half[x] = d;
                }
            }
            for (y, row) in half.into_iter().enumerate() {
                for (x, d) in along(row).into_iter().enumerate() {
                    store::<S>(to.add((4 * y + x) * point + v), d);
                }
            }
        }
    }
}

/// `act(scale · (x ⋆ w) + bias + residual)`.
pub(super) fn forward(x: &[f32], w: &[f32], d: &Dims, epilogue: &Epilogue<'_>) -> Vec<f32> {
    let padding = [d.geometry.padding[0].0, d.geometry.padding[1].0];
    let at = Kernels { row: 9 * d.c, step: 9, mirrored: false };
    let kernels = kernels(w, d.o, d.c, at, epilogue.scale);
    let source = tiles(&x[..d.input_len()], [d.n * d.c, d.h, d.w], padding);
    run(&source, &kernels, [d.n, d.c, d.o], d.output(), epilogue)
}

/// `dx` of `y = x ⋆ w`: the convolution of `dy` with mirrored kernels.
pub(super) fn input_grad(w: &[f32], dy: &[f32], d: &Dims) -> Vec<f32> {
    let padding = [2 - d.geometry.padding[0].0, 2 - d.geometry.padding[1].0];
    let (oh, ow) = d.output();
    let at = Kernels { row: 9, step: 9 * d.c, mirrored: true };
    let kernels = kernels(w, d.c, d.o, at, None);
    let source = tiles(&dy[..d.output_len()], [d.n * d.o, oh, ow], padding);
    run(&source, &kernels, [d.n, d.o, d.c], (d.h, d.w), &Epilogue::default())
}

fn run(
    source: &Source<'_>,
    kernels: &[f32],
    [n, channels, rows]: [usize; 3],
    (oh, ow): (usize, usize),
    epilogue: &Epilogue<'_>,
) -> Vec<f32> {
    let grid = grid(source, channels, (oh, ow));
    let mut out = Output::new(n * rows * oh * ow);
    let shared = out.shared();
    let (mr, nr) = tile::shape();
    let total = n * grid.pixels();
    let threads = rayon::current_num_threads();
    let row_panels = rows.div_ceil(mr);
    let tasks = total.div_ceil(nr);
    // Few panels of tiles are shared by rows as well, though each share transforms the tiles anew.
    let wanted = (4 * threads).div_ceil(tasks.max(1));
    let splits = if tasks < 4 * threads { wanted.clamp(1, row_panels.div_ceil(4)) } else { 1 };
    let split = row_panels.div_ceil(splits.max(1));
    (0..tasks * splits).into_par_iter().for_each(|task| {
        let (t, s) = (task / splits, task % splits);
        with_scratch(|scratch| {
            tile::dispatch(Forward {
                grid: &grid,
                kernels,
                channels,
                rows,
                panels: (s * split, ((s + 1) * split).min(row_panels)),
                tiles: (t * nr, ((t + 1) * nr).min(total)),
                out: shared,
                size: (oh, ow),
                epilogue,
                scratch,
            });
        });
    });
    // SAFETY: every tile of every row was written, and the tiles cover the planes.
    unsafe { out.finish() }
}

/// The tiles of one panel and some panels of rows.
struct Forward<'a> {
    grid: &'a Grid<'a>,
    kernels: &'a [f32],
    channels: usize,
    rows: usize,
    panels: (usize, usize),
    tiles: (usize, usize),
    out: Shared,
    size: (usize, usize),
    epilogue: &'a Epilogue<'a>,
    scratch: &'a mut Scratch,
}

impl Tiled for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const MR: usize, const NV: usize>(self, simd: S) {
        let nr = NV * S::F32_LANES;
        let (first, end) = self.panels;
        if first >= end {
            return;
        }
        let all_panels = self.rows.div_ceil(MR);
        let blocks = self.channels.div_ceil(SHARE).max(1);
        let share = self.channels.div_ceil(blocks).max(1);
        let mut table = Table::default();
        self.grid.table(self.tiles.0, self.tiles.1, &mut table);
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
                    self.grid.gather(simd, &table, c..c + 1, patches, nr);
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
                        self.finish::<S, MR, NV>(simd, panel * MR, sums);
                    }
                }
            }
        }
    }
}

impl Forward<'_> {
    /// `Aᵀ m A`, the epilogue, and the 2x2 outputs of every tile.
    ///
    /// # Safety
    /// `sums` has all points of a panel.
    #[inline(always)]
    unsafe fn finish<S: Simd, const MR: usize, const NV: usize>(
        &self,
        simd: S,
        row: usize,
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
            let (mut p, mut from) = (self.tiles.0, 0);
            while p < self.tiles.1 {
                let (n, inside) = (p / pixels, p % pixels);
                let (ty, tx) = (inside / self.grid.gw, inside % self.grid.gw);
                let len = (self.grid.gw - tx).min(self.tiles.1 - p);
                for y in 0..2.min(oh - 2 * ty) {
                    let to = ((n * self.rows + row + i) * oh + 2 * ty + y) * ow + 2 * tx;
                    let count = (2 * len).min(ow - 2 * tx);
                    // SAFETY: `count` elements of a row of the output from `to` on are of these tiles; each line has
                    // an element for every tile, and the residual has the output's shape.
                    unsafe {
                        let out = std::slice::from_raw_parts_mut(self.out.at(to), count);
                        let even = std::slice::from_raw_parts(lines.add(2 * y * nr + from), len);
                        let odd = std::slice::from_raw_parts(lines.add((2 * y + 1) * nr + from), len);
                        for ((o, &a), &b) in out.chunks_exact_mut(2).zip(even).zip(odd) {
                            o[0] = a;
                            o[1] = b;
                        }
                        if let (1, Some(o), Some(&a)) = (count % 2, out.last_mut(), even.last()) {
                            *o = a;
                        }
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

/// Elements of a vector, at most.
const LANES: usize = 16;

/// Elements of an operand of the weight gradient that are packed at a time.
const NEAR: usize = 64 * 1024;

/// Sums that every thread may keep for itself.
const OWN: usize = 1024 * 1024;

/// `dw` of `y = x ⋆ w`.
pub(super) fn weight_grad(x: &[f32], dy: &[f32], d: &Dims) -> Vec<f32> {
    let padding = [d.geometry.padding[0].0, d.geometry.padding[1].0];
    let source = tiles(&x[..d.input_len()], [d.n * d.c, d.h, d.w], padding);
    let grid = grid(&source, d.c, d.output());
    let threads = rayon::current_num_threads();
    let padded = tile::dispatch_for(d.o, super::weight_grad::Padded(d.o));
    let size = POINTS * d.c * padded;
    let by_image = size <= OWN && d.n >= threads;
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
                    grid: &grid,
                    dy,
                    size: d.output(),
                    all_channels: d.c,
                    outputs: d.o,
                    images: ((i * images).min(d.n), ((i + 1) * images).min(d.n)),
                    channels: ((j * share).min(d.c), ((j + 1) * share).min(d.c)),
                    sums: shared,
                    first: i * size,
                    scratch,
                },
            );
        });
    });
    let mut dw = Output::new(d.weight_len());
    let out = dw.shared();
    (0..d.c).into_par_iter().with_min_len(4).for_each(|c| {
        let along =
            |m: [f32; 4]| [m[0] + 0.5 * (m[1] + m[2]), 0.5 * (m[1] - m[2]), 0.5 * (m[1] + m[2]) + m[3]];
        for o in 0..d.o {
            let at = |f: usize| {
                let parts = (0..image_parts).map(|i| sums[((i * POINTS + f) * d.c + c) * padded + o]);
                parts.sum::<f32>()
            };
            let columns = [0, 1, 2, 3].map(|x| along([at(x), at(4 + x), at(8 + x), at(12 + x)]));
            let rows = [0, 1, 2].map(|y| along(columns.map(|column| column[y])));
            for (y, row) in rows.into_iter().enumerate() {
                for (x, v) in row.into_iter().enumerate() {
                    // SAFETY: inside the buffer; every channel is of one task.
                    unsafe { *out.at((o * d.c + c) * 9 + 3 * y + x) = v };
                }
            }
        }
    });
    // SAFETY: all kernels were written.
    unsafe { dw.finish() }
}

/// Some images and some channels.
struct WeightGrad<'a> {
    grid: &'a Grid<'a>,
    dy: &'a [f32],
    size: (usize, usize),
    all_channels: usize,
    outputs: usize,
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
        let nr = NV * lanes;
        let padded = self.outputs.next_multiple_of(nr);
        let pixels = self.grid.pixels();
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
                self.outputs::<S, NV>(simd, p, count, block, line, right);
                self.grid.table(p, p + count, &mut table);
                let mut c = self.channels.0;
                while c < self.channels.1 {
                    let channels = c..(c + share).min(self.channels.1);
                    for (i, c) in channels.clone().enumerate() {
                        self.grid.gather(simd, &table, c..c + 1, patches, block);
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

impl WeightGrad<'_> {
    /// `A dy Aᵀ` of `count` tiles from `p` on, channels innermost: `[point, panel, block, nr]`.
    ///
    /// # Safety
    /// `line` and `to` have room for all.
    #[inline(always)]
    unsafe fn outputs<S: Simd, const NV: usize>(
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

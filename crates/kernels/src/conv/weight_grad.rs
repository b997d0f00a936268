//! The gradient of a convolution's weights.
//!
//! `dWᵀ[k, o] = Σ_p x[k, p] · dy[o, p]`: the rows of the left operand are gathered planes, read element by element,
//! the right operand is the output's gradient with channels innermost.

use pulp::Simd;
use rayon::prelude::*;

use super::gather::{Grid, SLACK, Table};
use super::{Dims, planes, winograd};
use crate::memory::{Output, Scratch, Shared, room, with_scratch};
use crate::tile::{self, Tiled, load, product, store};

/// Elements of one operand that are packed at a time.
const NEAR: usize = 64 * 1024;

/// Pixels at a time.
const PIXELS: usize = 512;

/// Sums that every thread may keep for itself, where the images are split among threads.
const OWN: usize = 512 * 1024;

/// `dw` of `y = x ⋆ w`, from `x` and `dy`: `[o, c / groups, kh, kw]`.
///
/// # Panics
/// [`Dims::check`] refuses the sizes, or a slice is shorter than they say.
pub fn weight_grad(x: &[f32], dy: &[f32], d: &Dims) -> Vec<f32> {
    assert_eq!(d.check(), Ok(()), "{d:?}");
    assert!(x.len() >= d.input_len() && dy.len() >= d.output_len(), "sizes do not fit the slices");
    if d.n == 0 || d.weight_len() == 0 {
        return vec![0.0; d.weight_len()];
    }
    if winograd::fits(d) {
        return winograd::USUAL.weight_grad(x, dy, d);
    }
    let (oh, ow) = d.output();
    let (cg, og) = d.group();
    let depth = cg * d.kh * d.kw;
    let mut dw = Output::new(d.weight_len());
    let out = dw.shared();
    let source = planes::of(&x[..d.input_len()], d);
    let channel = source.planes * source.h * source.w;
    for g in 0..d.geometry.groups.max(1) {
        let grid = Grid {
            data: &source.data,
            taps: &source.taps,
            planes: source.planes,
            h: source.h,
            w: source.w,
            gh: oh,
            gw: ow,
            image: d.c * channel,
            first: g * cg * channel,
        };
        let threads = rayon::current_num_threads();
        let by_image = depth * og <= OWN && d.n >= threads;
        let (image_parts, channel_parts) = if by_image { (threads, 1) } else { (1, threads.min(cg.max(1))) };
        let share = cg.div_ceil(channel_parts).max(1);
        let padded = tile::dispatch_for(og, Padded(og));
        let mut sums = vec![0.0; image_parts * depth * padded];
        let shared = Shared::new(&mut sums);
        let images = d.n.div_ceil(image_parts);
        (0..image_parts * channel_parts).into_par_iter().for_each(|task| {
            let (i, j) = (task / channel_parts, task % channel_parts);
            with_scratch(|scratch| {
                tile::dispatch_for(
                    og,
                    Task {
                        grid: &grid,
                        dy,
                        dy_image: d.o * oh * ow,
                        dy_first: g * og * oh * ow,
                        outputs: og,
                        images: (i * images, ((i + 1) * images).min(d.n)),
                        channels: (j * share, ((j + 1) * share).min(cg)),
                        sums: shared,
                        first: i * depth * padded,
                        scratch,
                    },
                )
            });
        });
        let taps = d.kh * d.kw;
        (0..og).into_par_iter().with_min_len(8).for_each(|o| {
            for k in 0..cg * taps {
                let sum = (0..image_parts).map(|i| sums[(i * depth + k) * padded + o]).sum::<f32>();
                // SAFETY: the groups' rows are disjoint, and so are those of the tasks here.
                unsafe { *out.at((g * og + o) * depth + k) = sum };
            }
        });
    }
    // SAFETY: every row of every group was written.
    unsafe { dw.finish() }
}

/// Columns of the sums: whole panels.
pub(super) struct Padded(pub(super) usize);

impl Tiled for Padded {
    type Output = usize;

    #[inline(always)]
    fn run<S: Simd, const MR: usize, const NV: usize>(self, _: S) -> usize {
        self.0.next_multiple_of(NV * S::F32_LANES)
    }
}

/// Some images and some channels of one group.
struct Task<'a> {
    grid: &'a Grid<'a>,
    dy: &'a [f32],
    dy_image: usize,
    dy_first: usize,
    outputs: usize,
    images: (usize, usize),
    channels: (usize, usize),
    sums: Shared,
    /// Where the sums of this task's images begin.
    first: usize,
    scratch: &'a mut Scratch,
}

impl Tiled for Task<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const MR: usize, const NV: usize>(self, simd: S) {
        let lanes = S::F32_LANES;
        let nr = NV * lanes;
        let padded = self.outputs.next_multiple_of(nr);
        let pixels = self.grid.pixels();
        let taps = self.grid.taps.len();
        let (begin, end) = (self.images.0 * pixels, self.images.1 * pixels);
        if begin >= end || self.channels.0 >= self.channels.1 || taps == 0 {
            return;
        }
        let block =
            (NEAR / padded).clamp(64, PIXELS).next_multiple_of(16).min((end - begin).next_multiple_of(16));
        let share = (NEAR / (block * taps)).clamp(1, self.channels.1 - self.channels.0);
        // Rows of whole powers of two would share few sets of a cache.
        let width = block + 16;
        let left_len = (share * taps).next_multiple_of(MR) * width + SLACK;
        let left = room(&mut self.scratch.a, left_len).as_mut_ptr();
        let right = room(&mut self.scratch.b, padded * block + SLACK).as_mut_ptr();
        let mut table = Table::default();
        let mut p = begin;
        while p < end {
            let count = block.min(end - p);
            // SAFETY: room for all panels was made above.
            unsafe { self.transpose(p, count, block, nr, right) };
            self.grid.table(p, p + count, &mut table);
            let mut c = self.channels.0;
            while c < self.channels.1 {
                let channels = c..(c + share).min(self.channels.1);
                let rows = channels.len() * taps;
                // SAFETY: room for the rows, rounded up to whole tiles, was made above; rows beyond the last are
                // read but not kept. The sums of this task's rows are its own.
                unsafe {
                    self.grid.gather(simd, &table, channels.clone(), left, width);
                    for panel in 0..padded / nr {
                        let b = right.add(panel * block * nr);
                        let mut row = 0;
                        while row < rows {
                            let a = left.add(row * width);
                            let sums = product::<S, MR, NV, false>(simd, count, a, width, b, nr);
                            let at = self.first + (c * taps + row) * padded + panel * nr;
                            for (i, sums) in sums.iter().enumerate().take(rows - row) {
                                for (v, &sum) in sums.iter().enumerate() {
                                    let to = self.sums.at(at + i * padded + v * lanes);
                                    store::<S>(to, simd.add_f32s(load::<S>(to), sum));
                                }
                            }
                            row += MR;
                        }
                    }
                }
                c = channels.end;
            }
            p += count;
        }
    }
}

impl Task<'_> {
    /// Writes pixels `p..p + count` of the output's gradient with channels innermost, `[panels, pixels, nr]`.
    ///
    /// # Safety
    /// `to` has room for it.
    #[inline(always)]
    unsafe fn transpose(&self, p: usize, count: usize, block: usize, nr: usize, to: *mut f32) {
        let pixels = self.grid.pixels();
        let mut done = 0;
        while done < count {
            let (n, inside) = ((p + done) / pixels, (p + done) % pixels);
            let len = (pixels - inside).min(count - done);
            let base = n * self.dy_image + self.dy_first + inside;
            for o in 0..self.outputs {
                let from = &self.dy[base + o * pixels..base + o * pixels + len];
                // SAFETY: the caller's promise.
                unsafe {
                    let to = to.add((o / nr) * block * nr + done * nr + o % nr);
                    for (i, &v) in from.iter().enumerate() {
                        *to.add(i * nr) = v;
                    }
                }
            }
            done += len;
        }
    }
}

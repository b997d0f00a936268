//! The product of packed weights with gathered planes, and the forward convolution that is one.

use pulp::Simd;
use rayon::prelude::*;

use super::gather::{Grid, SLACK, Table};
use super::weights::Packed;
use super::{Dims, depthwise, planes, winograd};
use crate::Activation;
use crate::memory::{Output, Scratch, Shared, room, with_scratch};
use crate::tile::{self, Tiled, load, product, store};

/// What follows the sums of a convolution: `act(scale · y + bias + residual)`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Epilogue<'a> {
    /// A factor for every output channel.
    pub scale: Option<&'a [f32]>,
    /// A term for every output channel.
    pub bias: Option<&'a [f32]>,
    /// A term for every element, of the output's shape.
    pub residual: Option<&'a [f32]>,
    /// The activation.
    pub activation: Activation,
}

/// Where the grid's pixels go in planes of the output.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// Elements of an image.
    pub(super) image: usize,
    /// Offset of the first row's plane in an image.
    pub(super) first: usize,
    /// Elements of a plane.
    pub(super) plane: usize,
    /// Columns of a plane.
    pub(super) width: usize,
    /// Distance of the grid's rows and columns in it.
    pub(super) step: [usize; 2],
    /// Where the grid begins.
    pub(super) start: [usize; 2],
}

/// A run of pixels of a panel in the output.
#[derive(Debug, Clone, Copy)]
struct Span {
    /// Offset of the first in the first row's planes.
    to: usize,
    len: usize,
}

/// One product: `rows` planes out of a grid.
pub(super) struct Job<'a> {
    pub(super) grid: Grid<'a>,
    pub(super) weights: &'a Packed,
    pub(super) images: usize,
    /// Channels of the grid.
    pub(super) channels: usize,
    pub(super) out: Shared,
    pub(super) place: Place,
    pub(super) bias: Option<&'a [f32]>,
    pub(super) residual: Option<&'a [f32]>,
    pub(super) activation: Activation,
}

/// Elements of the right operand that are packed at a time: they stay in the second cache.
const NEAR: usize = 80 * 1024;

/// Inner dimension at most, before sums are put aside.
const DEPTH: usize = 768;

impl Job<'_> {
    pub(super) fn run(&self) {
        let total = self.images * self.grid.pixels();
        if total == 0 || self.weights.rows == 0 {
            return;
        }
        let (mr, nr) = tile::shape();
        let threads = rayon::current_num_threads();
        let taps = self.grid.taps.len();
        let blocks = (self.channels * taps).div_ceil(DEPTH).max(1);
        let share = self.channels.div_ceil(blocks).max(1);
        let panels = (NEAR / (share * taps * nr).max(1)).clamp(1, 8);
        let mut tiles = total.div_ceil(panels * nr);
        if tiles < 4 * threads {
            tiles = (4 * threads).min(total.div_ceil(nr));
        } else {
            tiles = tiles.next_multiple_of(threads);
        }
        let width = total.div_ceil(tiles).next_multiple_of(nr);
        let tiles = total.div_ceil(width);
        let row_panels = self.weights.rows.div_ceil(mr);
        let splits = if tiles < threads { threads.div_ceil(tiles).min(row_panels) } else { 1 };
        let split = row_panels.div_ceil(splits);
        (0..tiles * splits).into_par_iter().for_each(|task| {
            let (t, s) = (task / splits, task % splits);
            let pixels = (t * width, ((t + 1) * width).min(total));
            let rows = (s * split, ((s + 1) * split).min(row_panels));
            with_scratch(|scratch| tile::dispatch(Task { job: self, pixels, rows, share, scratch }));
        });
    }

    fn spans(&self, first: usize, end: usize, spans: &mut Vec<Span>) {
        spans.clear();
        let (place, pixels) = (&self.place, self.grid.pixels());
        let whole = place.step == [1, 1] && place.width == self.grid.gw && place.start == [0, 0];
        let mut p = first;
        while p < end {
            let (n, inside) = (p / pixels, p % pixels);
            let (y, x) = (inside / self.grid.gw, inside % self.grid.gw);
            let len = if whole { pixels - inside } else { self.grid.gw - x }.min(end - p);
            let (row, column) = (place.start[0] + y * place.step[0], place.start[1] + x * place.step[1]);
            spans.push(Span { to: n * place.image + place.first + row * place.width + column, len });
            p += len;
        }
    }
}

/// Some pixels and some panels of rows of a job.
struct Task<'a, 'b> {
    job: &'a Job<'b>,
    pixels: (usize, usize),
    rows: (usize, usize),
    /// Channels at a time.
    share: usize,
    scratch: &'a mut Scratch,
}

impl Tiled for Task<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const MR: usize, const NV: usize>(self, simd: S) {
        let Task { job, pixels: (first, end), rows: (row_first, row_end), share, scratch } = self;
        if row_first >= row_end || first >= end {
            return;
        }
        let nr = NV * S::F32_LANES;
        let taps = job.grid.taps.len();
        let panels = (end - first).div_ceil(nr);
        let blocks = job.channels.div_ceil(share).max(1);
        let tile = MR * nr;
        let mut tables: Vec<(Table, Vec<Span>)> = Vec::new();
        for j in 0..panels {
            let (from, to) = (first + j * nr, (first + (j + 1) * nr).min(end));
            let (mut table, mut spans) = (Table::default(), Vec::new());
            job.grid.table(from, to, &mut table);
            job.spans(from, to, &mut spans);
            tables.push((table, spans));
        }
        let depth = share * taps;
        let packed = room(&mut scratch.a, panels * depth * nr + SLACK).as_mut_ptr();
        let aside = room(&mut scratch.b, if blocks > 1 { (row_end - row_first) * panels * tile } else { 0 })
            .as_mut_ptr();
        for block in 0..blocks {
            let channels = block * share..((block + 1) * share).min(job.channels);
            let depth = channels.len() * taps;
            for (j, (table, _)) in tables.iter().enumerate() {
                // SAFETY: room for every panel's rows and the slack was made above.
                unsafe {
                    job.grid.gather(simd, table, channels.clone(), packed.add(j * depth * nr), nr);
                }
            }
            for row in row_first..row_end {
                let a = (row * job.weights.depth + channels.start * taps) * MR;
                for (j, (_, spans)) in tables.iter().enumerate() {
                    // SAFETY: the packed operands have `depth` rows from these offsets on, every tile has its own
                    // part of what is put aside, and every span is written by this task alone.
                    unsafe {
                        let a = job.weights.data.as_ptr().add(a);
                        let mut sums =
                            product::<S, MR, NV, true>(simd, depth, a, 1, packed.add(j * depth * nr), nr);
                        let aside =
                            aside.add(if blocks > 1 { ((row - row_first) * panels + j) * tile } else { 0 });
                        if block > 0 {
                            for (i, sums) in sums.iter_mut().enumerate() {
                                for (v, sum) in sums.iter_mut().enumerate() {
                                    let before = load::<S>(aside.add(i * nr + v * S::F32_LANES));
                                    *sum = simd.add_f32s(before, *sum);
                                }
                            }
                        }
                        if block + 1 < blocks {
                            for (i, sums) in sums.iter().enumerate() {
                                for (v, &sum) in sums.iter().enumerate() {
                                    store::<S>(aside.add(i * nr + v * S::F32_LANES), sum);
                                }
                            }
                        } else {
                            finish::<S, MR, NV>(simd, job, row * MR, &mut sums, spans);
                        }
                    }
                }
            }
        }
    }
}

/// Applies the epilogue to a tile and stores it.
///
/// # Safety
/// The spans lie in the output and no other task writes them.
#[inline(always)]
unsafe fn finish<S: Simd, const MR: usize, const NV: usize>(
    simd: S,
    job: &Job<'_>,
    row: usize,
    sums: &mut tile::Sums<S, MR, NV>,
    spans: &[Span],
) {
    let lanes = S::F32_LANES;
    let rows = MR.min(job.weights.rows - row);
    let (low, high) = job.activation.range();
    let (low, high) = (simd.splat_f32s(low), simd.splat_f32s(high));
    let plain = job.activation == Activation::None;
    for (i, sums) in sums.iter_mut().enumerate().take(rows) {
        let plane = (row + i) * job.place.plane;
        if let Some(&bias) = job.bias.and_then(|b| b.get(row + i)) {
            let bias = simd.splat_f32s(bias);
            for sum in sums.iter_mut() {
                *sum = simd.add_f32s(*sum, bias);
            }
        }
        // SAFETY: the caller's promise; the residual has the output's shape.
        unsafe {
            if let [Span { to, len }] = *spans
                && len == NV * lanes
                && job.place.step[1] == 1
            {
                for (v, sum) in sums.iter_mut().enumerate() {
                    let at = to + plane + v * lanes;
                    if let Some(residual) = job.residual {
                        *sum = simd.add_f32s(*sum, load::<S>(residual.as_ptr().add(at)));
                    }
                    if !plain {
                        *sum = simd.min_f32s(high, simd.max_f32s(low, *sum));
                    }
                    store::<S>(job.out.at(at), *sum);
                }
                continue;
            }
            let mut line = [simd.splat_f32s(0.0); NV];
            let line = line.as_mut_ptr().cast::<f32>();
            if job.residual.is_none() {
                for sum in sums.iter_mut() {
                    *sum = simd.min_f32s(high, simd.max_f32s(low, *sum));
                }
            }
            for (v, &sum) in sums.iter().enumerate() {
                store::<S>(line.add(v * lanes), sum);
            }
            let (low, high) = job.activation.range();
            let mut from = 0;
            for span in spans {
                let at = span.to + plane;
                if let Some(residual) = job.residual {
                    for p in 0..span.len {
                        let v = *line.add(from + p) + *residual.get_unchecked(at + p * job.place.step[1]);
                        let v = if v < low { low } else { v };
                        *job.out.at(at + p * job.place.step[1]) = if v > high { high } else { v };
                    }
                } else if job.place.step[1] == 1 {
                    std::ptr::copy_nonoverlapping(line.add(from), job.out.at(at), span.len);
                } else {
                    for p in 0..span.len {
                        *job.out.at(at + p * job.place.step[1]) = *line.add(from + p);
                    }
                }
                from += span.len;
            }
        }
    }
}

/// `act(scale · (x ⋆ w) + bias + residual)`, `[n, o, oh, ow]`.
///
/// # Panics
/// [`Dims::check`] refuses the sizes, or a slice is shorter than they say.
pub fn forward(x: &[f32], w: &[f32], d: &Dims, epilogue: &Epilogue<'_>) -> Vec<f32> {
    assert_eq!(d.check(), Ok(()), "{d:?}");
    assert!(x.len() >= d.input_len() && d.has_weights(w), "sizes do not fit the slices");
    let (oh, ow) = d.output();
    let (cg, og) = d.group();
    if let Some(r) = epilogue.residual {
        assert!(r.len() >= d.output_len(), "the residual is too short");
    }
    if d.output_len() == 0 {
        return Vec::new();
    }
    if depthwise::fits(d) {
        return depthwise::forward(x, w, d, epilogue);
    }
    if winograd::pays(d) {
        return winograd::USUAL.forward(x, w, d, epilogue);
    }
    let taps = d.kh * d.kw;
    let source = planes::of(&x[..d.input_len()], d);
    let mut out = Output::new(d.output_len());
    let channel = source.planes * source.h * source.w;
    for g in 0..d.geometry.groups.max(1) {
        let part = |v: Option<&'_ [f32]>| v.and_then(|v| v.get(g * og..(g + 1) * og)).map(<[f32]>::to_vec);
        let (scale, bias) = (part(epilogue.scale), part(epilogue.bias));
        let start = |row: usize| (g * og + row) * d.weight_row();
        let weights = Packed::of_rows(w, og, cg * taps, start, scale.as_deref());
        Job {
            grid: Grid {
                data: &source.data,
                taps: &source.taps,
                planes: source.planes,
                h: source.h,
                w: source.w,
                gh: oh,
                gw: ow,
                image: d.c * channel,
                first: g * cg * channel,
            },
            weights: &weights,
            images: d.n,
            channels: cg,
            out: out.shared(),
            place: Place {
                image: d.o * oh * ow,
                first: g * og * oh * ow,
                plane: oh * ow,
                width: ow,
                step: [1, 1],
                start: [0, 0],
            },
            bias: bias.as_deref(),
            residual: epilogue.residual,
            activation: epilogue.activation,
        }
        .run();
    }
    // SAFETY: the groups' jobs write every output plane in full.
    unsafe { out.finish() }
}

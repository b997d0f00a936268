//! Gathering shifted planes into the right operand of a product.

use pulp::Simd;

use crate::tile::{load, store};

/// One tap: pixel `(y, x)` of the grid reads plane `plane` of a channel at `(y + dy, x + dx)`, or 0 outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tap {
    pub(super) plane: usize,
    pub(super) dy: isize,
    pub(super) dx: isize,
}

/// A run of pixels of one row of the grid, as a tap sees it: `lead` zeros, `len` elements from `from` on, zeros.
#[derive(Debug, Clone, Copy, Default)]
struct Run {
    from: usize,
    lead: usize,
    len: usize,
    total: usize,
}

/// Where pixels of a grid `[gh, gw]` find their elements in planes of `[h, w]`.
pub(super) struct Grid<'a> {
    pub(super) data: &'a [f32],
    pub(super) taps: &'a [Tap],
    /// Planes of a channel.
    pub(super) planes: usize,
    pub(super) h: usize,
    pub(super) w: usize,
    pub(super) gh: usize,
    pub(super) gw: usize,
    /// Elements of an image.
    pub(super) image: usize,
    /// Offset of the first channel in an image.
    pub(super) first: usize,
}

/// Elements that a row of the packed operand may be written beyond its end.
pub(super) const SLACK: usize = 64;

/// Runs of some pixels, all taps of a row of pixels after another.
#[derive(Default)]
pub(super) struct Table {
    runs: Vec<Run>,
    /// Runs of one tap.
    count: usize,
}

impl Grid<'_> {
    /// Pixels of an image.
    pub(super) fn pixels(&self) -> usize {
        self.gh * self.gw
    }

    /// Splits pixels `first..end`, counted over all images, into runs.
    pub(super) fn table(&self, first: usize, end: usize, table: &mut Table) {
        table.runs.clear();
        for tap in self.taps {
            let mut p = first;
            while p < end {
                let (n, inside) = (p / self.pixels(), p % self.pixels());
                let (y, x) = (inside / self.gw, inside % self.gw);
                let total = (self.gw - x).min(end - p);
                p += total;
                table.runs.push(self.run(tap, n, y, x, total));
            }
        }
        table.count = table.runs.len().checked_div(self.taps.len()).unwrap_or(0);
        if self.taps.len() == 1 {
            join(&mut table.runs);
            table.count = table.runs.len();
        }
    }

    fn run(&self, tap: &Tap, n: usize, y: usize, x: usize, total: usize) -> Run {
        let zeros = Run { total, ..Run::default() };
        let Some(row) = y.checked_add_signed(tap.dy).filter(|&r| r < self.h) else { return zeros };
        let start = x as isize + tap.dx;
        let lead = usize::try_from(-start).unwrap_or(0).min(total);
        let begin = usize::try_from(start).unwrap_or(0);
        let len = (total - lead).min(self.w.saturating_sub(begin));
        if len == 0 {
            return zeros;
        }
        let from = n * self.image + self.first + (tap.plane * self.h + row) * self.w + begin;
        Run { from, lead, len, total }
    }

    /// Writes rows `(channel, tap)` of the channels given: row after row, `width` elements apart.
    ///
    /// # Safety
    /// `to` has room for all rows and [`SLACK`] elements; the table is of this grid, and its pixels are at most
    /// `width`.
    #[inline(always)]
    pub(super) unsafe fn gather<S: Simd>(
        &self,
        simd: S,
        table: &Table,
        channels: std::ops::Range<usize>,
        to: *mut f32,
        width: usize,
    ) {
        let lanes = S::F32_LANES;
        let zero = simd.splat_f32s(0.0);
        let plane = self.planes * self.h * self.w;
        let mut row = to;
        for c in channels {
            let base = c * plane;
            for runs in table.runs.chunks_exact(table.count.max(1)) {
                let mut to = row;
                for run in runs {
                    // SAFETY: rows are written in order, so that what a vector writes beyond a run is written again,
                    // or is slack; elements are read inside the slice.
                    unsafe {
                        if run.lead > 0 || run.len == 0 {
                            let zeros = if run.len == 0 { run.total } else { run.lead };
                            for i in (0..zeros).step_by(lanes) {
                                store::<S>(to.add(i), zero);
                            }
                        }
                        let from = base + run.from;
                        let body = to.add(run.lead);
                        if from + run.len.next_multiple_of(lanes) <= self.data.len() {
                            let from = self.data.as_ptr().add(from);
                            for i in (0..run.len).step_by(lanes) {
                                store::<S>(body.add(i), load::<S>(from.add(i)));
                            }
                        } else {
                            let from = self.data.as_ptr().add(from);
                            std::ptr::copy_nonoverlapping(from, body, run.len);
                        }
                        if run.len > 0 {
                            let rest = body.add(run.len);
                            for i in (0..run.total - run.lead - run.len).step_by(lanes) {
                                store::<S>(rest.add(i), zero);
                            }
                        }
                        to = to.add(run.total);
                    }
                }
                // SAFETY: room for all rows is promised.
                row = unsafe { row.add(width) };
            }
        }
    }
}

/// Joins runs that continue one another: of one tap that reads the planes as they are, whole images are one run.
fn join(runs: &mut Vec<Run>) {
    runs.dedup_by(|next, run| {
        let joined = run.lead + run.len == run.total
            && next.lead == 0
            && next.len == next.total
            && run.len > 0
            && run.from + run.len == next.from;
        if joined {
            run.len += next.len;
            run.total += next.total;
        }
        joined
    });
}

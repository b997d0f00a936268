//! Rows with their columns sorted by the remainder modulo the stride: every tap of a window reads neighbours then.

use std::ops::Range;

use super::Pool;

/// Outputs of a row are padded to this many, so that vectors need no remainder.
const WIDE: usize = 16;

/// Columns sorted by their remainder modulo the stride.
#[derive(Debug, Clone, Copy)]
pub(super) struct Columns {
    pub(super) stride: usize,
    pub(super) padding: usize,
    pub(super) kernel: usize,
    width: usize,
    /// Outputs, padded.
    pub(super) wide: usize,
    /// Columns of a remainder.
    len: usize,
}

impl Columns {
    pub(super) fn new(pool: &Pool) -> Self {
        let (stride, kernel) = (pool.stride[1].max(1), pool.kernel[1]);
        let wide = pool.output[1].next_multiple_of(WIDE);
        let len = wide + kernel.saturating_sub(1) / stride;
        Self { stride, padding: pool.padding[1], kernel, width: pool.input[1], wide, len }
    }

    #[inline(always)]
    fn phases(&self) -> usize {
        self.stride.min(self.kernel)
    }

    /// Elements of a sorted row.
    #[inline(always)]
    pub(super) fn line(&self) -> usize {
        self.phases() * self.len
    }

    /// Where the outputs find tap `kx` in a sorted row.
    #[inline(always)]
    pub(super) fn tap(&self, kx: usize) -> Range<usize> {
        let from = kx % self.stride * self.len + kx / self.stride;
        from..from + self.wide
    }

    /// Which columns of a remainder lie in the image, and where the first does.
    #[inline(always)]
    fn inside(&self, phase: usize) -> (Range<usize>, usize) {
        let first = self.padding.saturating_sub(phase).div_ceil(self.stride);
        let end = (self.width + self.padding).saturating_sub(phase).div_ceil(self.stride).min(self.len);
        if first >= end {
            return (0..0, 0);
        }
        (first..end, first * self.stride + phase - self.padding)
    }

    #[inline(always)]
    pub(super) fn sort(&self, row: &[f32], line: &mut [f32], fill: f32) {
        for (phase, line) in line.chunks_exact_mut(self.len.max(1)).take(self.phases()).enumerate() {
            let (inside, from) = self.inside(phase);
            line[..inside.start].fill(fill);
            line[inside.end..].fill(fill);
            let (row, line) = (&row[from..], &mut line[inside]);
            match self.stride {
                1 => line.copy_from_slice(&row[..line.len()]),
                2 => every(row, 2, line),
                stride => every(row, stride, line),
            }
        }
    }

    /// The other way; columns that no window covers become 0.
    #[inline(always)]
    pub(super) fn unsort(&self, line: &[f32], row: &mut [f32]) {
        row.fill(0.0);
        for (phase, line) in line.chunks_exact(self.len.max(1)).take(self.phases()).enumerate() {
            let (inside, from) = self.inside(phase);
            let line = &line[inside];
            for (to, &v) in row[from..].iter_mut().step_by(self.stride).zip(line) {
                *to = v;
            }
        }
    }
}

/// Elements `0`, `stride`, `2 · stride`, … of a row.
#[inline(always)]
fn every(row: &[f32], stride: usize, to: &mut [f32]) {
    let whole = row.len() / stride;
    for (to, from) in to.iter_mut().zip(row.chunks_exact(stride)) {
        *to = from[0];
    }
    if let (Some(to), Some(&from)) = (to.get_mut(whole), row.get(whole * stride)) {
        *to = from;
    }
}

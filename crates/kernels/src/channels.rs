//! Tensors `[n, channels, inner]`, channel by channel.

use rayon::prelude::*;

/// Sizes of a tensor with channels on axis 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Size of axis 0.
    pub n: usize,
    /// Size of axis 1.
    pub channels: usize,
    /// Product of the other sizes.
    pub inner: usize,
}

impl Layout {
    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.n * self.channels * self.inner
    }

    /// Elements of a channel.
    pub(crate) fn count(&self) -> f64 {
        (self.n * self.inner).max(1) as f64
    }

    /// Calls `f(channel, range)` for every row of elements that share image and channel, in parallel by channel.
    pub(crate) fn each_channel<R: Send>(&self, f: impl Fn(usize) -> R + Send + Sync) -> Vec<R> {
        (0..self.channels).into_par_iter().map(f).collect()
    }

    /// Where the rows of a channel begin.
    #[inline(always)]
    pub(crate) fn starts(&self, channel: usize) -> impl Iterator<Item = usize> + use<> {
        let (image, first) = (self.channels * self.inner, channel * self.inner);
        (0..self.n).map(move |n| n * image + first)
    }
}

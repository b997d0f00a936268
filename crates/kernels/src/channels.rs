//! Tensors `[n, channels, inner]`, channel by channel.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use crate::memory::Output;
use crate::vector::{sum, vectorize};

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

    /// What `f(channel)` gives for every channel, in parallel.
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

/// Elements that a task copies at least.
const GRAIN: usize = 1 << 14;

/// Output planes `[n, channels, inner]`, each a copy of the slice that `from(image, channel)` gives, or zeros.
fn copy<'a>(to: Layout, from: impl Fn(usize, usize) -> Option<&'a [f32]> + Send + Sync) -> Vec<f32> {
    let mut out = Output::new(to.elements());
    let shared = out.shared();
    let rows = to.n * to.channels;
    (0..rows).into_par_iter().with_min_len((GRAIN / to.inner.max(1)).max(1)).for_each(|row| {
        let first = row * to.inner;
        // SAFETY: each row is written by the one task that has it.
        unsafe {
            match from(row / to.channels, row % to.channels) {
                Some(from) => shared.put(first, &from[..to.inner]),
                None => shared.slice(first, to.inner).fill(MaybeUninit::new(0.0)),
            }
        }
    });
    // SAFETY: all rows were written.
    unsafe { out.finish() }
}

/// Channels `start..start + count` of `x`.
///
/// # Panics
/// `x` is shorter than its sizes say, or has not so many channels.
pub fn take(x: &[f32], layout: Layout, start: usize, count: usize) -> Vec<f32> {
    assert!(x.len() >= layout.elements() && start + count <= layout.channels, "no such channels");
    copy(Layout { channels: count, ..layout }, |n, c| {
        x.get((n * layout.channels + start + c) * layout.inner..)
    })
}

/// The way back of [`take`]: `dy` among channels of zeros; `layout` is that of the result.
///
/// # Panics
/// `dy` is shorter than its sizes say, or the result has not so many channels.
pub fn put(dy: &[f32], layout: Layout, start: usize, count: usize) -> Vec<f32> {
    assert!(dy.len() >= layout.n * count * layout.inner && start + count <= layout.channels);
    copy(layout, |n, c| {
        let inside = c.checked_sub(start).filter(|&c| c < count)?;
        dy.get((n * count + inside) * layout.inner..)
    })
}

/// The channels of `a`, then those of `b`.
///
/// # Panics
/// A slice is shorter than its sizes say, or the two differ in more than channels.
pub fn concat(a: &[f32], b: &[f32], [of_a, of_b]: [Layout; 2]) -> Vec<f32> {
    assert!(a.len() >= of_a.elements() && b.len() >= of_b.elements());
    assert!(of_a.n == of_b.n && of_a.inner == of_b.inner, "sizes beside the channels differ");
    copy(Layout { channels: of_a.channels + of_b.channels, ..of_a }, |n, c| {
        match c.checked_sub(of_a.channels) {
            None => a.get((n * of_a.channels + c) * of_a.inner..),
            Some(c) => b.get((n * of_b.channels + c) * of_b.inner..),
        }
    })
}

/// Channels as the columns of a matrix whose rows are the groups: channel `g · (C / groups) + i` goes to
/// `i · groups + g`. With `C / groups` groups it is its own way back.
///
/// # Panics
/// `x` is shorter than its sizes say, or the groups do not divide the channels.
pub fn shuffle(x: &[f32], layout: Layout, groups: usize) -> Vec<f32> {
    assert!(x.len() >= layout.elements() && groups > 0 && layout.channels.is_multiple_of(groups));
    let size = layout.channels / groups;
    copy(layout, |n, c| x.get((n * layout.channels + c % groups * size + c / groups) * layout.inner..))
}

/// Sum of every channel.
///
/// # Panics
/// `x` is shorter than its sizes say.
pub fn sums(x: &[f32], layout: Layout) -> Vec<f32> {
    assert!(x.len() >= layout.elements(), "sizes do not fit the slice");
    layout.each_channel(|channel| {
        let rows = vectorize(
            #[inline(always)]
            || layout.starts(channel).map(|at| f64::from(sum(&x[at..at + layout.inner]))).sum::<f64>(),
        );
        rows as f32
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_move_as_said() {
        let layout = Layout { n: 2, channels: 6, inner: 2 };
        let x: Vec<f32> = (0..24).map(|v| v as f32).collect();
        let part = take(&x, layout, 2, 3);
        assert_eq!(part, [4., 5., 6., 7., 8., 9., 16., 17., 18., 19., 20., 21.]);
        let back = put(&part, layout, 2, 3);
        let inside = |i: usize| (2..5).contains(&(i / 2 % 6));
        assert!(back.iter().enumerate().all(|(i, &v)| v == if inside(i) { x[i] } else { 0.0 }));
        let rest = Layout { channels: 3, ..layout };
        let halves = [take(&x, layout, 0, 3), take(&x, layout, 3, 3)];
        assert_eq!(concat(&halves[0], &halves[1], [rest, rest]), x);
        let mixed = shuffle(&x, layout, 2);
        assert_eq!(mixed[..12], [0., 1., 6., 7., 2., 3., 8., 9., 4., 5., 10., 11.]);
        assert_eq!(shuffle(&mixed, layout, 3), x);
        assert_eq!(sums(&x, layout), [26., 34., 42., 50., 58., 66.]);
    }
}

//! Padding and cropping, computed as one gather.
//!
//! Both act on rows and columns apart, so a padded and cropped image is described by two lists: where each of its
//! rows and each of its columns comes from. Padding twice composes the lists.

use serde::Deserialize;

use crate::{Error, Image, Result};

/// What the pixels around an image are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PaddingMode {
    /// The pad value.
    #[default]
    Constant,
    /// The nearest pixel: `aaa|abcd|ddd`.
    Edge,
    /// The image mirrored at its outermost pixels: `dcb|abcd|cba`.
    Reflect,
    /// The image mirrored at its border: `cba|abcd|dcb`.
    Symmetric,
}

/// Pixels to add on each side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(
    untagged,
    expecting = "an int, (left/right, top/bottom) or (left, top, right, bottom), none negative"
)]
pub enum Padding {
    /// As many on all sides.
    All(usize),
    /// On left and right, on top and bottom.
    Sides(usize, usize),
    /// On left, top, right and bottom.
    Each(usize, usize, usize, usize),
}

impl Padding {
    /// Left, top, right, bottom.
    pub fn sides(self) -> [usize; 4] {
        match self {
            Self::All(n) => [n; 4],
            Self::Sides(x, y) => [x, y, x, y],
            Self::Each(left, top, right, bottom) => [left, top, right, bottom],
        }
    }
}

/// The value of constant padding.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged, expecting = "a number or a list with one for each channel")]
pub enum PadValue {
    /// For every channel. (OpenCV, and so MMClassification, applies a single number to the first channel only and
    /// pads the others with 0.)
    One(f64),
    /// One for each channel.
    Channels(Vec<f64>),
}

impl PadValue {
    /// One sample a channel: rounded half to even and clipped to 0..=255, as OpenCV does.
    pub(super) fn pixel(&self, component: &'static str, channels: usize) -> Result<Vec<u8>> {
        let sample = |value: f64| value.round_ties_even().clamp(0.0, 255.0) as u8;
        match self {
            Self::One(value) => Ok(vec![sample(*value); channels]),
            Self::Channels(values) if values.len() == channels => {
                Ok(values.iter().map(|&value| sample(value)).collect())
            }
            Self::Channels(values) => Err(Error::argument(
                component,
                format!("`pad_val` has {} values for the {channels} channels of an image", values.len()),
            )),
        }
    }
}

/// Longest side that padding may make, so that a mistyped number is an error and not an exhausted memory.
const MAX_SIDE: usize = 1 << 14;

/// Where each position along one axis of an image to be made comes from: a position in the source, or `None` for the
/// pad value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Axis(Vec<Option<usize>>);

impl Axis {
    /// The axis unchanged.
    pub(super) fn new(len: usize) -> Self {
        Self((0..len).map(Some).collect())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// With `before` and `after` positions added at the ends.
    pub(super) fn pad(
        self,
        component: &'static str,
        before: usize,
        after: usize,
        mode: PaddingMode,
    ) -> Result<Self> {
        if before == 0 && after == 0 {
            return Ok(self);
        }
        let len = self.len();
        let padded = len.checked_add(before).and_then(|n| n.checked_add(after));
        match padded {
            Some(padded) if padded <= MAX_SIDE && len > 0 => {
                let source = |at| {
                    let inner = mode.source(at as isize - before as isize, len)?;
                    self.0.get(inner).copied().flatten()
                };
                Ok(Self((0..padded).map(source).collect()))
            }
            _ => Err(Error::argument(
                component,
                format!("padding a side of {len} by {before} and {after} makes it longer than {MAX_SIDE}"),
            )),
        }
    }

    /// `len` positions from `start` on, or as many of them as there are.
    pub(super) fn crop(&self, start: usize, len: usize) -> Self {
        Self(self.0.iter().copied().skip(start).take(len).collect())
    }

    /// The longest run of neighbours in the source: its first position here, and the source range.
    fn run(&self) -> (usize, std::ops::Range<usize>) {
        let (mut best, mut current) = ((0, 0..0), (0, 0..0));
        for (at, source) in self.0.iter().enumerate() {
            match source {
                Some(source) if *source == current.1.end && !current.1.is_empty() => current.1.end += 1,
                Some(source) => current = (at, *source..*source + 1),
                None => current = (0, 0..0),
            }
            if current.1.len() > best.1.len() {
                best = current.clone();
            }
        }
        best
    }
}

impl PaddingMode {
    /// The position inside `0..len` that position `at`, inside or outside, takes its value from. `len` is above 0.
    fn source(self, at: isize, len: usize) -> Option<usize> {
        let last = len as isize - 1;
        if (0..=last).contains(&at) {
            return Some(at as usize);
        }
        let inside = match self {
            Self::Constant => return None,
            Self::Edge => at.clamp(0, last),
            // A mirrored image repeats with the period of the image and its reflection.
            Self::Reflect if last == 0 => 0,
            Self::Reflect => last - (at.rem_euclid(2 * last) - last).abs(),
            Self::Symmetric => {
                let phase = at.rem_euclid(2 * last + 2);
                phase.min(2 * last + 1 - phase)
            }
        };
        Some(inside as usize)
    }
}

/// The image whose rows and columns come from those of `image`, with `pad` (a value a channel) elsewhere.
pub(super) fn gather(image: &Image, rows: &Axis, columns: &Axis, pad: &[u8]) -> Result<Image> {
    let channels = image.channels();
    let stride = columns.len() * channels;
    let (start, run) = columns.run();
    let inner = start * channels..(start + run.len()) * channels;
    let outer: Vec<(usize, Option<usize>)> = columns
        .0
        .iter()
        .copied()
        .enumerate()
        .filter(|(at, _)| !(start..start + run.len()).contains(at))
        .collect();

    let mut pixels = pad.repeat(rows.len() * columns.len());
    for (target, source) in pixels.chunks_exact_mut(stride.max(1)).zip(&rows.0) {
        let Some(source) = source.map(|y| image.row(y)) else { continue };
        if let (Some(target), Some(source)) =
            (target.get_mut(inner.clone()), source.get(run.start * channels..run.end * channels))
        {
            target.copy_from_slice(source);
        }
        for &(at, from) in &outer {
            let Some(from) = from else { continue };
            let pixel = source.get(from * channels..(from + 1) * channels);
            if let (Some(target), Some(pixel)) = (target.get_mut(at * channels..(at + 1) * channels), pixel) {
                target.copy_from_slice(pixel);
            }
        }
    }
    Image::new(rows.len(), columns.len(), channels, pixels)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn padded(len: usize, before: usize, after: usize, mode: PaddingMode) -> Vec<Option<usize>> {
        Axis::new(len).pad("test", before, after, mode).unwrap().0
    }

    /// `numpy.pad(range(n), (before, after), mode)`; numpy has another opinion of reflecting a single element.
    #[test]
    fn modes_agree_with_numpy() {
        let some = |items: &[usize]| items.iter().copied().map(Some).collect::<Vec<_>>();
        assert_eq!(padded(4, 2, 2, PaddingMode::Reflect), some(&[2, 1, 0, 1, 2, 3, 2, 1]));
        assert_eq!(padded(4, 2, 2, PaddingMode::Symmetric), some(&[1, 0, 0, 1, 2, 3, 3, 2]));
        assert_eq!(padded(3, 2, 1, PaddingMode::Edge), some(&[0, 0, 0, 1, 2, 2]));
        assert_eq!(
            padded(3, 7, 5, PaddingMode::Reflect),
            some(&[1, 2, 1, 0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2, 1])
        );
        assert_eq!(padded(2, 5, 3, PaddingMode::Symmetric), some(&[0, 0, 1, 1, 0, 0, 1, 1, 0, 0]));
        assert_eq!(padded(1, 2, 2, PaddingMode::Reflect), some(&[0; 5]));
        assert_eq!(padded(2, 1, 2, PaddingMode::Constant), [None, Some(0), Some(1), None, None]);
    }

    #[test]
    fn finds_the_longest_run() {
        assert_eq!(Axis(vec![None, Some(0), Some(1), None]).run(), (1, 0..2));
        assert_eq!(Axis(vec![Some(1), Some(0), Some(1), Some(2), Some(1)]).run(), (1, 0..3));
        assert_eq!(Axis(vec![None, None]).run(), (0, 0..0));
    }

    #[test]
    fn refuses_absurd_padding() {
        for n in [MAX_SIDE, usize::MAX] {
            assert!(Axis::new(4).pad("test", n, 0, PaddingMode::Edge).is_err());
        }
    }

    #[test]
    fn pad_values_saturate() {
        assert_eq!(PadValue::One(2.5).pixel("test", 2).unwrap(), [2, 2]);
        assert_eq!(PadValue::Channels(vec![-1.0, 300.0, f64::NAN]).pixel("test", 3).unwrap(), [0, 255, 0]);
        assert!(PadValue::Channels(vec![1.0]).pixel("test", 3).is_err());
    }
}

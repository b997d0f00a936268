//! Least and largest elements, and mean sizes: one for a tensor, or one for every channel.

use occam_kernels::summary::{self, Summary};
use rayon::prelude::*;

use crate::{Error, QScheme, Result};

/// Elements that a thread takes at least.
const PART: usize = 1 << 14;

/// Partial results of a loop.
const LANES: usize = 16;

/// What `f` makes of every row of one channel, in order; long rows of a tensor with one channel are taken in parts. The results
/// do not depend on the number of threads.
fn rows<R: Send>(
    x: &[f32],
    channels: usize,
    inner: usize,
    f: impl Fn(&[f32]) -> R + Send + Sync,
) -> (usize, Vec<R>) {
    let part = if channels == 1 { inner.min(PART) } else { inner };
    let parts = x.par_chunks(part).with_min_len(PART.div_ceil(part));
    (part, parts.map(f).collect())
}

/// Least and largest element, one pair for the tensor or one for every index of the scheme's axis.
///
/// # Errors
/// An element is NaN or infinite, or there is no such axis.
pub(crate) fn extremes(scheme: &QScheme, x: &[f32], shape: &[usize]) -> Result<(Vec<f32>, Vec<f32>)> {
    let (channels, inner) = scheme.runs(shape)?;
    let (mut min, mut max) = (vec![f32::INFINITY; channels], vec![f32::NEG_INFINITY; channels]);
    let part = if channels == 1 { inner.min(PART) } else { inner };
    for (i, (row, told)) in x.chunks(part).zip(summary::rows(x, part)).enumerate() {
        if !is_finite(&told)
            && let Some(odd) = row.iter().find(|v| !v.is_finite())
        {
            return Err(Error::NotFinite { name: "a tensor".into(), what: odd.to_string() });
        }
        let channel = i % channels;
        if let (Some(min), Some(max)) = (min.get_mut(channel), max.get_mut(channel)) {
            *min = min.min(told.least);
            *max = max.max(told.largest);
        }
    }
    Ok((min, max))
}

/// Whether all elements of a row are sure to be finite: a sum of one that is none is none, and large ones have infinite sums.
pub(crate) fn is_finite(row: &Summary) -> bool {
    row.sum.is_finite() && row.least >= f32::MIN && row.largest <= f32::MAX
}

/// Mean absolute element, one for the tensor or one for every index of the scheme's axis; summed in `f64`.
///
/// # Errors
/// There is no such axis.
pub(super) fn mean_sizes(scheme: &QScheme, x: &[f32], shape: &[usize]) -> Result<Vec<f32>> {
    let (channels, inner) = scheme.runs(shape)?;
    let (_, found) = rows(x, channels, inner, sizes);
    let mut sums = vec![0.0f64; channels];
    for (i, sum) in found.into_iter().enumerate() {
        if let Some(total) = sums.get_mut(i % channels) {
            *total += sum;
        }
    }
    let count = (x.len() / channels).max(1) as f64;
    Ok(sums.into_iter().map(|s| (s / count) as f32).collect())
}

/// `Σ |x|`
fn sizes(x: &[f32]) -> f64 {
    let mut sums = [0.0f64; LANES];
    let (chunks, rest) = x.as_chunks::<LANES>();
    for chunk in chunks {
        sums.iter_mut().zip(chunk).for_each(|(s, v)| *s += f64::from(v.abs()));
    }
    let rest: f64 = rest.iter().map(|v| f64::from(v.abs())).sum();
    sums.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_channels() {
        let x: Vec<f32> = (0..2 * 3 * 20).map(|i| if i % 2 == 0 { i as f32 } else { -(i as f32) }).collect();
        let all = mean_sizes(&QScheme::activations(8), &x, &[2, 3, 20]).unwrap();
        assert_eq!(all, [59.5]);
        let own = mean_sizes(&QScheme::weights(8, Some(1)), &x, &[2, 3, 20]).unwrap();
        // The middles of 0..20 and 60..80, and so on.
        assert_eq!(own, [39.5, 59.5, 79.5]);
        assert!(mean_sizes(&QScheme::weights(8, Some(3)), &x, &[2, 3, 20]).is_err());
    }

    #[test]
    fn parts_make_up_a_tensor() {
        let x: Vec<f32> = (0..PART * 2 + 77).map(|i| (i as f32 * 0.37).sin() * i as f32).collect();
        let (min, max) = extremes(&QScheme::activations(8), &x, &[x.len()]).unwrap();
        let exact = x.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(a, b), &v| (a.min(v), b.max(v)));
        assert_eq!((min[0], max[0]), exact);
    }
}

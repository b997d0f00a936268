//! Least element, largest element and sum of rows.

use rayon::prelude::*;

use crate::vector::vectorize;

/// What is told of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    /// Least element; infinite of an empty row. Elements that are not numbers are passed over.
    pub least: f32,
    /// Largest element.
    pub largest: f32,
    /// The sum; not a number where an element is none.
    pub sum: f32,
}

/// Partial results.
const LANES: usize = 16;

/// Elements that a thread takes at least.
const PART: usize = 1 << 14;

/// What is told of every row of `row` elements, in order; the last one may be shorter.
///
/// # Panics
/// `row` is 0.
pub fn rows(x: &[f32], row: usize) -> Vec<Summary> {
    let part = PART.div_ceil(row) * row;
    let mut out = vec![Summary { least: 0.0, largest: 0.0, sum: 0.0 }; x.len().div_ceil(row)];
    out.par_chunks_mut(part / row).zip(x.par_chunks(part)).for_each(|(out, x)| {
        vectorize(
            #[inline(always)]
            || {
                for (out, x) in out.iter_mut().zip(x.chunks(row)) {
                    *out = of(x);
                }
            },
        );
    });
    out
}

#[inline(always)]
fn of(x: &[f32]) -> Summary {
    let (mut low, mut high) = ([f32::INFINITY; LANES], [f32::NEG_INFINITY; LANES]);
    let mut sums = [0.0f32; LANES];
    let (chunks, rest) = x.as_chunks::<LANES>();
    for chunk in chunks {
        for i in 0..LANES {
            low[i] = if chunk[i] < low[i] { chunk[i] } else { low[i] };
            high[i] = if chunk[i] > high[i] { chunk[i] } else { high[i] };
            sums[i] += chunk[i];
        }
    }
    Summary {
        least: low.iter().chain(rest).fold(f32::INFINITY, |a, &b| a.min(b)),
        largest: high.iter().chain(rest).fold(f32::NEG_INFINITY, |a, &b| a.max(b)),
        sum: sums.iter().sum::<f32>() + rest.iter().sum::<f32>(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::on_each;

    #[test]
    fn rows_are_told_of() {
        on_each(|| {
            for (row, count) in [(1, 5), (7, 40), (49, 1000), (20_000, 3)] {
                let x: Vec<f32> = (0..row * count).map(|i| ((i * 37 % 101) as f32 - 50.0) / 8.0).collect();
                let told = rows(&x, row);
                assert_eq!(told.len(), count);
                for (found, x) in told.iter().zip(x.chunks(row)) {
                    assert_eq!(found.least, x.iter().copied().fold(f32::INFINITY, f32::min));
                    assert_eq!(found.largest, x.iter().copied().fold(f32::NEG_INFINITY, f32::max));
                    let sum: f64 = x.iter().map(|&x| f64::from(x)).sum();
                    assert!((f64::from(found.sum) - sum).abs() <= 1e-4 * row as f64, "{found:?} {sum}");
                }
            }
            let told = rows(&[1.0, f32::NAN, 2.0, f32::INFINITY, 3.0], 2);
            assert!(told[0].sum.is_nan() && told[1].largest == f32::INFINITY);
            assert_eq!(told[2], Summary { least: 3.0, largest: 3.0, sum: 3.0 });
        });
    }
}

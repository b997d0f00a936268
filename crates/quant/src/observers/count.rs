//! How many elements fall into each of some bins of equal width.

use rayon::prelude::*;

/// Elements that a thread takes at least.
const PART: usize = 1 << 16;

/// Elements whose bins are found before they are counted.
const BLOCK: usize = 1024;

/// Counts of the elements of `x` in `bins` bins, of which element `v` falls into number `⌊(v − low) · per⌋`; what lies beyond
/// them counts in the first or the last. Elements are finite.
pub(super) fn count(x: &[f32], low: f64, per: f64, bins: usize) -> Vec<u64> {
    let mut counts = vec![0u64; bins];
    // Whole numbers: the order of sums does not matter.
    let tables = x.par_chunks(PART.max(x.len() / 64)).map(|part| table(part, low, per, bins));
    let add = |mut a: Vec<u64>, b: Vec<u64>| {
        a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
        a
    };
    if let Some(all) = tables.reduce_with(add) {
        counts = all;
    }
    counts
}

/// Four tables by turns: elements in a row are often alike, and would wait for each other's sum.
fn table(x: &[f32], low: f64, per: f64, bins: usize) -> Vec<u64> {
    let top = bins.saturating_sub(1) as f64;
    let mut tables = vec![[0u32; 4]; bins];
    let mut places = [0i32; BLOCK];
    for part in x.chunks(BLOCK) {
        for (place, &v) in places.iter_mut().zip(part) {
            *place = ((f64::from(v) - low) * per).max(0.0).min(top) as i32;
        }
        for (i, &place) in places.iter().take(part.len()).enumerate() {
            if let Some(table) = tables.get_mut(place as usize) {
                table[i % 4] += 1;
            }
        }
    }
    tables.into_iter().map(|t| t.into_iter().map(u64::from).sum()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_elements_are_counted_once() {
        let n = 3 * PART + 5;
        let x: Vec<f32> = (0..n).map(|i| (i % 10) as f32 + 0.5).collect();
        let counts = count(&x, 0.0, 1.0, 10);
        assert_eq!(counts.iter().sum::<u64>(), n as u64);
        assert!(counts.iter().all(|&c| c.abs_diff(n as u64 / 10) <= 1), "{counts:?}");
        assert_eq!(count(&[-5.0, 0.0, 0.99, 1.0, 7.0], 0.0, 1.0, 2), [3, 2]);
        assert_eq!(count(&[], 0.0, 1.0, 2), [0, 0]);
    }
}

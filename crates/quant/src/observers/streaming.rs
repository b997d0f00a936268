//! A histogram of all elements that pass, in memory that does not grow.

use super::count::count;
use crate::{Error, Result};

/// Bins.
const BINS: usize = 2048;

/// Counts of elements in [`BINS`] bins of one width, at whole multiples of it. What lies beyond makes bins twice as wide:
/// pairs of them become one, so that every count stays exact.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Histogram {
    /// Width of a bin; 0 before anything was seen.
    width: f32,
    /// The multiple of the width at which the first bin begins.
    first: i64,
    counts: Vec<u64>,
    min: f32,
    max: f32,
}

impl Histogram {
    /// Takes elements into account, whose least and largest are `min` and `max`.
    pub(crate) fn add(&mut self, x: &[f32], min: f32, max: f32) {
        if x.is_empty() {
            return;
        }
        if self.counts.is_empty() {
            // Half of the bins for the first tensor: later ones may reach further.
            let width = (max - min).max(min.abs().max(max.abs()) * f32::EPSILON).max(f32::MIN_POSITIVE * 1e6);
            self.width = width / (BINS / 2) as f32;
            self.first = self.at(min);
            self.counts = vec![0; BINS];
            (self.min, self.max) = (min, max);
        }
        (self.min, self.max) = (self.min.min(min), self.max.max(max));
        self.reach(min, max);
        let low = self.first as f64 * f64::from(self.width);
        let seen = count(x, low, 1.0 / f64::from(self.width), BINS);
        self.counts.iter_mut().zip(seen).for_each(|(a, b)| *a += b);
    }

    fn at(&self, x: f32) -> i64 {
        (f64::from(x) / f64::from(self.width)).floor() as i64
    }

    /// Makes bins so wide, and moves them so, that they hold `min` and `max`.
    fn reach(&mut self, min: f32, max: f32) {
        loop {
            let used = |w: &u64| *w > 0;
            let lowest = self.counts.iter().position(used).map_or(i64::MAX, |i| self.first + i as i64);
            let highest = self.counts.iter().rposition(used).map_or(i64::MIN, |i| self.first + i as i64);
            let (low, high) = (lowest.min(self.at(min)), highest.max(self.at(max)));
            if high - low < BINS as i64 {
                if low < self.first || high >= self.first + BINS as i64 {
                    self.rebin(low, 0);
                }
                return;
            }
            self.width *= 2.0;
            self.rebin(self.first >> 1, 1);
        }
    }

    /// Counts by bins that begin at `first`, with indices shifted right by `shift`.
    fn rebin(&mut self, first: i64, shift: u32) {
        let mut counts = vec![0u64; BINS];
        for (i, &n) in self.counts.iter().enumerate().filter(|(_, n)| **n > 0) {
            let to = ((self.first + i as i64) >> shift) - first;
            if let Some(slot) = usize::try_from(to).ok().and_then(|to| counts.get_mut(to)) {
                *slot += n;
            }
        }
        (self.counts, self.first) = (counts, first);
    }

    /// Least and largest element; none where nothing was seen.
    pub(crate) fn range(&self) -> Option<(f32, f32)> {
        (!self.counts.is_empty()).then_some((self.min, self.max))
    }

    /// Middles of the bins that hold something, with their counts.
    pub(crate) fn bins(&self) -> Vec<(f32, u64)> {
        let middle = |i: usize| ((self.first + i as i64) as f64 + 0.5) * f64::from(self.width);
        let used = self.counts.iter().enumerate().filter(|(_, n)| **n > 0);
        used.map(|(i, &n)| ((middle(i) as f32).clamp(self.min, self.max), n)).collect()
    }

    /// The element below which the part `q` of all lie, to the width of a bin.
    pub(crate) fn quantile(&self, q: f64) -> f32 {
        let total: u64 = self.counts.iter().sum();
        let wanted = q * total as f64;
        let mut seen = 0u64;
        for (i, &n) in self.counts.iter().enumerate().filter(|(_, n)| **n > 0) {
            if (seen + n) as f64 >= wanted {
                let within = ((wanted - seen as f64) / n as f64).clamp(0.0, 1.0);
                let x = ((self.first + i as i64) as f64 + within) * f64::from(self.width);
                return (x as f32).clamp(self.min, self.max);
            }
            seen += n;
        }
        self.max
    }

    /// As lists of numbers, exactly: counts in two halves of 24 bits and the rest.
    pub(crate) fn state(&self) -> Vec<(&'static str, Vec<f32>)> {
        let parts = |n: &u64| [(n & 0xff_ffff) as f32, ((n >> 24) & 0xff_ffff) as f32, (n >> 48) as f32];
        if self.counts.is_empty() {
            return Vec::new();
        }
        let first = [(self.first >> 24) as f32, (self.first & 0xff_ffff) as f32];
        vec![
            ("range", vec![self.min, self.max, self.width, first[0], first[1]]),
            ("counts", self.counts.iter().flat_map(parts).collect()),
        ]
    }

    /// Goes on from what [`Histogram::state`] gave.
    ///
    /// # Errors
    /// It is another observer's.
    pub(crate) fn load(state: &[(String, Vec<f32>)]) -> Result<Self> {
        let strange = |name: &str| Error::Other(format!("`{name}` is not what a histogram remembers"));
        let mut found = Self::default();
        for (name, numbers) in state {
            match (name.as_str(), numbers.as_slice()) {
                ("range", &[min, max, width, high, low]) if width > 0.0 => {
                    (found.min, found.max, found.width) = (min, max, width);
                    found.first = ((high as i64) << 24) | low as i64;
                }
                ("counts", all) if all.len() == 3 * BINS => {
                    let whole = |p: &[f32]| match p {
                        &[a, b, c] => a as u64 | (b as u64) << 24 | (c as u64) << 48,
                        _ => 0,
                    };
                    found.counts = all.chunks(3).map(whole).collect();
                }
                _ => return Err(strange(name)),
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(parts: &[&[f32]]) -> Histogram {
        let mut h = Histogram::default();
        for x in parts {
            let bounds = x.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(a, b), &v| (a.min(v), b.max(v)));
            h.add(x, bounds.0, bounds.1);
        }
        h
    }

    #[test]
    fn nothing_is_lost_when_the_range_grows() {
        let small: Vec<f32> = (0..1000).map(|i| i as f32 / 1000.0).collect();
        let large: Vec<f32> = (0..1000).map(|i| i as f32 - 700.0).collect();
        let h = of(&[&small, &large, &[5000.0], &[-9000.0]]);
        assert_eq!(h.bins().iter().map(|(_, n)| n).sum::<u64>(), 2002);
        assert_eq!(h.range(), Some((-9000.0, 5000.0)));
        assert!(h.quantile(0.0) <= -8990.0 && h.quantile(1.0) == 5000.0);
        // Half of all lie below 0 to 1, where the first thousand are.
        assert!((h.quantile(0.5)).abs() < 20.0, "{}", h.quantile(0.5));
    }

    #[test]
    fn quantiles_are_those_of_the_elements() {
        let x: Vec<f32> = (0..100_000).map(|i| (i as f32 / 100_000.0).powi(2)).collect();
        let h = of(&[&x]);
        for q in [0.1, 0.5, 0.9, 0.999] {
            let exact = (q as f32).powi(2);
            assert!((h.quantile(q) - exact).abs() < 2e-3, "{q}: {} {exact}", h.quantile(q));
        }
    }

    #[test]
    fn it_goes_on_from_what_it_remembers() {
        let (a, b) = ([-1.0f32, 0.5, 0.25], [3.0f32, -7.0, 0.1]);
        let begun = of(&[&a]);
        let state: Vec<(String, Vec<f32>)> =
            begun.state().into_iter().map(|(n, v)| (n.to_owned(), v)).collect();
        let mut resumed = Histogram::load(&state).unwrap();
        assert_eq!(resumed, begun);
        resumed.add(&b, -7.0, 3.0);
        assert_eq!(resumed, of(&[&a, &b]));
        assert!(Histogram::load(&[("min".into(), vec![1.0])]).is_err());
    }

    #[test]
    fn one_number_is_a_range_too() {
        let h = of(&[&[0.0, 0.0], &[0.0]]);
        assert_eq!((h.range(), h.quantile(0.5)), (Some((0.0, 0.0)), 0.0));
        let h = of(&[&[3.0], &[3.0]]);
        assert_eq!((h.range(), h.quantile(0.5)), (Some((3.0, 3.0)), 3.0));
    }
}

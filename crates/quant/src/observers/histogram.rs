//! The range that loses least, found in a histogram as PyTorch finds it.

use serde::Deserialize;

use super::count::count;
use super::{Follows, Observer, ObserverConfig, extremes, restore};
use crate::{Error, QParams, QScheme, Result};

/// `HistogramObserver(bins=2048, upsample_rate=128)`: a histogram of all that passes, and the range within it whose squared error of
/// rounding is smallest, one for a whole tensor.
///
/// As PyTorch 2.13's. That of PyTorch 1.13, which the original has, counts only what lies between whole numbers
/// (`min=int(min_val)`). Where the integers are not of 8 bits, the search is for as many levels as there are; PyTorch's is for 256.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HistogramObserver {
    /// Bins of the histogram.
    pub bins: usize,
    /// Into how many parts a bin is cut when the range grows and all are counted anew.
    pub upsample_rate: usize,
}

impl Default for HistogramObserver {
    fn default() -> Self {
        Self { bins: 2048, upsample_rate: 128 }
    }
}

impl ObserverConfig for HistogramObserver {
    fn observer(&self, scheme: QScheme) -> Box<dyn Observer> {
        Box::new(LeastNorm::new(scheme, *self))
    }

    fn follows(&self) -> Follows {
        Follows::Data
    }

    fn check(&self, scheme: &QScheme) -> Result<()> {
        if scheme.ch_axis.is_some() {
            return Err(Error::Other("a histogram gives one range for a tensor, not by channel".into()));
        }
        if !(1..=1 << 20).contains(&self.bins) || !(1..=1 << 10).contains(&self.upsample_rate) {
            return Err(Error::Other("`bins` must be in 1..=1048576, `upsample_rate` in 1..=1024".into()));
        }
        Ok(())
    }
}

/// The observer of [`HistogramObserver`].
#[derive(Debug, Clone)]
pub struct LeastNorm {
    scheme: QScheme,
    config: HistogramObserver,
    /// Elements by bin; parts of them after the range grew. Empty before anything was seen.
    counts: Vec<f32>,
    min: Vec<f32>,
    max: Vec<f32>,
}

/// Granularity of the search, in parts of all elements.
const STEP: f64 = 1e-5;

impl LeastNorm {
    /// Nothing observed yet.
    pub fn new(scheme: QScheme, config: HistogramObserver) -> Self {
        Self { scheme, config, counts: Vec::new(), min: Vec::new(), max: Vec::new() }
    }

    /// Least and largest element; none where nothing was seen.
    fn bounds(&self) -> Option<(f64, f64)> {
        match (self.min.as_slice(), self.max.as_slice()) {
            (&[min], &[max]) => Some((f64::from(min), f64::from(max))),
            _ => None,
        }
    }

    /// Elements by bin, from the least to the largest element.
    pub fn histogram(&self) -> &[f32] {
        &self.counts
    }

    /// Counts of `x` between `min` and `max`. A range of one number is widened by 1 on both sides.
    fn counted(&self, x: &[f32], (min, max): (f64, f64)) -> Vec<f32> {
        let (low, width) = if min == max { (min - 1.0, 2.0) } else { (min, max - min) };
        let bins = self.config.bins;
        count(x, low, bins as f64 / width, bins).into_iter().map(|n| n as f32).collect()
    }

    /// The counts so far, in bins of the range `to`: each bin is cut into `upsample_rate` parts, and each part counts where its
    /// middle lies.
    fn spread(&self, (min, max): (f64, f64), to: (f64, f64)) -> Vec<f64> {
        let (bins, parts) = (self.config.bins, self.config.upsample_rate);
        let mut spread = vec![0.0f64; bins];
        let mut add = |place: usize, n: f64| {
            if let Some(slot) = spread.get_mut(place) {
                *slot += n;
            }
        };
        let (per, last) = (bins as f64 / (to.1 - to.0), bins - 1);
        let place = |x: f64| (((x - to.0) * per).max(0.0) as usize).min(last);
        if min == max {
            add(place(min), self.counts.iter().map(|&n| f64::from(n)).sum());
            return spread;
        }
        let part = (max - min) / (bins * parts) as f64;
        let middle = |i: usize| min + (i as f64 + 0.5) * part;
        for (bin, &n) in self.counts.iter().enumerate().filter(|(_, n)| **n > 0.0) {
            let (n, first) = (f64::from(n), bin * parts);
            let (from, until) = (place(middle(first)), place(middle(first + parts - 1)));
            if from == until {
                add(from, n);
            } else {
                (first..first + parts).for_each(|i| add(place(middle(i)), n / parts as f64));
            }
        }
        spread
    }

    /// The range whose squared error is smallest: from both ends towards the middle, one quantile after the other, while the error
    /// becomes smaller. PyTorch's `_non_linear_param_search`, after caffe2's `norm_minimization.cc`.
    pub fn chosen(&self) -> Option<(f32, f32)> {
        let (min, max) = self.bounds()?;
        let mut sums = Vec::with_capacity(self.counts.len());
        let mut total = 0.0f64;
        for &n in &self.counts {
            total += f64::from(n);
            sums.push(total);
        }
        let sum = |i: usize| sums.get(i).copied().unwrap_or(total);
        let (mut alpha, mut beta, mut least) = (0.0f64, 1.0f64, f64::INFINITY);
        let (mut start, mut end) = (0, self.config.bins.saturating_sub(1));
        while alpha < beta {
            let (next_alpha, next_beta) = (alpha + STEP, beta - STEP);
            let (mut left, mut right) = (start, end);
            while left < end && sum(left) < next_alpha * total {
                left += 1;
            }
            while right > start && sum(right) > next_beta * total {
                right -= 1;
            }
            let (mut next_start, mut next_end) = (start, end);
            if left - start > end - right {
                (next_start, alpha) = (left, next_alpha);
            } else {
                (next_end, beta) = (right, next_beta);
            }
            if (next_start, next_end) == (start, end) {
                continue;
            }
            let norm = self.norm(max - min, next_start, next_end);
            if norm > least {
                break;
            }
            (least, start, end) = (norm, next_start, next_end);
        }
        let width = (max - min) / self.config.bins as f64;
        Some(((min + width * start as f64) as f32, (min + width * (end + 1) as f64) as f32))
    }

    /// The squared error of all elements, spread evenly over their bins, where the bins `start..=end` of the whole `range` are
    /// rounded to as many levels as there are integers.
    fn norm(&self, range: f64, start: usize, end: usize) -> f64 {
        const LANES: usize = 8;
        let width = range / self.config.bins as f64;
        let levels = f64::from(1u32 << self.scheme.bit.clamp(1, 16));
        let step = width * (end + 1 - start) as f64 / levels;
        if step <= 0.0 {
            return 0.0;
        }
        let (half, last) = (step / 2.0, levels - 1.0);
        let cube = |x: f64| x * x * x;
        // Of a whole level.
        let whole = (cube(half) - cube(-half)) / 3.0;
        // The level that a distance from the first one's beginning belongs to: rounded down, as it is not negative.
        let level = |x: f64| f64::from((x / step).max(0.0).min(last) as i32);
        let error = |bin: usize, n: f32| {
            let begin = (bin as f64 - start as f64) * width;
            let (first, second) = (level(begin), level(begin + width));
            let head = (cube(half) - cube(begin - (first + 0.5) * step)) / 3.0;
            let tail = (cube(begin + width - (second * step + half)) - cube(-half)) / 3.0;
            f64::from(n) / width * (head + (second - first - 1.0) * whole + tail)
        };
        let mut sums = [0.0f64; LANES];
        for (i, counts) in self.counts.chunks(LANES).enumerate() {
            for (lane, (sum, &n)) in sums.iter_mut().zip(counts).enumerate() {
                *sum += error(i * LANES + lane, n);
            }
        }
        sums.iter().sum()
    }
}

impl Observer for LeastNorm {
    fn observe(&mut self, x: &[f32], shape: &[usize]) -> Result<()> {
        if x.is_empty() {
            return Ok(());
        }
        let whole = QScheme { ch_axis: None, ..self.scheme };
        let (low, high) = extremes(&whole, x, shape)?;
        let (&[low], &[high]) = (low.as_slice(), high.as_slice()) else { return Ok(()) };
        let Some(before) = self.bounds() else {
            self.counts = self.counted(x, (low.into(), high.into()));
            (self.min, self.max) = (vec![low], vec![high]);
            return Ok(());
        };
        let now = (before.0.min(low.into()), before.1.max(high.into()));
        let mut counts = self.counted(x, now);
        if now == before {
            counts.iter_mut().zip(&self.counts).for_each(|(a, b)| *a += b);
        } else {
            let spread = self.spread(before, now);
            counts.iter_mut().zip(spread).for_each(|(a, b)| *a = (f64::from(*a) + b) as f32);
        }
        self.counts = counts;
        (self.min, self.max) = (vec![now.0 as f32], vec![now.1 as f32]);
        Ok(())
    }

    fn qparams(&self) -> Option<QParams> {
        let (low, high) = self.chosen()?;
        Some(QParams::of(&self.scheme, &[low], &[high]))
    }

    fn range(&self) -> (&[f32], &[f32]) {
        (&self.min, &self.max)
    }

    fn reset(&mut self) {
        *self = Self::new(self.scheme, self.config);
    }

    fn state(&self) -> Vec<(&'static str, Vec<f32>)> {
        if self.counts.is_empty() {
            return Vec::new();
        }
        vec![("min_val", self.min.clone()), ("max_val", self.max.clone()), ("histogram", self.counts.clone())]
    }

    fn load_state(&mut self, state: &[(String, Vec<f32>)]) -> Result<()> {
        let [min, max, counts] = restore(state, ["min_val", "max_val", "histogram"])?;
        if !counts.is_empty() && (counts.len() != self.config.bins || min.len() != 1 || max.len() != 1) {
            let (found, bins) = (counts.len(), self.config.bins);
            return Err(Error::Other(format!("a histogram of {found} bins, but this observer has {bins}")));
        }
        (self.min, self.max, self.counts) = (min, max, counts);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new() -> LeastNorm {
        LeastNorm::new(QScheme::activations(8), HistogramObserver::default())
    }

    #[test]
    fn elements_are_not_lost_where_the_range_grows() {
        let mut o = new();
        o.observe(&[2.0; 10], &[10]).unwrap();
        assert_eq!(o.chosen(), Some((2.0, 2.0)));
        let x: Vec<f32> = (0..1000).map(|i| (i as f32 * 0.7).sin()).collect();
        o.observe(&x, &[1000]).unwrap();
        let wide: Vec<f32> = x.iter().map(|v| v * 3.7).collect();
        o.observe(&wide, &[1000]).unwrap();
        let total: f64 = o.histogram().iter().map(|&n| f64::from(n)).sum();
        assert!((total - 2010.0).abs() < 1e-3, "{total}");
        assert!(o.observe(&[f32::INFINITY], &[1]).is_err());
    }

    #[test]
    fn it_goes_on_from_what_it_remembers() {
        let (mut whole, mut resumed) = (new(), new());
        let parts: [&[f32]; 2] = [&[-1.0, 0.5, 0.25, 0.3], &[3.0, -7.0, 0.1]];
        whole.observe(parts[0], &[4]).unwrap();
        let state: Vec<(String, Vec<f32>)> = whole.state().into_iter().map(|(n, v)| (n.into(), v)).collect();
        resumed.load_state(&state).unwrap();
        for o in [&mut whole, &mut resumed] {
            o.observe(parts[1], &[3]).unwrap();
        }
        assert_eq!(whole.histogram(), resumed.histogram());
        let config = HistogramObserver { bins: 16, ..HistogramObserver::default() };
        assert!(LeastNorm::new(QScheme::activations(8), config).load_state(&state).is_err());
        assert!(HistogramObserver::default().check(&QScheme::weights(8, Some(0))).is_err());
    }
}

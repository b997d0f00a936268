//! Ranges that leave outliers out: by percentile, least squared error, or least divergence.

use serde::Deserialize;

use super::streaming::Histogram;
use super::{Follows, Observer, ObserverConfig, extremes};
use crate::{Error, QParams, QScheme, Result};

/// How a range follows from a histogram.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// The middle part of all elements, in percent, as much left out below as above.
    Percentile(f64),
    /// The range that loses least: `Σ n · (x − x̂)²` over bins is smallest.
    Mse,
    /// The range whose rounded distribution tells most of the elements' own: the Kullback-Leibler divergence between the two is
    /// smallest (Migacz, 2017, "8-bit inference with TensorRT").
    Entropy,
}

/// `PercentileObserver(percentile=99.99)`: the range that holds this part of all elements, in percent.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PercentileObserver {
    /// Above 0 and at most 100.
    pub percentile: f64,
}

impl Default for PercentileObserver {
    fn default() -> Self {
        Self { percentile: 99.99 }
    }
}

impl ObserverConfig for PercentileObserver {
    fn observer(&self, scheme: QScheme) -> Box<dyn Observer> {
        Box::new(Ranged::new(scheme, Rule::Percentile(self.percentile)))
    }

    fn follows(&self) -> Follows {
        Follows::Data
    }

    fn check(&self, scheme: &QScheme) -> Result<()> {
        if !(self.percentile > 0.0 && self.percentile <= 100.0) {
            let found = self.percentile;
            return Err(Error::Other(format!(
                "`percentile` is {found}, but must be above 0 and at most 100"
            )));
        }
        one_range(scheme)
    }
}

/// `MSEObserver`: the range of [`Rule::Mse`].
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MSEObserver {}

impl ObserverConfig for MSEObserver {
    fn observer(&self, scheme: QScheme) -> Box<dyn Observer> {
        Box::new(Ranged::new(scheme, Rule::Mse))
    }

    fn follows(&self) -> Follows {
        Follows::Data
    }

    fn check(&self, scheme: &QScheme) -> Result<()> {
        one_range(scheme)
    }
}

/// `EntropyObserver`: the range of [`Rule::Entropy`].
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EntropyObserver {}

impl ObserverConfig for EntropyObserver {
    fn observer(&self, scheme: QScheme) -> Box<dyn Observer> {
        Box::new(Ranged::new(scheme, Rule::Entropy))
    }

    fn follows(&self) -> Follows {
        Follows::Data
    }

    fn check(&self, scheme: &QScheme) -> Result<()> {
        one_range(scheme)
    }
}

fn one_range(scheme: &QScheme) -> Result<()> {
    if scheme.ch_axis.is_none() {
        return Ok(());
    }
    Err(Error::Other("percentile, MSE and entropy give one range for a tensor, not by channel".into()))
}

/// Steps in which a range is made smaller.
const STEPS: usize = 100;

/// The least part of a range that is tried.
const LEAST: usize = 20;

/// An observer whose range is that of a rule: `PercentileObserver`, `MSEObserver` and `EntropyObserver`. One range for a whole
/// tensor.
#[derive(Debug, Clone)]
pub struct Ranged {
    scheme: QScheme,
    rule: Rule,
    seen: Histogram,
    min: Vec<f32>,
    max: Vec<f32>,
}

impl Ranged {
    /// Nothing observed yet.
    pub fn new(scheme: QScheme, rule: Rule) -> Self {
        Self { scheme, rule, seen: Histogram::default(), min: Vec::new(), max: Vec::new() }
    }

    /// The range of the rule; none where nothing was observed.
    pub fn chosen(&self) -> Option<(f32, f32)> {
        let (min, max) = self.seen.range()?;
        let (min, max) = (min.min(0.0), max.max(0.0));
        Some(match self.rule {
            Rule::Percentile(percent) => {
                let out = (100.0 - percent).clamp(0.0, 100.0) / 200.0;
                (self.seen.quantile(out).min(0.0), self.seen.quantile(1.0 - out).max(0.0))
            }
            Rule::Mse => best(min, max, |low, high| self.squares(low, high)),
            Rule::Entropy => best(min, max, |low, high| self.divergence(low, high)),
        })
    }

    /// What the grid of `low..=high` makes of `x`, as an integer from 0 on.
    fn index(&self, x: f32, scale: f32, zero: i32) -> i32 {
        let q = (x / scale).round_ties_even() + zero as f32;
        q.clamp(self.scheme.low() as f32, self.scheme.high() as f32) as i32 - self.scheme.low()
    }

    fn squares(&self, low: f32, high: f32) -> f64 {
        let (scale, zero) = self.scheme.qparams(low, high);
        let error = |x: f32| {
            let q = self.index(x, scale, zero) + self.scheme.low() - zero;
            f64::from(x - q as f32 * scale)
        };
        self.seen.bins().iter().map(|&(x, n)| n as f64 * error(x) * error(x)).sum()
    }

    /// `Σ p · ln(p / q)`: `p` counts of bins, those beyond the range in its last ones; `q` each integer's count spread evenly over
    /// the bins that become it.
    fn divergence(&self, low: f32, high: f32) -> f64 {
        let (scale, zero) = self.scheme.qparams(low, high);
        let bins = self.seen.bins();
        let total: f64 = bins.iter().map(|(_, n)| *n as f64).sum();
        let levels = (self.scheme.high() - self.scheme.low() + 1).max(1) as usize;
        let (mut inside, mut width) = (vec![0.0f64; levels], vec![0.0f64; levels]);
        let mut p: Vec<(usize, f64)> = Vec::with_capacity(bins.len());
        let (mut below, mut above) = (0.0, 0.0);
        for &(x, n) in &bins {
            let n = n as f64;
            if x < low {
                below += n;
                continue;
            }
            if x > high {
                above += n;
                continue;
            }
            let level = self.index(x, scale, zero).max(0) as usize;
            if let (Some(sum), Some(count)) = (inside.get_mut(level), width.get_mut(level)) {
                *sum += n;
                *count += 1.0;
            }
            p.push((level, n));
        }
        // What is clipped counts where it ends up, and the grid knows nothing of it.
        if let Some((_, n)) = p.first_mut() {
            *n += below;
        }
        if let Some((_, n)) = p.last_mut() {
            *n += above;
        }
        let kept: f64 = inside.iter().sum();
        if kept == 0.0 || total == 0.0 {
            return f64::INFINITY;
        }
        p.iter()
            .map(|&(level, n)| {
                let sum = inside.get(level).copied().unwrap_or(0.0);
                let q = sum / width.get(level).copied().unwrap_or(1.0).max(1.0) / kept;
                let p = n / total;
                if q > 0.0 { p * (p / q).ln() } else { p * 50.0 }
            })
            .sum()
    }
}

/// The range within `min..=max` of the least loss: first the same bound for both ends, then each end by turns, in steps of a
/// hundredth. One end after the other would stop where both together lose less.
fn best(min: f32, max: f32, loss: impl Fn(f32, f32) -> f64) -> (f32, f32) {
    let part = |x: f32, i: usize| x * i as f32 / STEPS as f32;
    let (mut low, mut high) = (min, max);
    let mut least = loss(low, high);
    let far = max.max(-min);
    for i in (LEAST..STEPS).rev() {
        let bound = part(far, i);
        let ends = (min.max(-bound), max.min(bound));
        let found = loss(ends.0, ends.1);
        if found < least {
            (least, low, high) = (found, ends.0, ends.1);
        }
    }
    for _ in 0..2 {
        let before = least;
        for i in (LEAST..STEPS).rev() {
            let found = loss(low, part(max, i));
            if found < least {
                (least, high) = (found, part(max, i));
            }
        }
        for i in (LEAST..STEPS).rev() {
            let found = loss(part(min, i), high);
            if found < least {
                (least, low) = (found, part(min, i));
            }
        }
        if least >= before {
            break;
        }
    }
    (low, high)
}

impl Observer for Ranged {
    fn observe(&mut self, x: &[f32], shape: &[usize]) -> Result<()> {
        one_range(&self.scheme)?;
        if x.is_empty() {
            return Ok(());
        }
        let (min, max) = extremes(&self.scheme, x, shape)?;
        if let (&[min], &[max]) = (min.as_slice(), max.as_slice()) {
            self.seen.add(x, min, max);
        }
        if let Some((min, max)) = self.seen.range() {
            (self.min, self.max) = (vec![min], vec![max]);
        }
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
        *self = Self::new(self.scheme, self.rule);
    }

    fn state(&self) -> Vec<(&'static str, Vec<f32>)> {
        self.seen.state()
    }

    fn load_state(&mut self, state: &[(String, Vec<f32>)]) -> Result<()> {
        self.seen = Histogram::load(state)?;
        if let Some((min, max)) = self.seen.range() {
            (self.min, self.max) = (vec![min], vec![max]);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A bell around 0 with one outlier far away.
    fn bell() -> Vec<f32> {
        let mut x: Vec<f32> = (0..20_000)
            .map(|i| {
                let u = (f64::from(i) + 0.5) / 20_000.0;
                // Logistic: closed form, tails like a bell's.
                (u / (1.0 - u)).ln() as f32 * 0.5
            })
            .collect();
        x.push(100.0);
        x
    }

    fn seen(rule: Rule, bits: u32) -> Ranged {
        let mut o = Ranged::new(QScheme::activations(bits), rule);
        let x = bell();
        for part in x.chunks(7000) {
            o.observe(part, &[part.len()]).unwrap();
        }
        o
    }

    #[test]
    fn a_percentile_leaves_outliers_out() {
        let (low, high) = seen(Rule::Percentile(99.9), 8).chosen().unwrap();
        assert!((-4.2..-3.2).contains(&low) && (3.2..4.2).contains(&high), "{low} {high}");
        let all = seen(Rule::Percentile(100.0), 8);
        assert_eq!(all.chosen().unwrap().1, 100.0);
        assert_eq!(all.range().1, [100.0]);
    }

    /// The search is over ranges whose loss is computed from the elements themselves here.
    #[test]
    fn least_squares_beat_the_whole_range() {
        let x = bell();
        let o = seen(Rule::Mse, 4);
        let grid = o.qparams().unwrap();
        let loss = |scale: f32, zero: i32| -> f64 {
            let value = |x: f32| {
                let q = ((x / scale).round_ties_even() + zero as f32).clamp(0.0, 15.0) - zero as f32;
                f64::from(x - q * scale)
            };
            x.iter().map(|&x| value(x) * value(x)).sum()
        };
        let (min, max) = o.seen.range().unwrap();
        let (scale, zero) = QScheme::activations(4).qparams(min, max);
        assert!(loss(grid.scale[0], grid.zero_point[0]) < 0.9 * loss(scale, zero));
    }

    /// No pair of ends in steps of a twentieth loses much less than the one that was found, end by end.
    #[test]
    fn both_ends_are_found() {
        for rule in [Rule::Mse, Rule::Entropy] {
            let o = seen(rule, 8);
            let loss = |low: f32, high: f32| match rule {
                Rule::Mse => o.squares(low, high),
                _ => o.divergence(low, high),
            };
            let (min, max) = o.seen.range().unwrap();
            let steps = || (4..21).map(|i| i as f32 / 20.0);
            let least =
                steps().flat_map(|a| steps().map(move |b| (a, b))).map(|(a, b)| loss(min * a, max * b));
            let (low, high) = o.chosen().unwrap();
            let (found, least) = (loss(low, high), least.fold(f64::INFINITY, f64::min));
            assert!(found <= 1.02 * least, "{rule:?}: {found} {least}");
        }
    }

    #[test]
    fn divergence_prefers_the_bell() {
        let (low, high) = seen(Rule::Entropy, 8).chosen().unwrap();
        assert!(high < 60.0 && high > 2.0 && low < -1.0, "{low} {high}");
        let mut channels = Ranged::new(QScheme::weights(8, Some(0)), Rule::Entropy);
        assert!(channels.observe(&[1.0], &[1]).is_err());
        assert!(Ranged::new(QScheme::activations(8), Rule::Mse).qparams().is_none());
    }
}

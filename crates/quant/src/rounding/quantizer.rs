//! Grids of rows of weights, by the rule of GPTQ's authors.

use crate::{Error, Result};

/// How grids follow from rows: `Quantizer.configure` of the original, under its names.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GridRule {
    /// Bits of an integer, 1 to 16.
    pub bits: u32,
    /// A grid for every row; else one for all.
    pub perchannel: bool,
    /// Whether ranges are symmetric around 0, with the zero point in the middle.
    pub sym: bool,
    /// Whether smaller ranges are tried for the least error.
    pub mse: bool,
    /// The power of errors in that search.
    pub norm: f64,
    /// Steps that a whole range is divided in, in that search.
    pub grid: u32,
    /// The part of a range that may go, in that search.
    pub maxshrink: f64,
    /// Three values instead of integers: the least, 0, the largest.
    pub trits: bool,
}

impl Default for GridRule {
    /// The original's: symmetric, one grid, the range of the elements; 4 bits.
    fn default() -> Self {
        Self {
            bits: 4,
            perchannel: false,
            sym: true,
            mse: false,
            norm: 2.4,
            grid: 100,
            maxshrink: 0.8,
            trits: false,
        }
    }
}

impl GridRule {
    /// 4 bits, asymmetric, a grid for every row: the original's `quant_with_default_qconfig`.
    pub fn per_row() -> Self {
        Self { perchannel: true, sym: false, ..Self::default() }
    }

    /// The largest integer.
    pub fn maxq(&self) -> i32 {
        (1 << self.bits.min(30)) - 1
    }
}

/// Grids of rows: integers `0..=maxq`, of which `zero` stands for 0.
///
/// Of trits `scale` is the largest value and `zero` the least.
#[derive(Debug, Clone, PartialEq)]
pub struct Grids {
    /// Size of a step, by row.
    pub scale: Vec<f32>,
    /// The integer that stands for 0, by row.
    pub zero: Vec<f32>,
    /// The largest integer.
    pub maxq: i32,
    /// See [`GridRule::trits`].
    pub trits: bool,
}

impl Grids {
    /// The grids of `rows` rows of the same length, which lie one after the other.
    ///
    /// `xmin = min(x, 0)`, `xmax = max(x, 0)`; symmetric: `±max(|xmin|, xmax)`; a row of zeros has −1 and 1. (The original
    /// leaves `xmin` of a symmetric row without negative elements at 0, and clips the upper half of it.)
    /// `scale = (xmax − xmin) / maxq`, `zero = (maxq + 1) / 2` or `round(−xmin / scale)`. With `mse` of the ranges
    /// `(1 − i / grid) · (xmin, xmax)` for `i < maxshrink · grid` that with the least `Σ |x − q|^norm`.
    ///
    /// # Errors
    /// There are no rows, an element is not finite, or there are no integers of that many bits.
    pub fn find(rule: &GridRule, x: &[f64], rows: usize) -> Result<Self> {
        if !(1..=16).contains(&rule.bits) {
            return Err(Error::Bits { bit: rule.bits });
        }
        if rows == 0 || x.is_empty() || !x.len().is_multiple_of(rows) {
            return Err(Error::Shape(format!("{} elements are not {rows} rows", x.len())));
        }
        if let Some(bad) = x.iter().find(|v| !v.is_finite()) {
            return Err(Error::NotFinite { name: "a weight".into(), what: bad.to_string() });
        }
        let maxq = rule.maxq();
        let mut found =
            Self { scale: Vec::with_capacity(rows), zero: Vec::with_capacity(rows), maxq, trits: rule.trits };
        let row = if rule.perchannel { x.len() / rows } else { x.len() };
        for x in x.chunks(row) {
            let (mut low, mut high) = x.iter().fold((0.0f64, 0.0f64), |(l, h), &v| (l.min(v), h.max(v)));
            if rule.sym {
                high = high.max(-low);
                low = -high;
            }
            if low == 0.0 && high == 0.0 {
                (low, high) = (-1.0, 1.0);
            }
            let (mut scale, mut zero) = (high as f32, low as f32);
            if !rule.trits {
                let of = |low: f64, high: f64| {
                    let scale = (high - low) / f64::from(maxq);
                    let middle = f64::from(maxq + 1) / 2.0;
                    (scale as f32, if rule.sym { middle } else { (-low / scale).round_ties_even() } as f32)
                };
                (scale, zero) = of(low, high);
                if rule.mse {
                    let mut best = f64::INFINITY;
                    let steps = (rule.maxshrink * f64::from(rule.grid)) as u32;
                    for i in 0..steps {
                        let p = 1.0 - f64::from(i) / f64::from(rule.grid);
                        let (s, z) = of(p * low, p * high);
                        let z = if rule.sym { zero } else { z };
                        let error = |&v: &f64| (v - quantize(v, s, z, maxq)).abs().powf(rule.norm);
                        let total: f64 = x.iter().map(error).sum();
                        if total < best {
                            (best, scale, zero) = (total, s, z);
                        }
                    }
                }
            }
            found.scale.push(scale);
            found.zero.push(zero);
        }
        if !rule.perchannel {
            found.scale.resize(rows, found.scale.first().copied().unwrap_or(1.0));
            found.zero.resize(rows, found.zero.first().copied().unwrap_or(0.0));
        }
        Ok(found)
    }

    /// `x`, an element of `row`, rounded to its grid.
    pub fn round(&self, row: usize, x: f64) -> f64 {
        let (Some(&scale), Some(&zero)) = (self.scale.get(row), self.zero.get(row)) else { return x };
        if self.trits {
            let (most, least) = (f64::from(scale), f64::from(zero));
            let above = if x > most / 2.0 { most } else { 0.0 };
            return above + if x < least / 2.0 { least } else { 0.0 };
        }
        quantize(x, scale, zero, self.maxq)
    }
}

/// `scale · (clamp(round(x / scale) + zero, 0, maxq) − zero)`, ties to even.
fn quantize(x: f64, scale: f32, zero: f32, maxq: i32) -> f64 {
    let (scale, zero) = (f64::from(scale), f64::from(zero));
    scale * (((x / scale).round_ties_even() + zero).clamp(0.0, f64::from(maxq)) - zero)
}

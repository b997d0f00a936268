//! Ranges of weights: all of what they span, or what loses least.

use occam_graph::ops::FakeQuant;
use occam_graph::{Graph, Weights};
use rayon::prelude::*;

use crate::passes::{Layer, Report};
use crate::ptq::bits;
use crate::{Error, QDtype, QParams, QScheme, Result};

/// How the range of a weight follows from its elements.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RangeRule {
    /// From the least to the largest.
    MinMax,
    /// Of the ranges `(1 − i / steps) · (min, max)`, `i ≤ shrink · steps`, the one with the least `Σ |w − ŵ|^norm`.
    Mse {
        /// Steps that the whole range is divided in.
        steps: u32,
        /// The part of the range that may go.
        shrink: f32,
        /// The power of errors: 2 for the mean squared error; GPTQ's authors take 2.4.
        norm: f32,
    },
}

impl RangeRule {
    /// The least squared error, of 80 ranges.
    pub fn mse() -> Self {
        Self::Mse { steps: 100, shrink: 0.8, norm: 2.0 }
    }
}

/// The grid of a weight of `shape`: one, or one for each index of the scheme's axis.
///
/// # Errors
/// There is no such axis or no element, an element is not finite, or the scheme has no integers.
pub fn grid_of(scheme: &QScheme, w: &[f32], shape: &[usize], rule: RangeRule) -> Result<QParams> {
    scheme.check()?;
    if let Some(bad) = w.iter().find(|x| !x.is_finite()) {
        return Err(Error::NotFinite { name: "a weight".into(), what: bad.to_string() });
    }
    let (channels, inner) = scheme.runs(shape)?;
    if w.is_empty() || channels == 0 || inner == 0 || shape.iter().product::<usize>() != w.len() {
        return Err(Error::Shape(format!("{} elements are no weight of shape {shape:?}", w.len())));
    }
    let one = |channel: usize| {
        let own = || w.chunks(inner).skip(channel).step_by(channels).flatten().copied();
        let (min, max) = own().fold((0.0f32, 0.0f32), |(l, h), x| (l.min(x), h.max(x)));
        let whole = scheme.qparams(min, max);
        let RangeRule::Mse { steps, shrink, norm } = rule else { return whole };
        let (low, high) = (scheme.low() as f32, scheme.high() as f32);
        let mut best = (f64::INFINITY, whole);
        for i in 0..=(shrink.clamp(0.0, 1.0) * steps as f32) as u32 {
            let part = 1.0 - i as f32 / steps.max(1) as f32;
            let (s, zero) = scheme.qparams(part * min, part * max);
            let (inverse, z) = (1.0 / s, zero as f32);
            let error = |x: f32| (((x * inverse).round_ties_even() + z).clamp(low, high) - z) * s - x;
            let sum: f64 = if norm == 2.0 {
                own().map(|x| f64::from(error(x)) * f64::from(error(x))).sum()
            } else {
                own().map(|x| f64::from(error(x).abs().powf(norm))).sum()
            };
            if sum < best.0 {
                best = (sum, (s, zero));
            }
        }
        best.1
    };
    let (scale, zero_point) = (0..channels).into_par_iter().map(one).unzip();
    Ok(QParams { scale, zero_point })
}

/// The scheme of a weight's rounding: without zero point where its integers have a sign.
fn scheme(op: &FakeQuant) -> QScheme {
    let signed = op.low < 0;
    QScheme {
        qdtype: if signed { QDtype::Qint8 } else { QDtype::Quint8 },
        bit: bits(op),
        is_symmetry: signed,
        is_symmetric_range: op.low == -op.high,
        ch_axis: op.axis,
        group: op.group,
    }
}

/// Sets the grids of all rounded weights of convolutions and linear layers by `rule`.
///
/// # Errors
/// A weight is missing or not finite.
pub fn choose_ranges(graph: &Graph, weights: &mut Weights, rule: RangeRule) -> Result<Report> {
    let mut report = Report::default();
    for layer in Layer::all(graph)? {
        let (Some(quant), Some((op, before))) = (&layer.quant, layer.grid(graph, weights)?) else {
            report.skip(&layer.name, "its weight is not rounded");
            continue;
        };
        let w = layer.floats(graph, weights)?;
        let grid = grid_of(&scheme(&op), &w, &layer.shape, rule).map_err(|e| match e {
            Error::NotFinite { what, .. } => Error::NotFinite { name: layer.name.clone(), what },
            other => other,
        })?;
        let least = grid.scale.iter().zip(&before.scale).map(|(a, b)| a / b).fold(f32::INFINITY, f32::min);
        quant.set(graph, weights, &grid)?;
        report.did(&layer.name, format!("steps down to {least:.3} of those before"));
    }
    Ok(report)
}

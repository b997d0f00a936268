//! Biases that make up for the mean error of rounding (Nagel et al., 2019, arXiv:1906.04721, section 4.2).

use std::collections::HashMap;

use occam_graph::ops::{Activation, Binary, PoolKind};
use occam_graph::{Graph, Op, ValueId, Weights};

use rayon::prelude::*;

use super::statistics::{Statistics, Sums};
use super::{Batches, Layer, Report, subgraph, watch};
use crate::Result;
use crate::lower::rounded;

/// The weights of `graph`, those of `reference` where it has them.
fn before(graph: &Graph, weights: &Weights, reference: &Weights) -> Weights {
    let mut all = weights.clone();
    for (_, value) in graph.params() {
        if let Some(array) = reference.get(&value.name) {
            all.insert(value.name.clone(), array.clone());
        }
    }
    all
}

/// What rounding a layer's weight adds to its result on average: `Σ (ŵ − w) · E[x]` by output channel, over the channels it
/// reads, as if nothing was padded. `means` has `E[x]` of each channel of what it reads; none where the weight is not rounded
/// or the means do not fit.
pub(crate) fn shift_of_means(
    graph: &Graph,
    weights: &Weights,
    reference: &Weights,
    layer: &Layer,
    means: &[f32],
) -> Result<Option<Vec<f32>>> {
    let Some((op, grid)) = layer.grid(graph, weights)? else { return Ok(None) };
    let (inputs, taps, row) = (layer.inputs(), layer.taps().max(1), layer.row().max(1));
    if means.len() != inputs * layer.groups() || !layer.outputs().is_multiple_of(layer.groups()) {
        return Ok(None);
    }
    let rounded = rounded(crate::ptq::known(graph, weights, layer.weight)?, &op, &grid)?;
    let exact = crate::ptq::known(graph, reference, layer.weight)?.as_f32()?;
    let per_group = (layer.outputs() / layer.groups()).max(1);
    let shift =
        rounded.par_chunks(row).zip(exact.par_chunks(row)).enumerate().map(|(o, (rounded, exact))| {
            let mut sum = 0.0f64;
            let first = o / per_group * inputs;
            let taps = rounded.chunks(taps).zip(exact.chunks(taps));
            for ((rounded, exact), &mean) in taps.zip(means.iter().skip(first)) {
                let error: f64 =
                    (rounded.iter().zip(exact)).map(|(&r, &w)| f64::from(r) - f64::from(w)).sum();
                sum += error * f64::from(mean);
            }
            sum as f32
        });
    Ok(Some(shift.collect()))
}

/// Takes `shift` from a layer's bias.
fn take(graph: &mut Graph, weights: &mut Weights, layer: &mut Layer, shift: &[f32]) -> Result<f32> {
    let b = layer.bias(graph, weights)?.iter().zip(shift).map(|(b, s)| b - s).collect();
    layer.set_bias(graph, weights, b)?;
    Ok(shift.iter().fold(0.0f32, |m, s| m.max(s.abs())))
}

const UNROUNDED: &str = "its weight is not rounded, or not by channels of its result";

/// Corrects all layers by the means of what they read in the float model: `Δb = −(Ŵ − W) · E[x]`, in one run of the data (the
/// fast bias correction of NNCF). `reference` has the weights before they were rounded or moved for rounding.
///
/// # Errors
/// The graph cannot be run on the data, or a weight is missing.
pub fn correct_biases_by_means(
    graph: &mut Graph,
    weights: &mut Weights,
    reference: &Weights,
    data: &dyn Batches,
) -> Result<Report> {
    let exact = before(graph, weights, reference);
    let layers: Vec<Layer> = Layer::all(graph)?.into_iter().filter(|l| l.quant.is_some()).collect();
    let mut eyes = Vec::with_capacity(layers.len());
    for layer in &layers {
        let rank = graph.value(layer.x)?.fact.rank();
        let axis = if layer.conv.is_some() { 1 } else { rank.saturating_sub(1) };
        eyes.push((layer.x, Sums::along(axis)));
    }
    let seen = watch(graph, &exact, eyes, false, data)?;
    let mut report = Report::default();
    for (mut layer, sums) in layers.into_iter().zip(seen) {
        match shift_of_means(graph, weights, &exact, &layer, &sums.mean())? {
            Some(shift) => {
                let most = take(graph, weights, &mut layer, &shift)?;
                report.did(&layer.name, format!("bias moved by up to {most:e}"));
            }
            None => report.skip(&layer.name, UNROUNDED),
        }
    }
    Ok(report)
}

/// Corrects layer after layer by running: what a layer gives in the rounded model, those before it corrected, gets the mean by
/// channel that it has in the float model. Covers rounded activations, paddings and clipping as well; takes a run of the part
/// before it for each layer. `reference` has the weights before they were rounded or moved for rounding.
///
/// # Errors
/// The graph cannot be run on the data, or a weight is missing.
pub fn correct_biases_by_runs(
    graph: &mut Graph,
    weights: &mut Weights,
    reference: &Weights,
    data: &dyn Batches,
) -> Result<Report> {
    let exact = before(graph, weights, reference);
    let layers: Vec<Layer> = Layer::all(graph)?.into_iter().filter(|l| l.quant.is_some()).collect();
    let mut eyes = Vec::with_capacity(layers.len());
    for layer in &layers {
        eyes.push((layer.y, Sums::along(layer.axis(graph)?)));
    }
    let wanted = watch(graph, &exact, eyes, false, data)?;
    let mut report = Report::default();
    for (mut layer, wanted) in layers.into_iter().zip(wanted) {
        let axis = layer.axis(graph)?;
        let part = subgraph(graph, graph.inputs(), &[layer.y])?;
        let y = part.outputs().first().map(|(_, v)| *v);
        let Some(y) = y else { continue };
        let found = watch(&part, weights, vec![(y, Sums::along(axis))], true, data)?;
        let found = found.first().map(Sums::mean).unwrap_or_default();
        let shift: Vec<f32> = found.iter().zip(wanted.mean()).map(|(f, w)| f - w).collect();
        if shift.len() != layer.outputs() {
            report.skip(&layer.name, "no data reached it");
            continue;
        }
        let most = take(graph, weights, &mut layer, &shift)?;
        report.did(&layer.name, format!("bias moved by up to {most:e}"));
    }
    Ok(report)
}

/// Density and distribution function of the standard normal distribution.
fn normal(x: f64) -> (f64, f64) {
    let density = (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
    (density, 0.5 * erfc(-x / std::f64::consts::SQRT_2))
}

/// `1 − erf(x)`, to 1.2e-7 of its value (Press et al., Numerical Recipes, section 6.2).
fn erfc(x: f64) -> f64 {
    const C: [f64; 10] = [
        -1.26551223,
        1.00002368,
        0.37409196,
        0.09678418,
        -0.18628806,
        0.27886807,
        -1.13520398,
        1.48851587,
        -0.82215223,
        0.17087277,
    ];
    let z = x.abs();
    let t = 1.0 / (1.0 + 0.5 * z);
    let series = C.iter().rev().fold(0.0, |sum, c| sum * t + c);
    let value = t * (-z * z + series).exp();
    if x >= 0.0 { value } else { 2.0 - value }
}

/// The mean of a normal variable clipped to `low..=high`; either may be infinite.
pub(crate) fn clipped_mean(mean: f64, deviation: f64, low: f64, high: f64) -> f64 {
    if deviation <= 0.0 {
        return mean.clamp(low, high);
    }
    let (a, b) = ((low - mean) / deviation, (high - mean) / deviation);
    let ((pa, ca), (pb, cb)) = (normal(a), normal(b));
    let below = if low.is_finite() { low * ca } else { 0.0 };
    let above = if high.is_finite() { high * (1.0 - cb) } else { 0.0 };
    below + above + mean * (cb - ca) + deviation * (pa - pb)
}

/// Means of a value's channels, and deviations where it is normal.
#[derive(Debug, Clone)]
struct Known {
    mean: Vec<f32>,
    deviation: Option<Vec<f32>>,
}

/// Corrects layers without data: `E[x]` follows from the statistics of the layers before (their batch normalization's `β` and
/// `|γ|`, see [`super::fold_batch_norm`]), as means of normal variables that ReLU or ReLU6 clips,
///
/// `E[max(x, 0)] = σ φ(−μ/σ) + μ (1 − Φ(−μ/σ))`.
///
/// Means pass through sums, average pooling, flattening and roundings. Layers are skipped whose input's mean is not known so,
/// such as the first. `reference` has the weights before they were rounded or moved for rounding.
///
/// # Errors
/// A weight is missing, or the graph breaks a rule.
pub fn correct_biases_by_statistics(
    graph: &mut Graph,
    weights: &mut Weights,
    reference: &Weights,
    statistics: &Statistics,
) -> Result<Report> {
    let exact = before(graph, weights, reference);
    let mut known: HashMap<ValueId, Known> = HashMap::new();
    for id in graph.order()? {
        let node = graph.node(id)?;
        let (Some(&x), &[y]) = (node.inputs.first(), node.outputs.as_slice()) else { continue };
        let clip = |known: &Known, low: f64, high: f64| {
            let deviation = known.deviation.as_ref()?;
            let mean = known.mean.iter().zip(deviation);
            let mean = mean.map(|(&m, &d)| clipped_mean(m.into(), d.into(), low, high) as f32).collect();
            Some(Known { mean, deviation: None })
        };
        let of = |v: &ValueId| known.get(v).cloned();
        let found = match &node.op {
            Op::Conv(_) | Op::Linear(_) => statistics
                .get(&node.name)
                .map(|m| Known { mean: m.mean.clone(), deviation: Some(m.deviation.clone()) }),
            Op::Activation(Activation::Relu) => of(&x).and_then(|k| clip(&k, 0.0, f64::INFINITY)),
            Op::Activation(Activation::Relu6) => of(&x).and_then(|k| clip(&k, 0.0, 6.0)),
            Op::FakeQuant(_) | Op::Dropout(_) => of(&x),
            Op::GlobalAvgPool(_) => of(&x).map(|k| Known { deviation: None, ..k }),
            Op::Pool(pool) => {
                let padded =
                    pool.padding != [0, 0] && pool.kind == (PoolKind::Average { count_include_pad: true });
                let average = matches!(pool.kind, PoolKind::Average { .. }) && !padded;
                of(&x).filter(|_| average).map(|k| Known { deviation: None, ..k })
            }
            Op::Flatten(flatten) if flatten.axis == 1 => of(&x).and_then(|k| {
                let features = graph.value(y).ok()?.fact.shape.get(1)?.known()?;
                let repeat = features / k.mean.len().max(1);
                let mean = k.mean.iter().flat_map(|&m| std::iter::repeat_n(m, repeat)).collect();
                Some(Known { mean, deviation: None })
            }),
            Op::Binary(Binary::Add) => {
                let other = node.inputs.get(1).and_then(of);
                let fits = |(a, b): &(Known, Known)| a.mean.len() == b.mean.len();
                of(&x).zip(other).filter(fits).map(|(a, b)| Known {
                    mean: a.mean.iter().zip(&b.mean).map(|(a, b)| a + b).collect(),
                    deviation: None,
                })
            }
            _ => None,
        };
        if let Some(found) = found {
            known.insert(y, found);
        }
    }
    let mut report = Report::default();
    for mut layer in Layer::all(graph)?.into_iter().filter(|l| l.quant.is_some()) {
        let Some(means) = known.get(&layer.x) else {
            report.skip(&layer.name, "the mean of what it reads does not follow from statistics");
            continue;
        };
        match shift_of_means(graph, weights, &exact, &layer, &means.mean)? {
            Some(shift) => {
                let most = take(graph, weights, &mut layer, &shift)?;
                report.did(&layer.name, format!("bias moved by up to {most:e}"));
            }
            None => report.skip(&layer.name, UNROUNDED),
        }
    }
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::clipped_mean;

    /// `E` of clipped normal variables by numerical integration in NumPy.
    #[test]
    fn means_of_what_is_clipped() {
        let inf = f64::INFINITY;
        for (mean, deviation, high, wanted) in [
            (0.0, 1.0, inf, 0.398_942_280_400_235_8),
            (0.5, 2.0, inf, 1.072_689_396_447_933_6),
            (-1.0, 0.5, inf, 0.004_245_351_308_441_815),
            (4.0, 3.0, 6.0, 3.673_826_403_652_524_8),
        ] {
            let found = clipped_mean(mean, deviation, 0.0, high);
            assert!((found - wanted).abs() < 2e-6, "{mean} {deviation}: {found} and {wanted}");
        }
        assert_eq!(clipped_mean(-2.0, 0.0, 0.0, inf), 0.0);
    }
}

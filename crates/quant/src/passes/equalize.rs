//! Ranges of neighbouring layers' channels made equal (Nagel et al., 2019, arXiv:1906.04721, section 4.1).

use std::collections::HashMap;

use occam_graph::ops::Activation;
use occam_graph::{Graph, Op, Patch, Weights};

use super::chain::{Chain, chain, each_input};
use super::statistics::Statistics;
use super::{Batches, Eye, Layer, Report, watch};
use crate::Result;

/// How [`equalize`] works.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Equalize {
    /// Times all pairs are visited, at most.
    pub iterations: usize,
    /// No factor of a visit further than this from 1 ends it.
    pub tolerance: f64,
}

impl Default for Equalize {
    fn default() -> Self {
        Self { iterations: 40, tolerance: 1e-3 }
    }
}

struct Pair {
    first: usize,
    second: usize,
    repeat: usize,
}

/// Makes the range of each channel equal in the weights on both sides of it: of the layer that computes it and of the one that
/// reads it.
///
/// `s = √(max|w₁ᵢ| / max|w₂ᵢ|)`, `w₁ᵢ / s`, `b₁ᵢ / s`, `w₂ᵢ · s`, over all pairs until nothing changes, so that chains such as
/// convolution, depthwise convolution, convolution agree as a whole. What the model computes stays the same, for a positive
/// factor passes through what may stand between: ReLU, leaky ReLU, pooling, dropout, flattening. Pairs with ReLU6 between are
/// skipped, for what it clips would change: call [`free_relu6`] first. Skipped are also pairs whose value has another reader,
/// such as a residual sum.
///
/// `statistics` of the layers (may be empty) are kept true.
///
/// # Errors
/// A weight is missing, or the graph breaks a rule.
pub fn equalize(
    graph: &mut Graph,
    weights: &mut Weights,
    statistics: &mut Statistics,
    options: Equalize,
) -> Result<Report> {
    let mut report = Report::default();
    let mut layers = Layer::all(graph)?;
    let index: HashMap<_, _> = layers.iter().enumerate().map(|(i, l)| (l.node, i)).collect();
    let mut pairs = Vec::new();
    for (first, layer) in layers.iter().enumerate() {
        match chain(graph, layer)? {
            Err(why) => report.skip(&layer.name, why),
            Ok(Chain { relu6: true, .. }) => report.skip(&layer.name, "ReLU6 behind it clips"),
            Ok(Chain { second, repeat, .. }) => match index.get(&second) {
                Some(&second) => pairs.push(Pair { first, second, repeat }),
                None => report.skip(&layer.name, "the weight of the layer behind it is computed"),
            },
        }
    }
    let mut w = Vec::with_capacity(layers.len());
    let mut b = Vec::with_capacity(layers.len());
    for layer in &layers {
        w.push(layer.floats(graph, weights)?);
        b.push(layer.bias(graph, weights)?);
    }
    let mut total: Vec<Vec<f64>> = layers.iter().map(|l| vec![1.0; l.outputs()]).collect();
    for _ in 0..options.iterations {
        let mut moved = 0.0f64;
        for pair in &pairs {
            let (Some(a), Some(z)) = (layers.get(pair.first), layers.get(pair.second)) else { continue };
            let channels = a.outputs();
            let mut reads = vec![0.0f32; channels];
            if let Some(w2) = w.get_mut(pair.second) {
                each_input(z, w2, |input, _, run| {
                    if let Some(r) = reads.get_mut(input / pair.repeat.max(1)) {
                        *r = run.iter().fold(*r, |m, x| m.max(x.abs()));
                    }
                });
            }
            let mut factors = vec![1.0f64; channels];
            if let Some(w1) = w.get_mut(pair.first) {
                for ((row, read), f) in w1.chunks_mut(a.row().max(1)).zip(&reads).zip(&mut factors) {
                    let gives = row.iter().fold(0.0f32, |m, x| m.max(x.abs()));
                    let s = (f64::from(gives) / f64::from(*read)).sqrt();
                    // A channel that nothing computes or reads has no range to share.
                    if gives > 0.0 && *read > 0.0 && s.is_finite() && s > 0.0 {
                        *f = s;
                        moved = moved.max((s - 1.0).abs());
                        row.iter_mut().for_each(|x| *x = (f64::from(*x) / s) as f32);
                    }
                }
            }
            if let Some(b1) = b.get_mut(pair.first) {
                b1.iter_mut().zip(&factors).for_each(|(b, s)| *b = (f64::from(*b) / s) as f32);
            }
            if let Some(w2) = w.get_mut(pair.second) {
                each_input(z, w2, |input, _, run| {
                    let s = factors.get(input / pair.repeat.max(1)).copied().unwrap_or(1.0);
                    run.iter_mut().for_each(|x| *x = (f64::from(*x) * s) as f32);
                });
            }
            if let Some(t) = total.get_mut(pair.first) {
                t.iter_mut().zip(&factors).for_each(|(t, f)| *t *= f);
            }
        }
        if moved <= options.tolerance {
            break;
        }
    }
    for pair in &pairs {
        let Some(t) = total.get(pair.first) else { continue };
        let (Some(a), Some(z)) = (layers.get(pair.first), layers.get(pair.second)) else { continue };
        let most = t.iter().fold(1.0f64, |m, &f| m.max(f).max(1.0 / f));
        report.did(&a.name, format!("shares ranges with `{}`, by factors up to {most:.3}", z.name));
        if let Some(moments) = statistics.get_mut(&a.name) {
            moments.mean.iter_mut().zip(t).for_each(|(m, f)| *m = (f64::from(*m) / f) as f32);
            moments.deviation.iter_mut().zip(t).for_each(|(d, f)| *d = (f64::from(*d) / f) as f32);
        }
    }
    let touched: Vec<bool> =
        (0..layers.len()).map(|i| pairs.iter().any(|p| p.first == i || p.second == i)).collect();
    for (i, ((layer, w), b)) in layers.iter_mut().zip(w).zip(b).enumerate() {
        if touched.get(i).copied().unwrap_or(false) {
            layer.set_weight(graph, weights, w)?;
            if layer.bias.is_some() {
                layer.set_bias(graph, weights, b)?;
            }
        }
    }
    graph.verify()?;
    Ok(report)
}

/// The largest element.
#[derive(Debug)]
struct Largest(f32);

impl Eye for Largest {
    fn see(&mut self, x: &[f32], _: &[usize]) -> Result<()> {
        self.0 = x.iter().fold(self.0, |m, &v| if v > m || v.is_nan() { v } else { m });
        Ok(())
    }
}

/// Makes ReLU of each ReLU6 that stands behind a layer in a pair of [`equalize`] and never clips on `data`: what it reads
/// stays below `6 / margin`. Those that clip are skipped.
///
/// # Errors
/// The graph cannot be run on the data.
pub fn free_relu6(graph: &mut Graph, weights: &Weights, data: &dyn Batches, margin: f32) -> Result<Report> {
    let mut report = Report::default();
    let mut found = Vec::new();
    for (id, node) in graph.nodes() {
        if let (Op::Activation(Activation::Relu6), Some(&x)) = (&node.op, node.inputs.first()) {
            found.push((id, node.name.clone(), x));
        }
    }
    if found.is_empty() {
        return Ok(report);
    }
    let eyes = found.iter().map(|(_, _, x)| (*x, Largest(f32::NEG_INFINITY))).collect();
    let seen = watch(graph, weights, eyes, false, data)?;
    let mut patch = Patch::new("free_relu6");
    for ((id, name, _), Largest(most)) in found.iter().zip(seen) {
        if most * margin < 6.0 {
            patch.set_op(*id, Activation::Relu);
            report.did(name, format!("is ReLU: what it reads is at most {most}"));
        } else {
            report.skip(name, format!("it clips: what it reads reaches {most}"));
        }
    }
    patch.apply(graph)?;
    Ok(report)
}

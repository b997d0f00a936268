//! Batch normalization as part of the layer before it.

use occam_graph::{Graph, Op, Patch, Source, Weights};

use super::{Layer, Moments, Report, Statistics, sole_reader};
use crate::Result;
use crate::ptq::known;

/// Replaces a convolution or linear layer followed by batch normalization with one layer of equal output.
///
/// `w' = w · γ / √(σ² + ε)`, `b' = (b − μ) · γ / √(σ² + ε) + β`, computed in `f64`. Skipped, with the reason recorded, where
/// the layer's result has another reader, its weight is computed, or something else stands before the normalization.
///
/// Gives also what normalization said of the results of these layers, by node: mean `β` and deviation `|γ|`.
///
/// # Errors
/// A parameter is missing, or the graph breaks a rule.
pub fn fold_batch_norm(graph: &mut Graph, weights: &mut Weights) -> Result<(Report, Statistics)> {
    let (mut report, mut statistics) = (Report::default(), Statistics::new());
    for id in graph.order()? {
        let node = graph.node(id)?.clone();
        let Op::BatchNorm(norm) = &node.op else { continue };
        let (&[x, gamma, beta, mean, var], &[y]) = (node.inputs.as_slice(), node.outputs.as_slice()) else {
            continue;
        };
        let from = match graph.value(x)?.source {
            Source::Node(from, _) => from,
            _ => {
                report.skip(&node.name, "it reads what no layer gives");
                continue;
            }
        };
        let before = graph.node(from)?;
        let Some(mut layer) = Layer::of(graph, from)? else {
            let kind = before.op.family().name();
            report.skip(
                &node.name,
                format!("`{}` before it is {kind}, no layer with a known weight", before.name),
            );
            continue;
        };
        if sole_reader(graph, x) != Some((id, 0)) {
            report.skip(&node.name, format!("the result of `{}` has another reader", layer.name));
            continue;
        }
        if layer.axis(graph)? != 1 {
            report.skip(&node.name, format!("the channels of `{}` are not on axis 1", layer.name));
            continue;
        }
        if [gamma, beta, mean, var].iter().any(|&v| known(graph, weights, v).is_err()) {
            report.skip(&node.name, "its parameters are computed");
            continue;
        }
        let of = |v| -> Result<Vec<f64>> {
            Ok(known(graph, weights, v)?.as_f32()?.iter().map(|&x| f64::from(x)).collect())
        };
        let (gamma, beta, mean, var) = (of(gamma)?, of(beta)?, of(mean)?, of(var)?);
        let factor: Vec<f64> = gamma.iter().zip(&var).map(|(g, v)| g / (v + norm.eps).sqrt()).collect();
        let mut w = layer.floats(graph, weights)?;
        for (row, f) in w.chunks_mut(layer.row().max(1)).zip(&factor) {
            row.iter_mut().for_each(|x| *x = (f64::from(*x) * f) as f32);
        }
        let b = layer.bias(graph, weights)?;
        let b = (b.iter().zip(&factor).zip(mean.iter().zip(&beta)))
            .map(|((&b, f), (m, beta))| ((f64::from(b) - m) * f + beta) as f32)
            .collect();
        layer.set_weight(graph, weights, w)?;
        layer.set_bias(graph, weights, b)?;
        let named = node.inputs.iter().skip(1).map(|&v| graph.value(v).map(|v| v.name.clone()));
        let names = named.collect::<occam_graph::Result<Vec<String>>>()?;
        let mut patch = Patch::new("fold_batch_norm");
        patch.replace(y, x);
        patch.remove(id);
        patch.apply(graph)?;
        for name in names.into_iter().filter(|n| graph.find(n).is_none()) {
            weights.shift_remove(&name);
        }
        report.did(&layer.name, format!("has `{}` in its weight", node.name));
        let moments = Moments {
            mean: beta.iter().map(|&b| b as f32).collect(),
            deviation: gamma.iter().map(|g| g.abs() as f32).collect(),
        };
        statistics.insert(layer.name.clone(), moments);
    }
    graph.verify()?;
    Ok((report, statistics))
}

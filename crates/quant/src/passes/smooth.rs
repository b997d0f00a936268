//! Ranges moved from activations into weights (Xiao et al., 2022, arXiv:2211.10438).

use occam_graph::{Graph, NodeId, Op, ValueId, Weights};

use super::chain::each_input;
use super::layer::set_operand;
use super::{Batches, Eye, Layer, Report, watch};
use crate::Result;
use crate::ptq::known;

/// How [`smooth`] divides ranges.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Smooth {
    /// The part of an activation's range that moves into weights, 0 to 1.
    pub alpha: f32,
}

impl Default for Smooth {
    fn default() -> Self {
        Self { alpha: 0.5 }
    }
}

/// Least factor and range, so that nothing is divided by 0.
const LEAST: f32 = 1e-5;

/// The largest `|x|` along the last axis.
#[derive(Debug, Default)]
struct Largest(Vec<f32>);

impl Eye for Largest {
    fn see(&mut self, x: &[f32], shape: &[usize]) -> Result<()> {
        let features = shape.last().copied().unwrap_or(0).max(1);
        self.0.resize(features, 0.0);
        for row in x.chunks(features) {
            self.0.iter_mut().zip(row).for_each(|(m, v)| *m = m.max(v.abs()));
        }
        Ok(())
    }
}

/// The linear layers that read a value, also behind transpositions that leave its last axis where it is, or who else does.
fn linears(graph: &Graph, v: ValueId, found: &mut Vec<NodeId>) -> Result<Option<String>> {
    if graph.outputs().iter().any(|(_, o)| *o == v) {
        return Ok(Some("the model gives its result".into()));
    }
    let rank = graph.value(v)?.fact.rank();
    for (id, slot) in graph.readers(v) {
        let node = graph.node(id)?;
        match (&node.op, node.outputs.as_slice()) {
            (Op::Linear(_), _) if slot == 0 && Layer::of(graph, id)?.is_some() => found.push(id),
            (Op::Transpose(t), &[y]) if t.perm.last().is_some_and(|&p| p + 1 == rank) => {
                if let Some(why) = linears(graph, y, found)? {
                    return Ok(Some(why));
                }
            }
            (Op::Dropout(_), &[y]) => {
                if let Some(why) = linears(graph, y, found)? {
                    return Ok(Some(why));
                }
            }
            _ => return Ok(Some(format!("`{}` reads its result, too", node.name))),
        }
    }
    Ok(None)
}

/// Divides the result of layer normalizations by `s` and multiplies the weights of all linear layers that read it by `s`,
/// feature by feature: what the model computes stays the same, and outliers of activations become smaller.
///
/// `s_j = max|X_j|^α / max|W_j|^(1 − α)` with the largest elements on `data` and over the weights of all readers; `γ / s`,
/// `β / s`, `W_j · s`. A normalization whose result something else reads, such as a residual sum, is skipped.
///
/// # Errors
/// The graph cannot be run on the data, or a weight is missing.
pub fn smooth(
    graph: &mut Graph,
    weights: &mut Weights,
    data: &dyn Batches,
    options: Smooth,
) -> Result<Report> {
    let mut report = Report::default();
    let mut found = Vec::new();
    for id in graph.order()? {
        let node = graph.node(id)?;
        let (Op::LayerNorm(_), &[_, gamma, beta], &[y]) =
            (&node.op, node.inputs.as_slice(), node.outputs.as_slice())
        else {
            continue;
        };
        let mut readers = Vec::new();
        match linears(graph, y, &mut readers)? {
            Some(why) => report.skip(&node.name, why),
            None if readers.is_empty() => report.skip(&node.name, "no linear layer reads its result"),
            None if known(graph, weights, gamma).is_err() || known(graph, weights, beta).is_err() => {
                report.skip(&node.name, "its parameters are computed");
            }
            None => found.push((id, y, readers)),
        }
    }
    if found.is_empty() {
        return Ok(report);
    }
    let eyes = found.iter().map(|(_, y, _)| (*y, Largest::default())).collect();
    let seen = watch(graph, weights, eyes, false, data)?;
    for ((id, _, readers), Largest(range)) in found.into_iter().zip(seen) {
        let mut layers = Vec::with_capacity(readers.len());
        let mut widest = vec![0.0f32; range.len()];
        for reader in readers {
            let Some(layer) = Layer::of(graph, reader)? else { continue };
            let mut w = layer.floats(graph, weights)?;
            each_input(&layer, &mut w, |input, _, run| {
                if let Some(m) = widest.get_mut(input) {
                    *m = run.iter().fold(*m, |m, x| m.max(x.abs()));
                }
            });
            layers.push((layer, w));
        }
        let s: Vec<f32> = (range.iter().zip(&widest))
            .map(|(x, w)| x.max(LEAST).powf(options.alpha) / w.max(LEAST).powf(1.0 - options.alpha))
            .map(|s| s.max(LEAST))
            .collect();
        let most = s.iter().fold(0.0f32, |m, &s| m.max(s));
        for (mut layer, mut w) in layers {
            each_input(&layer, &mut w, |input, _, run| {
                let s = s.get(input).copied().unwrap_or(1.0);
                run.iter_mut().for_each(|x| *x *= s);
            });
            layer.set_weight(graph, weights, w)?;
        }
        let node = graph.node(id)?.clone();
        for (slot, what) in [(1, "weight"), (2, "bias")] {
            let Some(&v) = node.inputs.get(slot) else { continue };
            let old = known(graph, weights, v)?;
            let new = old.as_f32()?.iter().zip(&s).map(|(x, s)| x / s).collect();
            let array = occam_graph::Array::from_f32(old.shape(), new)?;
            set_operand(graph, weights, (id, slot), &format!("{}.{what}", node.name), array)?;
        }
        report.did(&node.name, format!("divided by up to {most:.3}"));
    }
    graph.verify()?;
    Ok(report)
}

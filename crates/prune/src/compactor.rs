//! Compactors: 1x1 convolutions behind normalized convolutions, from which it is learned which channels go (Ding et al., ResRep,
//! 2021, arXiv:2007.03260).

use occam_graph::ops::{Activation, Binary, Conv};
use occam_graph::{Array, Fact, Graph, NodeId, Op, Patch, Role, Source, ValueId, Weights, Wire};
use occam_space::{Selection, Trace, TraceOptions, Unit, shrink, trace};

use crate::importance::axes::{Part, parts};
use crate::{Error, Result};

/// Where a compactor is.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    /// Its unit, by position in the trace of the graph without compactors.
    pub unit: usize,
    /// Number of channels.
    pub channels: usize,
    /// The convolution and the normalization in front of it.
    pub conv: String,
    /// The normalization.
    pub norm: String,
    /// The compactor's node.
    pub node: String,
    /// Its weight, `[channels, channels, 1, 1]`.
    pub weight: String,
}

/// Where `graph` may have a compactor: by unit of `units` that can be pruned its place, or why it has none.
///
/// A unit has one where a single convolution computes it, its only reader is a normalization, and a channel that is 0 behind
/// that stays 0 up to the layers that read it: so that removing a channel whose row of the compactor is 0 changes nothing.
/// Residual streams have none, as in the paper's networks with bottlenecks: several layers add to them.
pub fn places(graph: &Graph, units: &Trace) -> Vec<(usize, Result<Place, String>)> {
    let prunable = units.units.iter().enumerate().filter(|(_, u)| u.kept_by.is_none());
    prunable.map(|(i, unit)| (i, place(graph, i, unit))).collect()
}

fn place(graph: &Graph, index: usize, unit: &Unit) -> Result<Place, String> {
    let broken = |e: occam_graph::Error| e.to_string();
    let parts = parts(graph);
    let computing: Vec<_> = unit
        .members
        .iter()
        .filter(|m| parts.get(&m.value) == Some(&Part::Weight { output: m.axis }))
        .collect();
    let [weight] = computing.as_slice() else {
        return Err(format!("{} layers compute it", computing.len()));
    };
    let [(conv_id, 1)] = graph.readers(weight.value)[..] else {
        return Err("its weight is used more than once".into());
    };
    let conv = graph.node(conv_id).map_err(broken)?;
    let (Op::Conv(op), &[out]) = (&conv.op, conv.outputs.as_slice()) else {
        return Err(format!("`{}` is no convolution", conv.name));
    };
    let in_order = (0..unit.channels).all(|c| weight.of(c) == [c as u32]);
    if op.groups != 1 || weight.axis != 0 || !in_order {
        return Err(format!("`{}` is grouped, or its channels are several", conv.name));
    }
    let norm = match graph.readers(out)[..] {
        [(id, 0)] if graph.outputs().iter().all(|(_, v)| *v != out) => graph.node(id).map_err(broken)?,
        _ => return Err(format!("`{}` is not read by a normalization alone", conv.name)),
    };
    if !matches!(norm.op, Op::BatchNorm(_)) {
        return Err(format!("`{}` is not followed by batch normalization", conv.name));
    }
    let own: Vec<ValueId> = conv.inputs.iter().chain(&norm.inputs).copied().collect();
    for member in &unit.members {
        let value = graph.value(member.value).map_err(broken)?;
        let reads =
            matches!(parts.get(&member.value), Some(Part::Weight { output }) if *output != member.axis);
        match value.source {
            Source::Param(_) if own.contains(&member.value) => {
                let shared = graph.readers(member.value).len() > 1;
                if shared {
                    return Err(format!("`{}` is used more than once", value.name));
                }
            }
            Source::Param(_) if reads => {}
            Source::Param(_) | Source::Const => {
                return Err(format!("`{}` makes channels that are 0 something else", value.name));
            }
            Source::Input | Source::Node(..) => {
                for (id, _) in graph.readers(member.value) {
                    let node = graph.node(id).map_err(broken)?;
                    if !keeps_zero(&node.op) && node.name != norm.name {
                        return Err(format!("`{}` makes channels that are 0 something else", node.name));
                    }
                }
            }
        }
    }
    let (conv, norm) = (conv.name.clone(), norm.name.clone());
    let node = format!("{conv}.compactor");
    let weight = format!("{node}.weight");
    if graph.find(&weight).is_some() || graph.find_node(&node).is_some() {
        return Err(format!("there is a `{node}` already"));
    }
    Ok(Place { unit: index, channels: unit.channels, conv, norm, node, weight })
}

/// Whether a channel that is 0 is 0 behind it, or is read there by weights.
fn keeps_zero(op: &Op) -> bool {
    match op {
        Op::Activation(a) => !matches!(a, Activation::Sigmoid | Activation::HardSigmoid { .. }),
        Op::Binary(Binary::Add | Binary::Mul) => true,
        Op::AdaptivePad(_)
        | Op::ChannelShuffle(_)
        | Op::Concat(_)
        | Op::Conv(_)
        | Op::Dropout(_)
        | Op::Flatten(_)
        | Op::GlobalAvgPool(_)
        | Op::Linear(_)
        | Op::MatMul(_)
        | Op::Pool(_)
        | Op::Slice(_)
        | Op::Transpose(_)
        | Op::Unflatten(_) => true,
        _ => false,
    }
}

fn node_of(graph: &Graph, name: &str) -> Result<NodeId> {
    let missing = || occam_graph::Error::Graph(format!("there is no node `{name}`"));
    Ok(graph.find_node(name).ok_or_else(missing)?)
}

fn output_of(graph: &Graph, node: NodeId) -> Result<ValueId> {
    let node = graph.node(node)?;
    let missing = || occam_graph::Error::Graph(format!("`{}` has no output", node.name));
    Ok(node.outputs.first().copied().ok_or_else(missing)?)
}

/// `graph` with a compactor behind the normalization of each place; all readers of that read the compactor.
///
/// # Errors
/// The places are of another graph.
pub fn insert(graph: &Graph, places: &[Place]) -> Result<Graph> {
    let mut with = graph.clone();
    let mut patch = Patch::new("insert_compactors");
    for place in places {
        let out = output_of(graph, node_of(graph, &place.norm)?)?;
        let fact = Fact::f32([place.channels, place.channels, 1, 1]);
        let weight = patch.param(&place.weight, fact, Role::Weight);
        let compacted = patch.node(&place.node, Conv::default(), [out.into(), weight]);
        patch.replace(out, compacted);
    }
    patch.apply(&mut with)?;
    Ok(with)
}

/// The weight of a compactor that changes nothing.
pub fn identity(channels: usize) -> Result<Array> {
    let mut data = vec![0f32; channels * channels];
    data.iter_mut().step_by(channels + 1).for_each(|x| *x = 1.0);
    Ok(Array::from_f32([channels, channels, 1, 1], data)?)
}

/// The Euclidean norms of the rows of a compactor.
pub fn row_norms(weight: &[f32], channels: usize) -> Vec<f64> {
    let square = |x: &f32| f64::from(*x) * f64::from(*x);
    weight.chunks(channels.max(1)).map(|row| row.iter().map(square).sum::<f64>().sqrt()).collect()
}

/// The model without compactors that computes the same as `graph`, the model without them, does with them: convolution,
/// normalization and compactor become one convolution, and channels whose row has a norm below `threshold` are gone.
///
/// With `s = γ / √(σ² + ε)` and the compactor `Q` the convolution has the weight `Q · (s · w)` and the bias `Q · (s · (b − μ) + β)`:
/// what evaluation computes. `weights` are those with compactors; a unit keeps the channel with the largest row at least.
///
/// # Errors
/// A weight is missing, or the places are of another graph.
pub fn merge(graph: &Graph, weights: &Weights, places: &[Place], threshold: f64) -> Result<(Graph, Weights)> {
    let (mut merged, mut all) = (graph.clone(), weights.clone());
    let mut patch = Patch::new("merge_compactors");
    let mut keep: Vec<(String, Vec<bool>)> = Vec::new();
    for place in places {
        let (conv_id, norm_id) = (node_of(graph, &place.conv)?, node_of(graph, &place.norm)?);
        let (conv, norm) = (graph.node(conv_id)?, graph.node(norm_id)?);
        let Op::BatchNorm(op) = &norm.op else {
            return Err(occam_graph::Error::Graph(format!("`{}` is no normalization", place.norm)).into());
        };
        let floats = |name: &str| -> Result<(Vec<usize>, Vec<f64>)> {
            let wrong = |message: String| Error::Weights { name: name.to_owned(), message };
            let array = weights.get(name).ok_or_else(|| wrong("is not among the weights".into()))?;
            let single = array.to_f32().map_err(|e| wrong(e.to_string()))?;
            Ok((array.shape().to_vec(), single.as_f32()?.iter().map(|&x| f64::from(x)).collect()))
        };
        let input = |inputs: &[ValueId], i: usize| -> Result<Option<String>> {
            Ok(inputs.get(i).map(|&v| graph.value(v)).transpose()?.map(|v| v.name.clone()))
        };
        let required = |inputs: &[ValueId], i: usize| -> Result<(Vec<usize>, Vec<f64>)> {
            floats(&input(inputs, i)?.unwrap_or_default())
        };
        let weight_name = input(&conv.inputs, 1)?.unwrap_or_default();
        let (shape, weight) = floats(&weight_name)?;
        let own_bias = input(&conv.inputs, 2)?;
        let bias = match &own_bias {
            Some(name) => floats(name)?.1,
            None => vec![0.0; place.channels],
        };
        let [gamma, beta, mean, var] = [1, 2, 3, 4].map(|i| required(&norm.inputs, i).map(|(_, data)| data));
        let (gamma, beta, mean, var) = (gamma?, beta?, mean?, var?);
        let (_, compactor) = floats(&place.weight)?;
        let row = weight.len() / place.channels.max(1);
        let scale: Vec<f64> = gamma.iter().zip(&var).map(|(g, v)| g / (v + op.eps).sqrt()).collect();
        let shift: Vec<f64> = (bias.iter().zip(&mean).zip(scale.iter().zip(&beta)))
            .map(|((b, m), (s, beta))| (b - m) * s + beta)
            .collect();
        let (mut new_weight, mut new_bias) = (Vec::with_capacity(weight.len()), Vec::new());
        for q in compactor.chunks(place.channels.max(1)) {
            let mut sum = vec![0f64; row];
            for ((w, s), q) in weight.chunks(row.max(1)).zip(&scale).zip(q) {
                sum.iter_mut().zip(w).for_each(|(sum, w)| *sum += q * s * w);
            }
            new_weight.extend(sum.into_iter().map(|x| x as f32));
            new_bias.push(q.iter().zip(&shift).map(|(q, s)| q * s).sum::<f64>() as f32);
        }
        let bias_name = own_bias.unwrap_or_else(|| fresh(graph, &weight_name, &place.conv));
        let &[x, w, ..] = conv.inputs.as_slice() else {
            return Err(occam_graph::Error::Graph(format!("`{}` has no weight", place.conv)).into());
        };
        let b: Wire = match conv.inputs.get(2) {
            Some(&b) => b.into(),
            None => patch.param(&bias_name, Fact::f32([place.channels]), Role::Weight),
        };
        patch.set_node(conv_id, conv.op.clone(), [x.into(), w.into(), b]);
        patch.replace(output_of(graph, norm_id)?, output_of(graph, conv_id)?);
        patch.remove(norm_id);
        all.insert(weight_name.clone(), Array::from_f32(shape, new_weight)?);
        all.insert(bias_name, Array::from_f32([place.channels], new_bias)?);
        let single: Vec<f32> = compactor.iter().map(|&x| x as f32).collect();
        keep.push((weight_name, kept_rows(&row_norms(&single, place.channels), threshold)));
    }
    patch.apply(&mut merged)?;
    all.retain(|name, _| merged.find(name).is_some());
    let units = trace(&merged, &TraceOptions::default())?;
    let mut selection = Selection::all(&units);
    for (weight, rows) in keep {
        let unit = units.units.iter().position(|u| {
            let computes = |m: &occam_space::Member| {
                m.axis == 0 && merged.value(m.value).is_ok_and(|v| v.name == weight)
            };
            u.kept_by.is_none() && u.members.iter().any(computes)
        });
        if let Some(unit) = unit {
            selection.set(&units, unit, rows)?;
        }
    }
    Ok(shrink(&merged, &all, &units, &selection)?)
}

/// A name for the bias of a convolution that has none.
fn fresh(graph: &Graph, weight: &str, conv: &str) -> String {
    let mut name = match weight.strip_suffix(".weight") {
        Some(module) => format!("{module}.bias"),
        None => format!("{conv}.bias"),
    };
    while graph.find(&name).is_some() {
        name.push_str("_merged");
    }
    name
}

/// Which channels stay: those whose row is not below `threshold`, and the largest in any case.
pub fn kept_rows(norms: &[f64], threshold: f64) -> Vec<bool> {
    let largest = (0..norms.len()).max_by(|&a, &b| {
        let at = |i: usize| norms.get(i).copied().unwrap_or(0.0);
        at(a).total_cmp(&at(b)).then(b.cmp(&a))
    });
    norms.iter().enumerate().map(|(i, &n)| n >= threshold || Some(i) == largest).collect()
}

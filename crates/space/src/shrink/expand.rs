//! Models with more channels.

use std::collections::{HashMap, HashSet};

use occam_graph::{Graph, Op, Source, ValueId, Weights};

use super::cuts::Cuts;
use super::{Fill, resize};
use crate::{Error, Member, Result, Trace, TraceOptions, Unit};

/// `graph` with `weights` where units have as many channels as `widths` says, at least as many as they have.
///
/// New channels come after those of their unit, and compute 0: their filters and biases, and what reads them, are 0; scales
/// and variances of normalizations are 1. So outputs stay as they were, and new channels can learn. (MMRazor's
/// `expand_static_model` with `zero_weight=True`.)
///
/// `options` are those of the trace. The wider graph is traced again: its units must be those of `trace` with the new channels,
/// element by element, so that without them it would be `graph` again.
///
/// # Errors
/// A unit would lose channels, or must stay as it is, or a layer takes mean and variance over its channels, which more of
/// them would change; its weights are stored as integers, which new channels would need scales for; a node cannot follow, or
/// arranges channels in an order in which there is no place for new ones; or the weights are not those of the graph.
pub fn expand(
    graph: &Graph,
    weights: &Weights,
    trace: &Trace,
    options: &TraceOptions,
    widths: &[usize],
) -> Result<(Graph, Weights)> {
    for (unit, &width) in trace.units.iter().zip(widths) {
        let name = unit.name.clone();
        if width < unit.channels {
            return Err(Error::Width { name, channels: unit.channels, asked: width.to_string() });
        }
        if width > unit.channels {
            if let Some(why) = &unit.kept_by {
                return Err(Error::Grow { unit: name, message: why.to_string() });
            }
            if !unit.exact {
                let message = "a layer takes mean and variance over them, which new ones would change".into();
                return Err(Error::Grow { unit: name, message });
            }
        }
    }
    let ones = ones(graph)?;
    let fill = |value: ValueId| -> Result<Fill> {
        let v = graph.value(value)?;
        let learned = matches!(v.source, Source::Param(_) | Source::Const);
        if learned && !v.fact.dtype.is_float() {
            let reader = graph.nodes().find(|(_, n)| n.inputs.contains(&value));
            let node = reader.map_or_else(|| v.name.clone(), |(_, n)| n.name.clone());
            let message = format!("`{}` holds integers, which new channels would need scales for", v.name);
            return Err(Error::Shrink { node, message });
        }
        Ok(if ones.contains(&value) { Fill::One } else { Fill::Zero })
    };
    let cuts = Cuts::growth(graph, trace, widths)?;
    let mut changed = trace.units.iter().zip(widths).filter(|(u, w)| u.channels < **w).map(|(u, _)| u);
    let first = changed.next().map(|u| u.name.clone()).unwrap_or_default();
    let (wider, longer) = resize(graph, weights, &cuts, &fill).map_err(|e| match e {
        Error::Graph(e) => Error::Grow { unit: first, message: e.to_string() },
        other => other,
    })?;
    let grown = crate::trace(&wider, options)?;
    for (i, unit) in trace.units.iter().enumerate().filter(|(_, u)| u.kept_by.is_none()) {
        let width = widths.get(i).copied().unwrap_or(unit.channels);
        let same = grown.units.get(i).is_some_and(|g| g.channels == width && is_part(unit, g, &cuts));
        if grown.units.len() != trace.units.len() || !same {
            let message = "channels would belong together otherwise".into();
            return Err(Error::Grow { unit: unit.name.clone(), message });
        }
    }
    Ok((wider, longer))
}

/// Whether the channels of `unit` are channels of `grown`, with their elements where `cuts` has moved them.
fn is_part(unit: &Unit, grown: &Unit, cuts: &Cuts) -> bool {
    // By channel the one that it has become.
    let mut numbers: Vec<Option<usize>> = vec![None; unit.channels];
    unit.members.len() == grown.members.len()
        && unit.members.iter().all(|member| {
            let at = |m: &&Member| {
                (m.value, m.axis, m.per_channel) == (member.value, member.axis, member.per_channel)
            };
            let Some(other) = grown.members.iter().find(at) else { return false };
            let mut of_element = HashMap::new();
            for (i, &e) in other.elements.iter().enumerate() {
                of_element.insert(e as usize, i / other.per_channel.max(1));
            }
            // By element its place in the wider graph.
            let moved = cuts.places(member.value, member.axis);
            numbers.iter_mut().enumerate().all(|(c, number)| {
                member.of(c).iter().all(|&e| {
                    let place = moved.as_ref().map_or(Some(e as usize), |m| m.get(e as usize).copied());
                    let found = place.and_then(|p| of_element.get(&p)).copied();
                    found.is_some() && *number.get_or_insert(found.unwrap_or(0)) == found.unwrap_or(0)
                })
            })
        })
}

/// Weights and constants that something is divided or multiplied by for itself: scales and variances.
fn ones(graph: &Graph) -> Result<HashSet<ValueId>> {
    let mut found = HashSet::new();
    for id in graph.order()? {
        let node = graph.node(id)?;
        let slots: &[usize] = match &node.op {
            Op::BatchNorm(_) => &[1, 4],
            Op::Onnx(op) => match op.op_type.as_str() {
                "BatchNormalization" => &[1, 4],
                "QuantizeLinear" | "DequantizeLinear" | "Div" => &[1],
                _ => &[],
            },
            _ => &[],
        };
        for &slot in slots {
            let at = match &node.op {
                Op::Onnx(op) => op.position(slot),
                _ => Some(slot),
            };
            found.extend(at.and_then(|i| node.inputs.get(i)).copied());
        }
    }
    Ok(found)
}

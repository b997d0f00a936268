//! The layers whose filters are fused.

use std::collections::HashSet;

use occam_engine::{Bound, Tensor};
use occam_graph::{Graph, Op, Source, ValueId};
use occam_space::{Trace, Unit};
use occam_train::Result;

use crate::Error;

/// A convolution that computes the channels of one unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layer {
    /// Its path.
    pub name: String,
    pub weight: String,
    pub bias: Option<String>,
    /// Index of the unit.
    pub unit: usize,
    pub filters: usize,
}

/// The convolutions of `graph` that compute the units for which `narrower` says that they lose channels.
///
/// # Errors
/// A convolution's filters are not one by one the channels of a unit: grouped ones that are not depthwise, or such as
/// compute several units.
pub(super) fn layers(
    graph: &Graph,
    trace: &Trace,
    narrower: impl Fn(usize) -> bool,
) -> Result<Vec<Layer>, Error> {
    let mut layers = Vec::new();
    let mut seen = HashSet::new();
    for id in graph.order()? {
        let node = graph.node(id)?;
        let (Op::Conv(conv), Some(&weight)) = (&node.op, node.inputs.get(1)) else { continue };
        let value = graph.value(weight)?;
        let filters = value.fact.known_shape().and_then(|s| s.first().copied()).unwrap_or(0);
        let Some(unit) = computed(trace, weight, &narrower) else { continue };
        if !matches!(value.source, Source::Param(_)) || !seen.insert(weight) {
            continue;
        }
        let per_group = value.fact.shape.get(1).and_then(occam_graph::Dim::known);
        let wrong = |why: &str| {
            let unit = trace.units.get(unit).map(|u| u.name.clone()).unwrap_or_default();
            Error::Fuse { layer: node.name.clone(), unit, why: why.to_owned() }
        };
        if conv.groups > 1 && (per_group != Some(1) || conv.groups != filters) {
            return Err(wrong("it has groups of several filters"));
        }
        if !trace.units.get(unit).is_some_and(|u| is_whole(u, weight, filters)) {
            return Err(wrong("its filters are not one by one the unit's channels"));
        }
        let bias = node.inputs.get(2).map(|&b| graph.value(b).map(|v| v.name.clone())).transpose()?;
        layers.push(Layer { name: node.name.clone(), weight: value.name.clone(), bias, unit, filters });
    }
    Ok(layers)
}

/// The first unit that is to lose channels and has elements of the first axis of `weight`.
fn computed(trace: &Trace, weight: ValueId, narrower: &impl Fn(usize) -> bool) -> Option<usize> {
    let has = |u: &Unit| u.members.iter().any(|m| m.value == weight && m.axis == 0);
    trace.units.iter().enumerate().position(|(i, u)| narrower(i) && has(u))
}

/// Whether the filters of `weight` are the channels of `unit`, in order.
fn is_whole(unit: &Unit, weight: ValueId, filters: usize) -> bool {
    unit.channels == filters
        && unit.members.iter().any(|m| {
            let in_order = || m.elements.iter().enumerate().all(|(i, &e)| i == e as usize);
            m.value == weight
                && m.axis == 0
                && m.per_channel == 1
                && m.elements.len() == filters
                && in_order()
        })
}

/// Puts sums of filters, by the rows of `choice` `[kept, filters]`, in place of the layer's filters; its biases likewise.
///
/// # Errors
/// The layer's parameters are missing or of another shape.
pub(super) fn fuse(layer: &Layer, choice: &Tensor, params: &mut Bound) -> Result<()> {
    for name in [Some(&layer.weight), layer.bias.as_ref()].into_iter().flatten() {
        let Some(tensor) = params.get(name) else { continue };
        let mut shape = tensor.shape();
        let rest = shape.iter().skip(1).product();
        let fused = choice.matmul(&tensor.reshape(&[layer.filters, rest])?)?;
        if let Some(first) = shape.first_mut() {
            *first = choice.dim(0)?;
        }
        let fused = fused.reshape(&shape)?;
        params.insert(name.clone(), fused);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use occam_engine::Device;
    use occam_testing::{Golden, assert_close, fill, parameter, values};

    /// Numbers from the original's `FuseConv2d`: `tools/golden/dcff.py`.
    #[test]
    fn fused_filters_and_their_gradients_are_the_original_s() {
        let golden = Golden::load("dcff");
        let device = Device::cpu();
        for case in golden.json("cases").as_array().unwrap() {
            let name = case["name"].as_str().unwrap();
            let list = |key: &str| -> Vec<usize> {
                case[key].as_array().unwrap().iter().map(|v| v.as_u64().unwrap() as usize).collect()
            };
            let (shape, rows) = (list("shape"), list("rows"));
            let weight = Tensor::from_array(&parameter(&format!("{name}.weight"), &shape), &device).unwrap();
            let leaf = weight.require_grad();
            let similarity = Tensor::from_array(golden.get(&format!("{name}.similarity")), &device).unwrap();
            let choice = similarity.select(0, &rows).unwrap();
            let bias = Tensor::from_array(&parameter(&format!("{name}.bias"), &shape[..1]), &device).unwrap();
            let (own_weight, own_bias) = ("weight".to_owned(), "bias".to_owned());
            let mut params = Bound::from([(own_weight.clone(), leaf.clone()), (own_bias.clone(), bias)]);
            let layer = Layer {
                name: "conv".into(),
                weight: own_weight,
                bias: Some(own_bias),
                unit: 0,
                filters: shape[0],
            };
            fuse(&layer, &choice, &mut params).unwrap();
            let inputs = case["inputs"].as_u64().unwrap() as usize;
            let fused = params["weight"].narrow(1, 0, inputs).unwrap();
            let wanted = golden.values(&format!("{name}.fused"));
            assert_close(name, &values(&fused.to_array().unwrap()), &wanted, 1e-6);
            if golden.keys().any(|key| key == format!("{name}.fused_bias")) {
                let wanted = golden.values(&format!("{name}.fused_bias"));
                assert_close(name, &values(&params["bias"].to_array().unwrap()), &wanted, 1e-6);
            }
            let probe = fill(&format!("probe.{name}.weight"), &fused.shape(), -1.0, 1.0);
            let loss = fused.mul(&Tensor::from_array(&probe, &device).unwrap()).unwrap().sum().unwrap();
            let gradient = loss.backward().unwrap().take(&leaf).unwrap();
            assert_close(
                name,
                &values(&gradient.to_array().unwrap()),
                &golden.values(&format!("{name}.grad")),
                1e-6,
            );
        }
    }
}

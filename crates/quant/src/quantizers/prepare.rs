//! The graph that is trained, and the one that is deployed.

use std::collections::HashMap;

use occam_graph::ops::{FakeQuant, GridLearning, NormScale};
use occam_graph::{Array, Fact, Graph, NodeId, Op, Patch, Role, ValueId, Weights, Wire};

use super::place::{Layer, Placed};
use super::rules::Rules;
use crate::lower::rounded;
use crate::{Error, Kind, QParams, Quant, Result};

/// A graph with its [`FakeQuant`] nodes.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// The graph.
    pub graph: Graph,
    /// Weights of the float model with grids: scale 1 and zero point 0, or those that are fixed.
    pub weights: Weights,
    /// The nodes that round, by point.
    pub quants: Vec<Quant>,
}

/// The graph that is trained: a convolution's weight is rounded as it will be once the batch normalization behind it is folded
/// into it, `FakeQuant(s · w)` with `s = γ / √(σ² + ε)` of the running variance, and its result divided by `s`, so that the
/// normalization sees what it would (PyTorch's `ConvBn2d` for training).
///
/// Points that share a grid have one scale and one zero point. Scales of points that learn are weights.
///
/// # Errors
/// The graph breaks a rule.
pub fn prepare(graph: &Graph, weights: &Weights, placed: &Placed, rules: &Rules) -> Result<Prepared> {
    let (mut graph, mut weights) = (graph.clone(), weights.clone());
    let folded = fold_for_training(&mut graph, placed)?;
    let quants = insert(&mut graph, &mut weights, placed, rules, &folded)?;
    Ok(Prepared { graph, weights, quants })
}

/// By layer what its rounded weight is rounded from, where that is not the weight itself.
type Folded = HashMap<NodeId, ValueId>;

fn fold_for_training(graph: &mut Graph, placed: &Placed) -> Result<Folded> {
    let mut patch = Patch::new("fold_for_training");
    let mut names = Vec::new();
    for layer in &placed.layers {
        let Some(norm) = layer.norm else { continue };
        let (gamma, var, eps) = normalization(graph, norm)?;
        let node = graph.node(layer.node)?;
        let &[x, w, ..] = node.inputs.as_slice() else { return Err(odd(graph, layer.node)) };
        let Some(&out) = node.outputs.first() else { return Err(odd(graph, layer.node)) };
        let name = format!("{}.folded", node.name);
        let scale = |axis, inverse| NormScale { axis, eps, inverse };
        let weight = patch.node(&name, scale(0, false), [w, gamma, var]);
        let mut inputs: Vec<Wire> = vec![x.into(), weight];
        if let Some(&bias) = node.inputs.get(2) {
            inputs.push(patch.node(
                &format!("{}.folded_bias", node.name),
                scale(0, false),
                [bias, gamma, var],
            ));
        }
        let unfolded = patch.node(&format!("{}.unfolded", node.name), scale(1, true), [out, gamma, var]);
        patch.set_node(layer.node, node.op.clone(), inputs);
        patch.rewire(norm, 0, unfolded);
        names.push((layer.node, name));
    }
    patch.apply(graph)?;
    let found = names.into_iter().map(|(layer, name)| {
        let node = graph.find_node(&name).ok_or_else(|| lost(&name))?;
        Ok((layer, *graph.node(node)?.outputs.first().ok_or_else(|| lost(&name))?))
    });
    found.collect()
}

/// γ, the running variance and ε of a batch normalization.
fn normalization(graph: &Graph, norm: NodeId) -> Result<(ValueId, ValueId, f64)> {
    let node = graph.node(norm)?;
    match (&node.op, node.inputs.as_slice()) {
        (Op::BatchNorm(op), &[_, gamma, _, _, var]) => Ok((gamma, var, op.eps)),
        _ => Err(odd(graph, norm)),
    }
}

fn odd(graph: &Graph, node: NodeId) -> Error {
    let name = graph.node(node).map_or_else(|_| String::new(), |n| n.name.clone());
    Error::Other(format!("`{name}` is not what it was when it was placed"))
}

fn lost(name: &str) -> Error {
    Error::Other(format!("the node `{name}` was not added"))
}

/// Adds the nodes that round.
fn insert(
    graph: &mut Graph,
    weights: &mut Weights,
    placed: &Placed,
    rules: &Rules,
    folded: &Folded,
) -> Result<Vec<Quant>> {
    let points = &placed.placement.points;
    let mut patch = Patch::new("quantize");
    // A weight whose layers have normalizations of their own is rounded once for each.
    let mut taken: HashMap<String, usize> = HashMap::new();
    let names: Vec<String> = points
        .iter()
        .map(|point| {
            let value = &graph.value(point.value)?.name;
            let times = taken.entry(value.clone()).or_default();
            *times += 1;
            Ok(if *times == 1 { format!("{value}.quant") } else { format!("{value}.quant{times}") })
        })
        .collect::<Result<_>>()?;
    let mut grids: HashMap<usize, [Wire; 2]> = HashMap::new();
    for (i, point) in points.iter().enumerate() {
        if placed.placement.root(i) != i {
            continue;
        }
        let count = point.grids(graph.value(point.value)?)?;
        let name = names.get(i).map_or("", String::as_str);
        let rounding = rules.rounding(placed, i);
        let learns = point.fixed.is_none() && rounding.is_some_and(|r| r.learning != GridLearning::Fixed);
        let zero_learns = learns && rounding.is_some_and(|r| r.zero_point_trainable);
        let role = |learns| if learns { Role::Weight } else { Role::Buffer };
        let given = [format!("{name}.scale"), format!("{name}.zero_point")];
        let fact = Fact::f32([count]);
        let wires = [
            patch.param(&given[0], fact.clone(), role(learns)),
            patch.param(&given[1], fact, role(zero_learns)),
        ];
        grids.insert(i, wires);
        let numbers = match &point.fixed {
            Some(grid) => [grid.scale.clone(), grid.zero_point.iter().map(|&z| z as f32).collect()],
            None => [vec![1.0; count], vec![0.0; count]],
        };
        for (name, numbers) in given.into_iter().zip(numbers) {
            weights.insert(name, Array::from_f32([count], numbers)?);
        }
    }
    for (i, point) in points.iter().enumerate() {
        let name = names.get(i).map_or("", String::as_str);
        let Some(&[scale, zero]) = grids.get(&placed.placement.root(i)) else { continue };
        let fixed = point.fixed.is_some();
        let learning = rules.rounding(placed, i).map_or(GridLearning::Fixed, |r| r.learning);
        let learning = if fixed { GridLearning::Fixed } else { learning };
        let op = FakeQuant { learning, ..point.scheme.fake_quant() };
        // One node for each of what its readers have.
        let mut made: Vec<(ValueId, Wire)> = Vec::new();
        for &(node, input) in &point.readers {
            let from = folded.get(&node).copied().filter(|_| point.kind == Kind::Weight);
            let from = from.unwrap_or(point.value);
            let rounded = match made.iter().find(|(v, _)| *v == from) {
                Some((_, wire)) => *wire,
                None => {
                    let name = match made.len() {
                        0 => name.to_owned(),
                        n => format!("{name}.call{n}"),
                    };
                    let wire = patch.node(&name, op, [from.into(), scale, zero]);
                    made.push((from, wire));
                    wire
                }
            };
            patch.rewire(node, input, rounded);
        }
        if made.is_empty() {
            made.push((point.value, patch.node(name, op, [point.value.into(), scale, zero])));
        }
        if let (true, Some((value, rounded))) = (placed.given.contains(&i), made.first()) {
            patch.replace(*value, *rounded);
        }
    }
    patch.apply(graph)?;
    names
        .into_iter()
        .map(|name| {
            let node = graph.find_node(&name).ok_or_else(|| lost(&name))?;
            match graph.node(node)?.inputs.as_slice() {
                &[_, scale, zero_point] => Ok(Quant { node, name, scale, zero_point }),
                _ => Err(lost(&name)),
            }
        })
        .collect()
}

/// The graph that is deployed, of `float`, the graph that was placed, and `trained`, all weights of the prepared one: batch
/// normalizations are folded, `w' = s · w` and `b' = (b − μ) · s + β` with `s = γ / √(σ² + ε)`, weights are rounded and stored
/// as floats, and every point has its node with the grid that it has now. As the original's `get_deploy_model`.
///
/// # Errors
/// A weight is missing, or is read with different normalizations, so that there is no one weight to store.
pub fn deploy(
    float: &Graph,
    trained: &Weights,
    placed: &Placed,
    rules: &Rules,
    quants: &[Quant],
    prepared: &Graph,
) -> Result<(Graph, Weights)> {
    let mut graph = float.clone();
    let mut weights = trained.clone();
    let placed_layers = &placed.layers;
    let mut placed = placed.clone();
    let mut patch = Patch::new("fold_batch_norm");
    let mut moved: HashMap<ValueId, ValueId> = HashMap::new();
    let mut biases: HashMap<String, Wire> = HashMap::new();
    one_normalization(float, placed_layers)?;
    for layer in placed_layers {
        let Some(norm) = layer.norm else { continue };
        let (node, norm_node) = (float.node(layer.node)?, float.node(norm)?);
        let (&[x, w, ..], &[out], &[normal]) =
            (node.inputs.as_slice(), node.outputs.as_slice(), norm_node.outputs.as_slice())
        else {
            return Err(odd(float, norm));
        };
        let Op::BatchNorm(op) = &norm_node.op else { return Err(odd(float, norm)) };
        let of = |i: usize| -> Result<&[f32]> {
            let v = norm_node.inputs.get(i).ok_or_else(|| odd(float, norm))?;
            known(float, trained, *v)
        };
        let (gamma, beta, mean, var) = (of(1)?, of(2)?, of(3)?, of(4)?);
        let factors: Vec<f32> = gamma.iter().zip(var).map(|(g, v)| g / (v + op.eps as f32).sqrt()).collect();
        let name = float.value(w)?.name.clone();
        let array = trained.get(&name).ok_or_else(|| missing(&name))?;
        let row = array.len() / factors.len().max(1);
        let scaled = array.as_f32()?.chunks(row.max(1)).zip(&factors);
        let scaled = scaled.flat_map(|(row, &s)| row.iter().map(move |w| w * s)).collect();
        weights.insert(name.clone(), Array::from_f32(array.shape(), scaled)?);
        let own = match node.inputs.get(2) {
            Some(&bias) => known(float, trained, bias)?.to_vec(),
            None => vec![0.0; factors.len()],
        };
        let bias: Vec<f32> = (own.iter().zip(mean).zip(&factors).zip(beta))
            .map(|(((b, m), s), beta)| (b - m) * s + beta)
            .collect();
        let bias_name = match node.inputs.get(2) {
            Some(&bias) => float.value(bias)?.name.clone(),
            None => format!("{}.bias", name.strip_suffix(".weight").unwrap_or(&name)),
        };
        weights.insert(bias_name.clone(), Array::from_f32([bias.len()], bias)?);
        if node.inputs.get(2).is_none() {
            let wire = match biases.get(&bias_name) {
                Some(wire) => *wire,
                None => patch.param(&bias_name, Fact::f32([factors.len()]), Role::Weight),
            };
            biases.insert(bias_name, wire);
            patch.set_node(layer.node, node.op.clone(), [x.into(), w.into(), wire]);
        }
        patch.replace(normal, out);
        patch.remove(norm);
        moved.insert(normal, out);
    }
    patch.apply(&mut graph)?;
    for point in &mut placed.placement.points {
        if let Some(&out) = moved.get(&point.value) {
            point.value = out;
        }
    }
    let grids = quants.iter().map(|q| q.get(prepared, trained)).collect::<Result<Vec<QParams>>>()?;
    let nodes = insert(&mut graph, &mut weights, &placed, rules, &Folded::new())?;
    for (quant, grid) in nodes.iter().zip(&grids) {
        quant.set(&graph, &mut weights, grid)?;
        let node = graph.node(quant.node)?;
        let (Op::FakeQuant(op), Some(&w)) = (&node.op, node.inputs.first()) else { continue };
        let value = graph.value(w)?;
        if value.role().is_some() {
            let array = weights.get(&value.name).ok_or_else(|| missing(&value.name))?;
            let rounded = Array::from_f32(array.shape(), rounded(array, op, grid)?)?;
            weights.insert(value.name.clone(), rounded);
        }
    }
    still(&mut graph)?;
    let names: Vec<String> = graph.params().map(|(_, v)| v.name.clone()).collect();
    weights.retain(|name, _| names.contains(name));
    Ok((graph, weights))
}

/// Refuses weights that are read with several normalizations, or with one and without.
fn one_normalization(graph: &Graph, layers: &[Layer]) -> Result<()> {
    let mut by_weight: HashMap<ValueId, Vec<(NodeId, Option<ValueId>)>> = HashMap::new();
    for layer in layers {
        let Some(&w) = graph.node(layer.node)?.inputs.get(1) else { continue };
        let gamma = layer.norm.map(|norm| normalization(graph, norm)).transpose()?.map(|(gamma, ..)| gamma);
        by_weight.entry(w).or_default().push((layer.node, gamma));
    }
    for (w, calls) in by_weight {
        let first = calls.first().and_then(|(_, gamma)| *gamma);
        let others = graph.readers(w).len() != calls.len();
        let same = calls.iter().all(|(_, gamma)| *gamma == first);
        if !same || (first.is_some() && others) {
            return Err(Error::Other(format!(
                "`{}` is read with different normalizations: there is no one weight to store",
                graph.value(w)?.name
            )));
        }
    }
    Ok(())
}

/// Grids of a graph that is deployed do not learn.
fn still(graph: &mut Graph) -> Result<()> {
    let mut patch = Patch::new("still");
    for (id, node) in graph.nodes() {
        if let Op::FakeQuant(op) = &node.op
            && op.learning != GridLearning::Fixed
        {
            patch.set_op(id, FakeQuant { learning: GridLearning::Fixed, ..*op });
        }
    }
    Ok(patch.apply(graph)?)
}

fn known<'a>(graph: &Graph, weights: &'a Weights, v: ValueId) -> Result<&'a [f32]> {
    let name = &graph.value(v)?.name;
    Ok(weights.get(name).ok_or_else(|| missing(name))?.as_f32()?)
}

fn missing(name: &str) -> Error {
    Error::Other(format!("`{name}` is not among the weights"))
}

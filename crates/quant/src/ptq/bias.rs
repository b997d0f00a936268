//! Biases that must fit integers.

use occam_graph::{Graph, NodeId, Weights};

use super::known;
use crate::{Quant, Result};

/// How far a bias may be from 0 in its steps, so that sums with it stay within 32 bits.
const BIAS_REACH: f64 = (1u32 << 30) as f64;

/// Makes the steps of a weight's channels so wide that the layer's bias, which has them times `step`, fits 32 bits.
pub(super) fn widen(
    graph: &Graph,
    weights: &mut Weights,
    layer: NodeId,
    quant: &Quant,
    step: f32,
) -> Result<()> {
    let node = graph.node(layer)?;
    let Some(&b) = node.inputs.get(2) else { return Ok(()) };
    let bias = known(graph, weights, b)?.as_f32()?.to_vec();
    let mut grid = quant.get(graph, weights)?;
    let mut changed = false;
    let one = grid.scale.len() == 1;
    for (i, b) in bias.iter().enumerate() {
        let needed = (f64::from(b.abs()) / (f64::from(step) * BIAS_REACH)) as f32;
        if let Some(scale) = grid.scale.get_mut(if one { 0 } else { i })
            && *scale < needed
        {
            *scale = needed;
            changed = true;
        }
    }
    if changed { quant.set(graph, weights, &grid) } else { Ok(()) }
}

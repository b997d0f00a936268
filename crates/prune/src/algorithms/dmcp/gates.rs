//! Soft pruning: what normalizations give, times the chances that channels stay.

use occam_engine::{Bound, Device, Gradients, Tensor};
use occam_graph::{Graph, Op, ValueId};
use occam_space::Trace;
use occam_train::Result;

/// A batch normalization on channels of units.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Norm {
    weight: String,
    bias: String,
    channels: usize,
    /// Unit, its channel, and the element of the normalization that it is.
    elements: Vec<(usize, usize, usize)>,
}

/// The batch normalizations of a graph.
pub(super) struct Gates {
    norms: Vec<Norm>,
}

/// The gates of one run, by normalization.
pub(super) struct Leaves(Vec<Tensor>);

impl Gates {
    /// Those of `graph` that have channels of units.
    ///
    /// # Errors
    /// The graph is broken.
    pub fn new(graph: &Graph, trace: &Trace) -> occam_graph::Result<Self> {
        let mut norms: Vec<Norm> = Vec::new();
        for (_, node) in graph.nodes() {
            let (Op::BatchNorm(_), &[_, weight, bias, ..]) = (&node.op, node.inputs.as_slice()) else {
                continue;
            };
            let elements = elements(trace, weight);
            let (own, bias) = (graph.value(weight)?, graph.value(bias)?);
            let name = own.name.clone();
            if elements.is_empty() || norms.iter().any(|n| n.weight == name) {
                continue;
            }
            let channels = own.fact.known_shape().and_then(|s| s.first().copied()).unwrap_or(0);
            norms.push(Norm { weight: name, bias: bias.name.clone(), channels, elements });
        }
        Ok(Self { norms })
    }

    /// Whether a unit has a normalization.
    pub fn has(&self, unit: usize) -> bool {
        self.norms.iter().flat_map(|n| &n.elements).any(|(u, ..)| *u == unit)
    }

    /// Puts normalizations times `gates`, those of each unit's channels, in place of those of `params`.
    ///
    /// # Errors
    /// Parameters are missing.
    pub fn close(&self, gates: &[Vec<f32>], params: &mut Bound, device: &Device) -> Result<Leaves> {
        let mut leaves = Vec::with_capacity(self.norms.len());
        for norm in &self.norms {
            let mut factors = vec![1.0; norm.channels];
            for &(unit, channel, element) in &norm.elements {
                let gate = gates.get(unit).and_then(|g| g.get(channel));
                if let (Some(&gate), Some(factor)) = (gate, factors.get_mut(element)) {
                    *factor = gate;
                }
            }
            let leaf = Tensor::from_f32(&[norm.channels], factors, device)?.require_grad();
            for name in [&norm.weight, &norm.bias] {
                if let Some(param) = params.get_mut(name) {
                    *param = param.mul(&leaf)?;
                }
            }
            leaves.push(leaf);
        }
        Ok(Leaves(leaves))
    }

    /// The derivatives of a loss by the gates of each unit's channels, of which it has so many.
    ///
    /// # Errors
    /// The device failed.
    pub fn gradients(
        &self,
        leaves: &Leaves,
        from: &mut Gradients,
        channels: &[usize],
    ) -> Result<Vec<Vec<f32>>> {
        let mut gradients: Vec<Vec<f32>> = channels.iter().map(|&n| vec![0.0; n]).collect();
        for (norm, leaf) in self.norms.iter().zip(&leaves.0) {
            let Some(gradient) = from.take(leaf) else { continue };
            let gradient = gradient.to_f32()?;
            for &(unit, channel, element) in &norm.elements {
                let own = gradients.get_mut(unit).and_then(|g| g.get_mut(channel));
                if let (Some(own), Some(g)) = (own, gradient.get(element)) {
                    *own += g;
                }
            }
        }
        Ok(gradients)
    }
}

/// The channels of units that are elements of `weight`.
fn elements(trace: &Trace, weight: ValueId) -> Vec<(usize, usize, usize)> {
    let mut found = Vec::new();
    for (u, unit) in trace.units.iter().enumerate().filter(|(_, u)| u.kept_by.is_none()) {
        for member in unit.members.iter().filter(|m| m.value == weight && m.axis == 0) {
            for channel in 0..unit.channels {
                found.extend(member.of(channel).iter().map(|&e| (u, channel, e as usize)));
            }
        }
    }
    found
}

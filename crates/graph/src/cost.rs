//! What a node costs to run.

use std::ops::AddAssign;

use crate::{Bindings, Fact, Graph, NodeId, Result, Role};

/// Cost of one node or of a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cost {
    /// Multiply-accumulates of convolutions and matrix products; other operators count none.
    pub macs: u64,
    /// Elements written.
    pub activations: u64,
}

impl Cost {
    /// The cost of an operator that only reads and writes memory.
    ///
    /// # Errors
    /// A symbol of `outputs` is not bound.
    pub fn memory(outputs: &[&Fact], bindings: &Bindings) -> Result<Self> {
        let mut activations = 0;
        for f in outputs {
            activations = u64::saturating_add(activations, f.numel(bindings)?);
        }
        Ok(Self { macs: 0, activations })
    }
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        self.macs = self.macs.saturating_add(other.macs);
        self.activations = self.activations.saturating_add(other.activations);
    }
}

/// Cost of a graph, node by node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphCost {
    /// Sum over the nodes.
    pub total: Cost,
    /// Elements of all trainable parameters; a shared one counts once, buffers count not.
    pub params: u64,
    /// Cost of each node, in order of execution.
    pub nodes: Vec<(NodeId, Cost)>,
}

impl Graph {
    /// Cost of one run with the symbols of `bindings`.
    ///
    /// # Errors
    /// A symbol is not bound.
    pub fn cost(&self, bindings: &Bindings) -> Result<GraphCost> {
        let mut total = Cost::default();
        let mut nodes = Vec::new();
        for id in self.order()? {
            let node = self.node(id)?;
            let inputs = self.facts(&node.inputs)?;
            let outputs = self.facts(&node.outputs)?;
            let cost = node.op.family().cost(&inputs, &outputs, bindings)?;
            total += cost;
            nodes.push((id, cost));
        }
        let mut params = 0;
        for (_, value) in self.params() {
            if value.role() == Some(Role::Weight) {
                params = u64::saturating_add(params, value.fact.numel(bindings)?);
            }
        }
        Ok(GraphCost { total, params, nodes })
    }
}

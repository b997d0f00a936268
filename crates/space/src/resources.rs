//! What a model costs at other widths, without making the smaller model.

use std::cell::RefCell;
use std::collections::HashMap;

use occam_graph::{Bindings, Dim, Fact, Graph, NodeId, Role, ValueId};

use crate::{Result, Trace};

/// What a model needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Resources {
    /// Multiply-accumulates of one run: what MMRazor and most tools call FLOPs.
    pub macs: u64,
    /// Elements of all trainable parameters.
    pub params: u64,
    /// Elements that the nodes of one run write in all.
    pub activations: u64,
}

impl Resources {
    /// The sum of both.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            macs: self.macs.saturating_add(other.macs),
            params: self.params.saturating_add(other.params),
            activations: self.activations.saturating_add(other.activations),
        }
    }
}

/// An axis that shrinks with units: how many elements one channel of a unit has on it.
struct Shrinking {
    value: ValueId,
    axis: usize,
    size: usize,
    by: Vec<(u32, u32)>,
}

/// A node or a parameter whose cost depends on widths.
pub(crate) struct Variable {
    of: Of,
    /// The axes that it depends on, by position in [`Estimator::axes`].
    axes: Vec<u32>,
    /// What it needed at the sizes of those axes that were last asked for.
    last: RefCell<(Vec<usize>, Resources)>,
}

impl Variable {
    /// The shrinking axes that it depends on.
    pub(crate) fn axes(&self) -> impl Iterator<Item = usize> + '_ {
        self.axes.iter().map(|&i| i as usize)
    }
}

#[derive(Clone, Copy)]
enum Of {
    Node(NodeId),
    Param(ValueId),
}

/// Computes the resources of a graph at any widths of its units.
pub struct Estimator<'a> {
    graph: &'a Graph,
    bindings: &'a Bindings,
    channels: Vec<usize>,
    axes: Vec<Shrinking>,
    variables: Vec<Variable>,
    /// What all other nodes and parameters need.
    fixed: Resources,
}

impl<'a> Estimator<'a> {
    /// Prepares the estimates of `graph`; sizes with symbols are those of `bindings`.
    ///
    /// # Errors
    /// A symbol is not bound.
    pub fn new(graph: &'a Graph, trace: &Trace, bindings: &'a Bindings) -> Result<Self> {
        let mut axes: Vec<Shrinking> = Vec::new();
        let mut of_value: HashMap<ValueId, Vec<u32>> = HashMap::new();
        for (u, unit) in trace.units.iter().enumerate().filter(|(_, u)| u.kept_by.is_none()) {
            for member in &unit.members {
                let share = (u as u32, member.per_channel as u32);
                let own = of_value.entry(member.value).or_default();
                let known =
                    own.iter().find(|&&i| axes.get(i as usize).is_some_and(|a| a.axis == member.axis));
                match known.and_then(|&i| axes.get_mut(i as usize)) {
                    Some(s) => s.by.push(share),
                    None => {
                        let fact = &graph.value(member.value)?.fact;
                        let size = fact.shape.get(member.axis).and_then(Dim::known).unwrap_or(0);
                        own.push(axes.len() as u32);
                        let (value, axis) = (member.value, member.axis);
                        axes.push(Shrinking { value, axis, size, by: vec![share] });
                    }
                }
            }
        }
        let (mut variables, mut fixed) = (Vec::new(), Resources::default());
        let full: Vec<usize> = axes.iter().map(|a| a.size).collect();
        let mut add = |of: Of, axes: Vec<u32>, needs: Resources| {
            if axes.is_empty() {
                fixed = fixed.plus(&needs);
            } else {
                let sizes = axes.iter().filter_map(|&i| full.get(i as usize).copied()).collect();
                variables.push(Variable { of, axes, last: RefCell::new((sizes, needs)) });
            }
        };
        for (id, node) in graph.nodes() {
            let (inputs, outputs) = (graph.facts(&node.inputs)?, graph.facts(&node.outputs)?);
            let cost = node.op.family().cost(&inputs, &outputs, bindings)?;
            let all = node.inputs.iter().chain(&node.outputs);
            let axes = all.filter_map(|v| of_value.get(v)).flatten().copied().collect();
            add(Of::Node(id), axes, Resources { macs: cost.macs, params: 0, activations: cost.activations });
        }
        for (id, value) in graph.params().filter(|(_, v)| v.role() == Some(Role::Weight)) {
            let params = value.fact.numel(bindings)?;
            let axes = of_value.get(&id).cloned().unwrap_or_default();
            add(Of::Param(id), axes, Resources { params, ..Resources::default() });
        }
        let channels = trace.units.iter().map(|u| u.channels).collect();
        Ok(Self { graph, bindings, channels, axes, variables, fixed })
    }

    /// The resources where each unit has so many channels.
    ///
    /// # Errors
    /// A symbol is not bound.
    pub fn at(&self, widths: &[usize]) -> Result<Resources> {
        let removed: Vec<usize> =
            self.channels.iter().zip(widths).map(|(&c, &w)| c.saturating_sub(w)).collect();
        let gone = |&(u, n): &(u32, u32)| removed.get(u as usize).map_or(0, |r| r * n as usize);
        let left = |a: &Shrinking| a.size.saturating_sub(a.by.iter().map(gone).sum());
        let sizes: Vec<usize> = self.axes.iter().map(left).collect();
        let mut all = self.fixed;
        for variable in &self.variables {
            let own = || variable.axes.iter().filter_map(|&i| sizes.get(i as usize).copied());
            let mut last = variable.last.borrow_mut();
            if !last.0.iter().copied().eq(own()) {
                *last = (own().collect(), self.needs(variable, &sizes)?);
            }
            all = all.plus(&last.1);
        }
        Ok(all)
    }

    fn needs(&self, variable: &Variable, sizes: &[usize]) -> Result<Resources> {
        let fact = |v: ValueId| -> Result<Fact> {
            let mut fact = self.graph.value(v)?.fact.clone();
            for &i in &variable.axes {
                if let (Some(a), Some(&size)) = (self.axes.get(i as usize), sizes.get(i as usize))
                    && a.value == v
                    && let Some(d) = fact.shape.get_mut(a.axis)
                {
                    *d = Dim::Known(size);
                }
            }
            Ok(fact)
        };
        match variable.of {
            Of::Param(v) => Ok(Resources { params: fact(v)?.numel(self.bindings)?, ..Resources::default() }),
            Of::Node(id) => {
                let node = self.graph.node(id)?;
                let inputs = node.inputs.iter().map(|&v| fact(v)).collect::<Result<Vec<Fact>>>()?;
                let outputs = node.outputs.iter().map(|&v| fact(v)).collect::<Result<Vec<Fact>>>()?;
                let (inputs, outputs): (Vec<&Fact>, Vec<&Fact>) =
                    (inputs.iter().collect(), outputs.iter().collect());
                let cost = node.op.family().cost(&inputs, &outputs, self.bindings)?;
                Ok(Resources { macs: cost.macs, params: 0, activations: cost.activations })
            }
        }
    }

    /// What depends on widths.
    pub(crate) fn variables(&self) -> impl Iterator<Item = &Variable> {
        self.variables.iter()
    }

    /// Sizes of all shrinking axes with all channels.
    pub(crate) fn sizes(&self) -> Vec<usize> {
        self.axes.iter().map(|a| a.size).collect()
    }

    /// The units that a shrinking axis has elements of, with how many each of their channels has there.
    pub(crate) fn shrinking(&self, axis: usize) -> &[(u32, u32)] {
        self.axes.get(axis).map(|a| a.by.as_slice()).unwrap_or_default()
    }

    /// Multiply-accumulates of a node where the shrinking axes have `sizes`.
    pub(crate) fn macs(&self, variable: &Variable, sizes: &[usize]) -> Result<u64> {
        Ok(self.needs(variable, sizes)?.macs)
    }

    /// The name of a node or parameter.
    pub(crate) fn name(&self, variable: &Variable) -> String {
        match variable.of {
            Of::Node(id) => self.graph.node(id).map(|n| n.name.clone()),
            Of::Param(id) => self.graph.value(id).map(|v| v.name.clone()),
        }
        .unwrap_or_default()
    }

    /// What no unit can make smaller.
    pub fn fixed(&self) -> Resources {
        self.fixed
    }
}

//! Edits: collected first, then applied as one, or not at all.

use std::collections::HashMap;

use crate::{Error, Fact, Graph, NodeId, Op, Result, Role, Source, ValueId};

/// A value seen from a patch: one of the graph, or one that the patch will add.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// A value of the graph.
    Existing(ValueId),
    /// Output `slot` of the patch's own `step`.
    New {
        /// Which step of the patch defines it.
        step: usize,
        /// Which of its outputs.
        slot: usize,
    },
}

impl From<ValueId> for Wire {
    fn from(id: ValueId) -> Self {
        Wire::Existing(id)
    }
}

enum Step {
    Node { name: String, op: Op, inputs: Vec<Wire> },
    Param { name: String, fact: Fact, role: Role },
    Replace { old: ValueId, new: Wire },
    Rewire { node: NodeId, input: usize, new: Wire },
    SetOp { node: NodeId, op: Op },
    SetNode { node: NodeId, op: Op, inputs: Vec<Wire> },
    Remove { node: NodeId },
}

/// A named edit of a graph.
///
/// ```
/// use occam_graph::{ops::{Activation, examples}, Patch};
/// let mut graph = examples::small_classifier()?;
/// let (_, node) = graph.nodes().next().ok_or("no node")?;
/// let value = node.outputs[0];
/// let mut patch = Patch::new("relu_after");
/// let relu = patch.node("extra", Activation::Relu, [value]);
/// patch.replace(value, relu);
/// patch.apply(&mut graph)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Patch {
    name: String,
    steps: Vec<Step>,
}

impl Patch {
    /// An edit without steps, called `name` in errors.
    pub fn new(name: &str) -> Self {
        Self { name: name.into(), steps: Vec::new() }
    }

    fn push(&mut self, step: Step) -> Wire {
        self.steps.push(step);
        Wire::New { step: self.steps.len() - 1, slot: 0 }
    }

    /// Adds a node and returns its first output.
    pub fn node(
        &mut self,
        name: &str,
        op: impl Into<Op>,
        inputs: impl IntoIterator<Item = impl Into<Wire>>,
    ) -> Wire {
        let inputs = inputs.into_iter().map(Into::into).collect();
        self.push(Step::Node { name: name.into(), op: op.into(), inputs })
    }

    /// Adds a parameter.
    pub fn param(&mut self, name: &str, fact: Fact, role: Role) -> Wire {
        self.push(Step::Param { name: name.into(), fact, role })
    }

    /// Gives `new` to every reader of `old`: nodes outside this patch, outputs and module calls.
    pub fn replace(&mut self, old: ValueId, new: impl Into<Wire>) {
        self.push(Step::Replace { old, new: new.into() });
    }

    /// Gives `new` to one input of one node.
    pub fn rewire(&mut self, node: NodeId, input: usize, new: impl Into<Wire>) {
        self.push(Step::Rewire { node, input, new: new.into() });
    }

    /// Changes a node's operator.
    pub fn set_op(&mut self, node: NodeId, op: impl Into<Op>) {
        self.push(Step::SetOp { node, op: op.into() });
    }

    /// Makes a node compute something else of other values; its name, its outputs and their names stay.
    pub fn set_node(
        &mut self,
        node: NodeId,
        op: impl Into<Op>,
        inputs: impl IntoIterator<Item = impl Into<Wire>>,
    ) {
        let inputs = inputs.into_iter().map(Into::into).collect();
        self.steps.push(Step::SetNode { node, op: op.into(), inputs });
    }

    /// Whether there is no step.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Removes a node, whose outputs must have no reader by then; module calls that name them are forgotten.
    /// Parameters that nobody reads any more go with it.
    pub fn remove(&mut self, node: NodeId) {
        self.push(Step::Remove { node });
    }

    /// Applies all steps in order, infers the facts anew and verifies the graph.
    ///
    /// # Errors
    /// A step does not fit, a replaced value's type or shape would change in a way its readers refuse, or the
    /// result breaks a rule. The graph is then as it was.
    pub fn apply(self, graph: &mut Graph) -> Result<()> {
        let mut edited = graph.clone();
        self.run(&mut edited).map_err(|e| match e {
            Error::Graph(message) => Error::Patch { patch: self.name.clone(), message },
            other => Error::Patch { patch: self.name.clone(), message: other.to_string() },
        })?;
        *graph = edited;
        Ok(())
    }

    fn run(&self, graph: &mut Graph) -> Result<()> {
        let first_new = graph.nodes.len();
        let mut reads = Reads::of(graph);
        let mut defined: Vec<Vec<ValueId>> = Vec::with_capacity(self.steps.len());
        let resolve = |wire: Wire, defined: &[Vec<ValueId>]| match wire {
            Wire::Existing(id) => Ok(id),
            Wire::New { step, slot } => defined
                .get(step)
                .and_then(|outputs| outputs.get(slot))
                .copied()
                .ok_or_else(|| Error::Graph(format!("step {step} has no output {slot}"))),
        };
        for step in &self.steps {
            let outputs = match step {
                Step::Node { name, op, inputs } => {
                    let inputs = inputs.iter().map(|&w| resolve(w, &defined)).collect::<Result<Vec<_>>>()?;
                    let outputs = graph.add_node(name, op.clone(), &inputs)?;
                    reads.add(NodeId(graph.nodes.len().saturating_sub(1) as u32), &inputs);
                    outputs
                }
                Step::Param { name, fact, role } => {
                    vec![graph.add_param(name, fact.clone(), *role)?]
                }
                Step::Replace { old, new } => {
                    let new = resolve(*new, &defined)?;
                    graph.replace_readers(*old, new, first_new, &mut reads)?;
                    Vec::new()
                }
                Step::Rewire { node, input, new } => {
                    let new = resolve(*new, &defined)?;
                    graph.value(new)?;
                    let slot = graph.node_mut(*node)?.inputs.get_mut(*input);
                    let slot = slot.ok_or_else(|| Error::Graph(format!("there is no input {input}")))?;
                    reads.take(&[*slot]);
                    reads.add(*node, &[new]);
                    *slot = new;
                    Vec::new()
                }
                Step::SetOp { node, op } => {
                    graph.node_mut(*node)?.op = op.clone();
                    Vec::new()
                }
                Step::SetNode { node, op, inputs } => {
                    let inputs = inputs.iter().map(|&w| resolve(w, &defined)).collect::<Result<Vec<_>>>()?;
                    let changed = graph.node_mut(*node)?;
                    reads.take(&changed.inputs);
                    reads.add(*node, &inputs);
                    (changed.op, changed.inputs) = (op.clone(), inputs);
                    Vec::new()
                }
                Step::Remove { node } => {
                    graph.remove_node(*node, &mut reads)?;
                    Vec::new()
                }
            };
            defined.push(outputs);
        }
        graph.infer()?;
        graph.verify()
    }
}

/// Who reads each value while a patch is applied: asking the nodes would take as many steps as there are nodes, for each of
/// as many steps of the patch.
#[derive(Default)]
struct Reads {
    /// By value: nodes that read it, or did.
    nodes: HashMap<ValueId, Vec<NodeId>>,
    /// By value: how many inputs of nodes it is.
    counts: HashMap<ValueId, usize>,
}

impl Reads {
    fn of(graph: &Graph) -> Self {
        let mut reads = Self::default();
        for (id, node) in graph.nodes() {
            reads.add(id, &node.inputs);
        }
        reads
    }

    fn add(&mut self, node: NodeId, inputs: &[ValueId]) {
        for &v in inputs {
            self.nodes.entry(v).or_default().push(node);
            *self.counts.entry(v).or_default() += 1;
        }
    }

    /// Forgets that a node has these inputs.
    fn take(&mut self, inputs: &[ValueId]) {
        for v in inputs {
            if let Some(count) = self.counts.get_mut(v) {
                *count = count.saturating_sub(1);
            }
        }
    }

    fn any(&self, v: ValueId) -> bool {
        self.counts.get(&v).is_some_and(|&n| n > 0)
    }
}

impl Graph {
    fn node_mut(&mut self, id: NodeId) -> Result<&mut crate::Node> {
        self.nodes
            .get_mut(id.index())
            .and_then(Option::as_mut)
            .ok_or_else(|| Error::Graph(format!("there is no node #{}", id.0)))
    }

    fn replace_readers(
        &mut self,
        old: ValueId,
        new: ValueId,
        before: usize,
        reads: &mut Reads,
    ) -> Result<()> {
        self.value(new)?;
        let readers = reads.nodes.remove(&old).unwrap_or_default();
        let (changed, kept): (Vec<_>, Vec<_>) = readers.into_iter().partition(|id| id.index() < before);
        reads.nodes.insert(old, kept);
        for id in changed {
            let Some(Some(node)) = self.nodes.get_mut(id.index()) else { continue };
            for v in node.inputs.iter_mut().filter(|v| **v == old) {
                *v = new;
                reads.take(&[old]);
                reads.add(id, &[new]);
            }
        }
        self.outputs.iter_mut().filter(|(_, v)| *v == old).for_each(|(_, v)| *v = new);
        for call in self.modules.values_mut().flatten() {
            call.inputs.iter_mut().chain(&mut call.outputs).filter(|v| **v == old).for_each(|v| *v = new);
        }
        Ok(())
    }

    fn remove_node(&mut self, id: NodeId, reads: &mut Reads) -> Result<()> {
        let node = self.node(id)?.clone();
        for &v in &node.outputs {
            if reads.any(v) || self.outputs.iter().any(|(_, o)| *o == v) {
                return Err(Error::Graph(format!("node `{}` still has readers", node.name)));
            }
            for calls in self.modules.values_mut() {
                calls.retain(|c| !c.inputs.contains(&v) && !c.outputs.contains(&v));
            }
        }
        self.modules.retain(|_, calls| !calls.is_empty());
        if let Some(slot) = self.nodes.get_mut(id.index()) {
            *slot = None;
        }
        reads.take(&node.inputs);
        for v in node.outputs.iter().chain(&node.inputs) {
            let dead = match self.value(*v).map(|v| v.source) {
                Ok(Source::Node(from, _)) => from == id,
                Ok(Source::Param(_) | Source::Const) => {
                    !reads.any(*v) && !self.outputs.iter().any(|(_, o)| o == v)
                }
                _ => false,
            };
            if dead && let Some(value) = self.values.get_mut(v.index()).and_then(Option::take) {
                self.names.remove(&value.name);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{Activation, examples};

    #[test]
    fn inserts_and_removes() {
        let mut graph = examples::small_classifier().unwrap();
        let before = graph.clone();
        let relu = graph.find_node("backbone.relu").unwrap();
        let (input, output) = {
            let node = graph.node(relu).unwrap();
            (node.inputs[0], node.outputs[0])
        };
        let mut patch = Patch::new("bypass");
        patch.replace(output, input);
        patch.remove(relu);
        patch.apply(&mut graph).unwrap();
        assert!(graph.find_node("backbone.relu").is_none());
        assert_eq!(graph.nodes().count() + 1, before.nodes().count());
    }

    #[test]
    fn what_is_an_output_stays() {
        let mut graph = Graph::new();
        let x = graph.add_input("x", Fact::f32([2usize])).unwrap();
        let c = graph.add_const("c", crate::Array::full([2], 1.0)).unwrap();
        graph.add_node("sum", crate::ops::Binary::Add.into(), &[x, c]).unwrap();
        graph.add_output("c", c).unwrap();
        crate::recognize::drop_unread(&mut graph).unwrap();
        assert_eq!(graph.nodes().count(), 0);
        assert!(graph.value(c).unwrap().constant().is_some());
    }

    #[test]
    fn a_patch_that_does_not_fit_changes_nothing() {
        let mut graph = examples::small_classifier().unwrap();
        let before = graph.clone();
        let relu = graph.find_node("backbone.relu").unwrap();
        let mut patch = Patch::new("too_early");
        patch.remove(relu);
        let error = patch.apply(&mut graph).unwrap_err().to_string();
        assert_eq!(error, "patch `too_early`: node `backbone.relu` still has readers");
        assert_eq!(graph, before);

        let value = graph.find("backbone.conv").unwrap();
        let mut patch = Patch::new("circle");
        let wire = patch.node("extra", Activation::Relu, [graph.find("backbone.relu").unwrap()]);
        patch.rewire(relu, 0, wire);
        assert!(patch.apply(&mut graph).unwrap_err().to_string().contains("depends on itself"));
        let mut patch = Patch::new("twice");
        patch.node("backbone.relu", Activation::Relu, [value]);
        assert!(patch.apply(&mut graph).unwrap_err().to_string().contains("already"));
        assert_eq!(graph, before);
    }
}

//! Finds in imported graphs what passes work on.
//!
//! Files say a model in ONNX's operators, and exporters write functions that a framework has as one layer out in several.
//! The passes here turn both into the families of [`crate::ops`], so that pruning, quantization and costs see convolutions,
//! linear layers, norms and activations, whatever the exporter was. What none of them knows stays an operator of ONNX.
//! Outputs keep their names, and every pass leaves a graph that computes the same.

mod activation;
mod channel_shuffle;
mod conv;
mod gelu;
mod layer_norm;
mod linear;
mod modules;
mod norm;
mod pool;
mod shape;
mod view;

use std::collections::{BTreeMap, HashSet};

use crate::{Fact, Graph, Op, Patch, Result, ValueId, Weights};
pub use modules::module_path;
use view::{Found, View};

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recognized {
    /// Layers that exporters wrote out in several nodes: kind and name of the last node.
    pub written_out: Vec<(&'static str, String)>,
    /// Convolutions with a bias and no batch normalization after them, in a graph that has no batch normalization: it was
    /// folded when the model was exported.
    pub folded: Vec<String>,
    /// How many nodes stay operators of ONNX, by name.
    pub left: BTreeMap<String, usize>,
}

/// A pass: looks at a graph and says what to change.
type Pass = fn(&View<'_>, &mut Edit<'_>) -> Result<()>;

/// In this order: what is written out in several nodes comes before the nodes it is written in.
const PASSES: &[(&str, Pass)] = &[
    ("gelu", gelu::pass),
    ("layer_norm", layer_norm::pass),
    ("hard_swish", activation::written_out),
    ("linear", linear::pass),
    ("channel_shuffle", channel_shuffle::pass),
    ("conv", conv::pass),
    ("norm", norm::pass),
    ("pool", pool::pass),
    ("activation", activation::pass),
    ("gates", activation::gates),
    ("shape", shape::pass),
];

/// What a pass changes.
///
/// A pattern may match what is not quite the layer: constants that broadcast raise a rank, a scale of one element stands for
/// a vector. [`Edit::replace_with`] therefore asks the operator what it makes of its operands, and leaves a node alone whose
/// result would be another.
struct Edit<'a> {
    patch: Patch,
    weights: &'a mut Weights,
    /// Facts of parameters that get another shape.
    facts: Vec<(ValueId, Fact)>,
    report: &'a mut Recognized,
}

impl Edit<'_> {
    /// Makes `found` compute `op` of `inputs`; whether it does: not where the operator refuses them, or its result is of
    /// another type or shape.
    fn replace_with(
        &mut self,
        view: &View<'_>,
        found: &Found<'_>,
        op: impl Into<Op>,
        inputs: &[ValueId],
    ) -> Result<bool> {
        let op = op.into();
        let fits = self.fits(view, found, &op, inputs, None)?;
        if fits {
            self.patch.set_node(found.id, op, inputs.iter().copied());
        }
        Ok(fits)
    }

    /// Whether `op` makes of `inputs` what `found` computes, where `other` is a value that gets another fact.
    fn fits(
        &self,
        view: &View<'_>,
        found: &Found<'_>,
        op: &Op,
        inputs: &[ValueId],
        other: Option<(ValueId, &Fact)>,
    ) -> Result<bool> {
        let mut facts = Vec::with_capacity(inputs.len());
        for &v in inputs {
            let edited =
                self.facts.iter().map(|(id, fact)| (*id, fact)).chain(other).find(|(id, _)| *id == v);
            facts.push(match edited {
                Some((_, fact)) => fact,
                None => &view.graph.value(v)?.fact,
            });
        }
        let wanted = view.graph.facts(&found.node.outputs)?;
        Ok(op.family().infer(&facts).is_ok_and(|facts| {
            facts.len() == wanted.len() && facts.iter().zip(wanted).all(|(a, b)| same(a, b))
        }))
    }
}

/// Whether two facts say the same: sizes that are both open may be told by different symbols.
fn same(a: &Fact, b: &Fact) -> bool {
    let dims = || a.shape.iter().zip(&b.shape);
    a.dtype == b.dtype && a.rank() == b.rank() && dims().all(|(a, b)| a.known() == b.known())
}

/// Turns ONNX's operators into the graph's own families where they say the same; see the module.
///
/// # Errors
/// The graph breaks a rule of its own.
pub fn recognize(graph: &mut Graph, weights: &mut Weights) -> Result<Recognized> {
    let mut report = Recognized::default();
    for (name, pass) in PASSES {
        let mut edit = Edit { patch: Patch::new(name), weights, facts: Vec::new(), report: &mut report };
        pass(&View::new(graph)?, &mut edit)?;
        let Edit { patch, facts, .. } = edit;
        for (id, fact) in facts {
            graph.set_fact(id, fact)?;
        }
        if !patch.is_empty() {
            patch.apply(graph)?;
        }
    }
    drop_unread(graph)?;
    modules::note(graph)?;
    report.folded = conv::folded(graph)?;
    for (_, node) in graph.nodes() {
        if let Op::Onnx(op) = &node.op {
            *report.left.entry(op.op_type.clone()).or_default() += 1;
        }
    }
    Ok(report)
}

/// Removes nodes that nothing reads.
///
/// # Errors
/// The graph breaks a rule of its own.
pub fn drop_unread(graph: &mut Graph) -> Result<()> {
    let mut read: HashSet<ValueId> = graph.outputs().iter().map(|(_, v)| *v).collect();
    let mut patch = Patch::new("drop_unread");
    for &id in graph.order()?.iter().rev() {
        let node = graph.node(id)?;
        if node.outputs.iter().any(|v| read.contains(v)) {
            read.extend(&node.inputs);
        } else {
            patch.remove(id);
        }
    }
    if patch.is_empty() { Ok(()) } else { patch.apply(graph) }
}

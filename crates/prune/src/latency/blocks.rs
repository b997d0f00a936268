//! What of a model is timed together.

use std::collections::HashMap;
use std::fmt::Write;

use occam_graph::{Bindings, Graph, NodeId, Source, ValueId};
use occam_space::Trace;

use crate::Result;

/// Operators that runtimes compute together with what computes their input, under the names of both kinds of operators.
const FOLLOWERS: &[&str] = &[
    "Activation",
    "Add",
    "BatchNorm",
    "BatchNormalization",
    "Binary",
    "Clip",
    "Div",
    "Dropout",
    "Elu",
    "Gelu",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "LeakyRelu",
    "Mish",
    "Mul",
    "PRelu",
    "Relu",
    "Scale",
    "Sigmoid",
    "Softplus",
    "Sub",
    "Tanh",
];

/// A size that shrinks with units.
#[derive(Debug, Clone, PartialEq)]
struct Size {
    full: usize,
    /// Units, and how many elements each of their channels has.
    by: Vec<(usize, usize)>,
}

/// Nodes that are timed as one: a convolution or the like with the normalizations, activations and sums after it.
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    /// What it computes, with letters in place of the sizes that units change. Equal blocks take equal times, in whatever model.
    pub op: String,
    sizes: Vec<Size>,
}

impl Block {
    /// Its sizes where unit `u` has lost `gone[u]` channels, in the order of its letters.
    pub fn sizes(&self, gone: &[usize]) -> Vec<usize> {
        let lost = |&(u, each): &(usize, usize)| gone.get(u).map_or(0, |g| g * each);
        self.sizes.iter().map(|s| s.full.saturating_sub(s.by.iter().map(lost).sum())).collect()
    }

    /// By letter the largest number that divides every size of a model whose units have widths that are multiples of `steps`.
    pub fn grains(&self, steps: &[usize]) -> Vec<usize> {
        let gcd = |a, &(u, each): &(usize, usize)| super::gcd(a, steps.get(u).copied().unwrap_or(1) * each);
        self.sizes.iter().map(|s| s.by.iter().fold(0, gcd).max(1)).collect()
    }
}

/// A graph in blocks: every node is in one.
#[derive(Debug)]
pub struct Blocks {
    /// In order of execution.
    pub all: Vec<Block>,
    /// By unit the blocks that shrink with it.
    pub of_unit: Vec<Vec<usize>>,
    /// Channels of each unit.
    channels: Vec<usize>,
    /// Blocks by the names of their nodes and of what these compute.
    names: HashMap<String, usize>,
}

impl Blocks {
    /// Divides `graph`; sizes with symbols are those of `bindings`.
    ///
    /// # Errors
    /// The graph is broken, or a symbol is not bound.
    pub fn of(graph: &Graph, trace: &Trace, bindings: &Bindings) -> Result<Self> {
        let mut block_of: HashMap<NodeId, usize> = HashMap::new();
        let mut nodes: Vec<Vec<NodeId>> = Vec::new();
        for id in graph.order()? {
            let node = graph.node(id)?;
            let follows =
                FOLLOWERS.contains(&node.op.family().name()) || FOLLOWERS.contains(&node.op.family_name());
            let before = node.inputs.iter().filter_map(|&v| match graph.value(v).ok()?.source {
                Source::Node(producer, _) => block_of.get(&producer).copied(),
                _ => None,
            });
            // Of what a sum adds, the runtime computes the last with the sum.
            let block = before.filter(|_| follows).max().unwrap_or(nodes.len());
            match nodes.get_mut(block) {
                Some(list) => list.push(id),
                None => nodes.push(vec![id]),
            }
            block_of.insert(id, block);
        }
        let mut shares: HashMap<(ValueId, usize), Vec<(usize, usize)>> = HashMap::new();
        for (u, unit) in trace.units.iter().enumerate().filter(|(_, u)| u.kept_by.is_none()) {
            for member in &unit.members {
                shares.entry((member.value, member.axis)).or_default().push((u, member.per_channel));
            }
        }
        let mut blocks = Self {
            all: Vec::with_capacity(nodes.len()),
            of_unit: vec![Vec::new(); trace.units.len()],
            channels: trace.units.iter().map(|u| u.channels).collect(),
            names: HashMap::new(),
        };
        for list in &nodes {
            let index = blocks.all.len();
            let block = block(graph, list, &shares, bindings)?;
            for unit in block.sizes.iter().flat_map(|s| &s.by).map(|(u, _)| *u) {
                if let Some(own) = blocks.of_unit.get_mut(unit).filter(|own| own.last() != Some(&index)) {
                    own.push(index);
                }
            }
            for &id in list {
                let node = graph.node(id)?;
                blocks.names.insert(node.name.clone(), index);
                for &v in &node.outputs {
                    blocks.names.insert(graph.value(v)?.name.clone(), index);
                }
            }
            blocks.all.push(block);
        }
        Ok(blocks)
    }

    /// How many channels each unit has lost at `widths`.
    pub fn gone(&self, widths: &[usize]) -> Vec<usize> {
        self.channels.iter().zip(widths).map(|(&c, &w)| c.saturating_sub(w)).collect()
    }

    /// The seconds of each block from those of a runtime's steps, in order of execution.
    ///
    /// A step belongs to the block of the longest name that is part of its own, since runtimes add to names. One without any,
    /// such as a change of layout, belongs to the block that ran before, or where it prepares inputs to the one after.
    pub fn attribute(&self, steps: &[occam_runtime::Step]) -> Vec<f64> {
        let owners: Vec<Option<usize>> = steps.iter().map(|s| self.find(&s.name)).collect();
        let mut seconds = vec![0.0; self.all.len()];
        for (i, step) in steps.iter().enumerate() {
            let before = owners.iter().take(i).rev().flatten().next();
            let after = owners.iter().skip(i + 1).flatten().next();
            let near =
                if step.name.starts_with("ReorderInput") { after.or(before) } else { before.or(after) };
            let owner = owners.get(i).copied().flatten().or(near.copied());
            if let Some(total) = owner.and_then(|o| seconds.get_mut(o)) {
                *total += step.seconds;
            }
        }
        seconds
    }

    fn find(&self, step: &str) -> Option<usize> {
        let bounded = |name: &str| {
            let mut places = step.match_indices(name).map(|(start, _)| (start, start + name.len()));
            places.any(|(start, end)| {
                let outside = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
                outside(step.get(..start).and_then(|s| s.chars().next_back()))
                    && outside(step.get(end..).and_then(|s| s.chars().next()))
            })
        };
        if let Some(&block) = self.names.get(step) {
            return Some(block);
        }
        let known = self.names.iter().filter(|(name, _)| !name.is_empty() && bounded(name));
        known.max_by_key(|(name, _)| (name.len(), *name)).map(|(_, &block)| block)
    }
}

/// The block of `nodes`.
fn block(
    graph: &Graph,
    nodes: &[NodeId],
    shares: &HashMap<(ValueId, usize), Vec<(usize, usize)>>,
    bindings: &Bindings,
) -> Result<Block> {
    let mut sizes: Vec<Size> = Vec::new();
    let mut op = String::new();
    // Writing into a text cannot fail.
    for &id in nodes {
        let node = graph.node(id)?;
        let mut facts = String::new();
        for (i, &v) in node.inputs.iter().chain(&node.outputs).enumerate() {
            let value = graph.value(v)?;
            let separator = if i == node.inputs.len() {
                " -> "
            } else if i > 0 {
                ", "
            } else {
                ""
            };
            let _ = write!(facts, "{separator}{}[", value.fact.dtype);
            for (axis, dim) in value.fact.shape.iter().enumerate() {
                let full = dim.eval(bindings)?;
                let comma = if axis > 0 { "," } else { "" };
                match shares.get(&(v, axis)) {
                    None => {
                        let _ = write!(facts, "{comma}{full}");
                    }
                    Some(by) => {
                        let size = Size { full, by: by.clone() };
                        let known = sizes.iter().position(|s| *s == size);
                        let letter = known.unwrap_or_else(|| {
                            sizes.push(size);
                            sizes.len() - 1
                        });
                        let _ = write!(facts, "{comma}{}", name(letter));
                    }
                }
            }
            facts.push(']');
        }
        if !op.is_empty() {
            op.push_str("; ");
        }
        op.push_str(node.op.family().name());
        let attributes: Vec<String> = node
            .op
            .family()
            .attributes()
            .into_iter()
            .map(|(key, value)| {
                // Groups of one channel are as many as there are channels.
                let same = sizes.iter().position(|s| key.contains("group") && value == s.full.to_string());
                format!("{key}={}", same.map_or(value, name))
            })
            .collect();
        let _ = write!(op, "{{{}}}({facts})", attributes.join(","));
    }
    Ok(Block { op, sizes })
}

/// The letter of a size.
fn name(index: usize) -> String {
    let letter = char::from(b'a' + (index % 26) as u8);
    if index < 26 { letter.to_string() } else { format!("{letter}{}", index / 26) }
}

//! The rules every graph keeps.

use std::collections::HashSet;

use crate::{Error, Graph, Result, Source};

impl Graph {
    /// Checks the graph's own rules: all edges lead to values that exist, values and their nodes name each other,
    /// names are unique, no circle, and every fact is what its operator infers.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn verify(&self) -> Result<()> {
        let broken = |m: String| Err(Error::Graph(m));
        let mut names = HashSet::new();
        let inputs: HashSet<_> = self.inputs.iter().copied().collect();
        for (id, node) in self.nodes() {
            if !names.insert(&node.name) {
                return broken(format!("two nodes are called `{}`", node.name));
            }
            for &v in &node.inputs {
                if self.value(v).is_err() {
                    return broken(format!("node `{}` reads a value that does not exist", node.name));
                }
            }
            for (slot, &v) in node.outputs.iter().enumerate() {
                if self.value(v)?.source != Source::Node(id, slot) {
                    return broken(format!("output {slot} of node `{}` is not its own", node.name));
                }
            }
        }
        for (id, value) in self.values() {
            if self.find(&value.name) != Some(id) {
                return broken(format!("value `{}` is not found by its name", value.name));
            }
            let listed = match value.source {
                Source::Node(node, slot) => self.node(node).is_ok_and(|n| n.outputs.get(slot) == Some(&id)),
                Source::Input => inputs.contains(&id),
                Source::Param(_) => true,
                Source::Const => value.constant().is_some(),
            };
            if !listed {
                return broken(format!("the source of value `{}` does not name it", value.name));
            }
        }
        for (name, v) in &self.outputs {
            if self.value(*v).is_err() {
                return broken(format!("output `{name}` is a value that does not exist"));
            }
        }
        for (path, calls) in &self.modules {
            for v in calls.iter().flat_map(|c| c.inputs.iter().chain(&c.outputs)) {
                if self.value(*v).is_err() {
                    return broken(format!("module `{path}` names a value that does not exist"));
                }
            }
        }
        for id in self.order()? {
            let node = self.node(id)?;
            let inferred = crate::graph::infer(&node.name, &node.op, &self.known(&node.inputs)?)?;
            let found = self.facts(&node.outputs)?;
            if inferred.len() != found.len() || inferred.iter().zip(&found).any(|(a, b)| a.fact != **b) {
                return broken(format!("facts of node `{}` are not what it infers", node.name));
            }
        }
        Ok(())
    }
}

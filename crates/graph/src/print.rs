//! A graph as text: one line a node, stable and diffable.

use std::fmt;

use crate::Graph;

/// Inputs, parameters, nodes in order of execution and outputs, each with its fact.
impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |v| self.value(v).map_or("?", |v| v.name.as_str());
        for &v in &self.inputs {
            if let Ok(value) = self.value(v) {
                writeln!(f, "input {}: {}", value.name, value.fact)?;
            }
        }
        let order = self.order().unwrap_or_else(|_| self.nodes().map(|(id, _)| id).collect());
        for id in order {
            let Ok(node) = self.node(id) else { continue };
            let inputs: Vec<&str> = node.inputs.iter().map(|&v| name(v)).collect();
            write!(f, "{} = {}({})", node.name, node.op.family().name(), inputs.join(", "))?;
            let attributes = node.op.family().attributes();
            if !attributes.is_empty() {
                let list: Vec<String> =
                    attributes.iter().map(|(key, value)| format!("{key}={value}")).collect();
                write!(f, " {{{}}}", list.join(", "))?;
            }
            for &v in &node.outputs {
                if let Ok(value) = self.value(v) {
                    write!(f, " -> {}", value.fact)?;
                }
            }
            writeln!(f)?;
        }
        for (output, v) in &self.outputs {
            if let Ok(value) = self.value(*v) {
                writeln!(f, "output {output} = {}: {}", value.name, value.fact)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn prints_a_line_a_node() {
        let graph = crate::ops::examples::small_classifier().unwrap();
        insta::assert_snapshot!(graph.to_string());
    }
}

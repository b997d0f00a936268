//! What is told of a graph.

use occam_graph::{Bindings, Graph, Role, ValueId, picture};
use serde_json::json;

use super::Args;
use crate::cli::Outcome;
use crate::console::{print_json, print_line};
use crate::table;

/// A graph, and what is known beside it.
pub struct Report<'a> {
    pub graph: &'a Graph,
    /// Sizes that the graph leaves open.
    pub bindings: Bindings,
    /// What the costs are for.
    pub of: String,
    /// Lines at the end.
    pub notes: Vec<String>,
    /// More entries for machines.
    pub extra: Vec<(&'static str, serde_json::Value)>,
}

/// A node's figures; none where a size is only known when the model runs.
struct Layer {
    name: String,
    op: &'static str,
    inputs: Vec<String>,
    outputs: Vec<String>,
    macs: Option<u64>,
    activations: Option<u64>,
    params: u64,
}

impl Report<'_> {
    pub fn tell(self, args: &Args, json: bool) -> Outcome {
        if args.graph {
            match json {
                true => print_json(&json!({ "graph": self.graph.to_string() })),
                false => print_line(self.graph.to_string().trim_end()),
            }
            return Ok(());
        }
        let layers = self.layers()?;
        if let Some(path) = &args.svg {
            let file = args.config.config.file_name().unwrap_or_default();
            let title = file.to_string_lossy();
            let costs: std::collections::HashMap<&str, &Layer> =
                layers.iter().map(|l| (l.name.as_str(), l)).collect();
            let note = |node: &occam_graph::Node| {
                let layer = costs.get(node.name.as_str())?;
                Some(format!("MACs: {}\nparams: {}", count(layer.macs), table::count(layer.params)))
            };
            let text = picture::svg(self.graph, &title, &note)?;
            occam_io::atomic_write(path, |f| std::io::Write::write_all(f, text.as_bytes()))?;
        }
        let sum =
            |of: fn(&Layer) -> Option<u64>| layers.iter().filter_map(of).fold(0u64, u64::saturating_add);
        let (macs, activations) = (sum(|l| l.macs), sum(|l| l.activations));
        let params = self.params()?;
        let unknown = layers.iter().filter(|l| l.macs.is_none()).count();
        if json {
            let list: Vec<_> = layers.iter().map(Layer::json).collect();
            let mut all = json!({
                "layers": list,
                "total": { "macs": macs, "params": params, "activations": activations },
                "unknown_layers": unknown,
            });
            for (key, value) in self.extra {
                all[key] = value;
            }
            print_json(&all);
            return Ok(());
        }
        let rows: Vec<Vec<String>> = layers.iter().map(Layer::row).collect();
        let header = ["layer", "op", "inputs", "output", "MACs", "params", "activations"];
        print_line(&table::render(&header, &rows));
        print_line(&format!(
            "\n{} MACs, {} parameters, {} activations {}",
            table::count(macs),
            table::count(params),
            table::count(activations),
            self.of
        ));
        if unknown > 0 {
            let layers = if unknown == 1 { "1 layer" } else { &format!("{unknown} layers") };
            print_line(&format!("without {layers} whose sizes are only known when the model runs"));
        }
        self.notes.iter().for_each(|n| print_line(n));
        Ok(())
    }

    fn layers(&self) -> Result<Vec<Layer>, occam_graph::Error> {
        let graph = self.graph;
        let dims = |values: &[ValueId], params: bool| -> Result<Vec<String>, occam_graph::Error> {
            let mut list = Vec::new();
            for &v in values {
                let value = graph.value(v)?;
                if params || value.role().is_none() && value.constant().is_none() {
                    let sizes = value.fact.shape.iter().map(|d| match d.eval(&self.bindings) {
                        Ok(n) => n.to_string(),
                        Err(_) => "?".into(),
                    });
                    list.push(sizes.collect::<Vec<_>>().join("x"));
                }
            }
            Ok(list)
        };
        let mut layers = Vec::new();
        for id in graph.order()? {
            let node = graph.node(id)?;
            let (inputs, outputs) = (graph.facts(&node.inputs)?, graph.facts(&node.outputs)?);
            let cost = node.op.family().cost(&inputs, &outputs, &self.bindings).ok();
            layers.push(Layer {
                name: node.name.clone(),
                op: node.op.family().name(),
                inputs: dims(&node.inputs, false)?,
                outputs: dims(&node.outputs, true)?,
                macs: cost.map(|c| c.macs),
                activations: cost.map(|c| c.activations),
                params: self.params_of(&node.inputs)?,
            });
        }
        Ok(layers)
    }

    /// Trainable parameters that a node reads.
    fn params_of(&self, inputs: &[ValueId]) -> Result<u64, occam_graph::Error> {
        let mut sum = 0;
        for &v in inputs {
            let value = self.graph.value(v)?;
            if value.role() == Some(Role::Weight) {
                sum += value.fact.numel(&self.bindings)?;
            }
        }
        Ok(sum)
    }

    /// Trainable parameters of the graph; a shared one counts once.
    fn params(&self) -> Result<u64, occam_graph::Error> {
        let weights = self.graph.params().filter(|(_, v)| v.role() == Some(Role::Weight));
        weights.map(|(_, v)| v.fact.numel(&self.bindings)).sum()
    }
}

fn count(n: Option<u64>) -> String {
    n.map_or_else(|| "?".into(), table::count)
}

impl Layer {
    fn json(&self) -> serde_json::Value {
        json!({
            "name": self.name, "op": self.op, "input": self.inputs, "output": self.outputs, "macs": self.macs,
            "params": self.params, "activations": self.activations,
        })
    }

    fn row(&self) -> Vec<String> {
        vec![
            self.name.clone(),
            self.op.to_owned(),
            self.inputs.join(" "),
            self.outputs.join(" "),
            if self.macs == Some(0) { String::new() } else { count(self.macs) },
            if self.params == 0 { String::new() } else { table::count(self.params) },
            count(self.activations),
        ]
    }
}

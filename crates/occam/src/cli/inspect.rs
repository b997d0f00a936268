//! `occam inspect`

use occam_graph::{Bindings, Graph, Role};
use occam_train::Env;
use occam_train::export::fix_image_size;
use occam_zoo::{Architecture, TaskModel};
use serde_json::json;

use super::Outcome;
use super::common::{ConfigArgs, image_size, parse_shape};
use crate::console::{print_json, print_line};
use crate::diagnostic::Failure;
use crate::table;

/// Show a model's layers, shapes and cost
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    occam inspect configs/fashion_mnist/resnet20.py\n  \
    occam inspect model.py --shape 3,224,224 --json\n  \
    occam inspect configs/fashion_mnist/resnet20.py --graph\n\n\
    MACs are multiply-accumulates of convolutions and matrix products for one image; params are trainable.")]
pub struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Channels, height and width of the images [default: those of the config's data, else C,224,224]
    #[arg(long, value_parser = parse_shape, value_name = "C,H,W")]
    shape: Option<[usize; 3]>,
    /// Print the graph as text instead
    #[arg(long)]
    graph: bool,
}

impl Args {
    pub fn run(self, json: bool) -> Outcome {
        let kind = self.config.config.extension().and_then(|e| e.to_str());
        if kind == Some("onnx") {
            return Err(Failure::new("ONNX files cannot be read, only written")
                .with_help("give the config the model was trained with"));
        }
        let config = self.config.load()?;
        let registry = occam::registry();
        let loader = self.config.loader()?;
        let env = Env {
            registry: &registry,
            loader: &loader,
            seed: occam_data::Seed(0),
            device: occam_engine::Device::cpu(),
        };
        let Some(value) = config.get("model") else {
            return Err(Failure::new("the config has no `model`")
                .with_help("a recipe has several; inspect the config of one run, WORK/<model>/config.py"));
        };
        // Of an algorithm, the model that is exported.
        let known = registry.names::<dyn Architecture>();
        let inner = value.get("architecture").filter(|_| {
            value.type_name().is_some_and(|name| !known.contains(&name)) && value.get("cfg_path").is_none()
        });
        let TaskModel { graph, .. } = env.task_model(inner.unwrap_or(value))?;
        let size = image_size(self.shape, &config, &registry, &graph);
        let graph = fix_image_size(&graph, size)?;
        if self.graph {
            match json {
                true => print_json(&json!({ "graph": graph.to_string() })),
                false => print_line(graph.to_string().trim_end()),
            }
            return Ok(());
        }
        let bindings = Bindings::from([("N".into(), 1)]);
        let cost = graph.cost(&bindings)?;
        let mut rows = Vec::new();
        let mut layers = Vec::new();
        for (id, c) in &cost.nodes {
            let node = graph.node(*id)?;
            let params = params_of(&graph, &node.inputs, &bindings)?;
            let shapes: Vec<String> = graph.facts(&node.outputs)?.iter().map(|f| dims(&f.shape)).collect();
            let op = node.op.family().name();
            layers.push(json!({
                "name": node.name, "op": op, "output": shapes, "macs": c.macs, "params": params,
                "activations": c.activations,
            }));
            rows.push(vec![
                node.name.clone(),
                op.to_owned(),
                shapes.join(" "),
                if c.macs == 0 { String::new() } else { table::count(c.macs) },
                if params == 0 { String::new() } else { table::count(params) },
            ]);
        }
        if json {
            print_json(&json!({
                "layers": layers,
                "total": { "macs": cost.total.macs, "params": cost.params, "activations": cost.total.activations },
                "image": size,
            }));
            return Ok(());
        }
        print_line(&table::render(&["layer", "op", "output", "MACs", "params"], &rows));
        let [c, h, w] = size;
        print_line(&format!(
            "\n{} MACs, {} parameters, {} activations for one image of {c}x{h}x{w}",
            table::count(cost.total.macs),
            table::count(cost.params),
            table::count(cost.total.activations)
        ));
        Ok(())
    }
}

fn dims(shape: &[occam_graph::Dim]) -> String {
    shape.iter().map(ToString::to_string).collect::<Vec<_>>().join("x")
}

/// Trainable parameters that a node reads.
fn params_of(
    graph: &Graph,
    inputs: &[occam_graph::ValueId],
    bindings: &Bindings,
) -> Result<u64, occam_graph::Error> {
    let mut sum = 0;
    for &v in inputs {
        let value = graph.value(v)?;
        if value.role() == Some(Role::Weight) {
            sum += value.fact.numel(bindings)?;
        }
    }
    Ok(sum)
}

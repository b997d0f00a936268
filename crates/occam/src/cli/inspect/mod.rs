//! `occam inspect`

mod onnx;
mod report;
mod units;

use std::path::PathBuf;

use occam_graph::Bindings;
use occam_train::Env;
use occam_train::export::fix_image_size;
use occam_zoo::{Architecture, TaskModel};

use super::Outcome;
use super::common::{ConfigArgs, image_size, parse_shape};
use crate::diagnostic::Failure;
use report::Report;

/// Show a model's layers, shapes and cost
#[derive(clap::Args)]
#[command(mut_arg("config", |a| a.value_name("FILE").help("The model: an ONNX file, or a config (.py, .yaml or .json)")))]
#[command(after_help = "Examples:\n  \
    occam inspect configs/fashion_mnist/resnet20.py\n  \
    occam inspect model.onnx --dim batch=8\n  \
    occam inspect model.onnx --svg model.svg\n  \
    occam inspect model.onnx --units\n  \
    occam inspect model.onnx --why layer1.0.conv1\n  \
    occam inspect model.py --shape 3,224,224 --json\n  \
    occam inspect configs/fashion_mnist/resnet20.py --graph\n\n\
    MACs are multiply-accumulates of convolutions and matrix products for one image; params are trainable.")]
pub struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Channels, height and width of the images of a config's model [default: those of its data, else C,224,224]
    #[arg(long, value_parser = parse_shape, value_name = "C,H,W")]
    shape: Option<[usize; 3]>,
    /// Sizes that an ONNX file leaves open [default: 1]: `batch=8`
    #[arg(long, value_name = "NAME=N", value_parser = super::run::parse_dim)]
    dim: Vec<(String, usize)>,
    /// Print the graph as text instead
    #[arg(long)]
    graph: bool,
    /// Show the channel units instead: which channels can only be removed together, and why some cannot
    #[arg(long)]
    units: bool,
    /// Show one unit, by its name or that of a layer: every place its channels are on, and what keeps them
    #[arg(long, value_name = "NAME")]
    why: Option<String>,
    /// Draw the graph into this file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

impl Args {
    pub fn run(self, json: bool) -> Outcome {
        let kind = self.config.config.extension().and_then(|e| e.to_str());
        if kind == Some("onnx") {
            return onnx::inspect(&self, json);
        }
        if matches!(kind, Some("pth" | "pt" | "safetensors")) {
            return Err(Failure::new(format!("{} has weights alone", self.config.config.display()))
                .with_help("inspect shows the model of a config or an ONNX file"));
        }
        if let Some((name, _)) = self.dim.first() {
            return Err(Failure::new(format!("--dim {name}: a config's model has no sizes of that name"))
                .with_help("give the size of its images with --shape C,H,W"));
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
        if self.units || self.why.is_some() {
            return units::tell(&self, &graph, json);
        }
        let [c, h, w] = size;
        let report = Report {
            graph: &graph,
            bindings: Bindings::from([("N".into(), 1)]),
            of: format!("for one image of {c}x{h}x{w}"),
            notes: Vec::new(),
            extra: vec![("image", serde_json::json!(size))],
        };
        report.tell(&self, json)
    }
}

//! `occam test`

mod compare;
mod file;
mod report;

use std::path::PathBuf;

use serde_json::json;

use self::file::FileArgs;
use super::Outcome;
use super::common::{ConfigArgs, DeviceArgs, OptionalConfigArgs};
use crate::console;
use crate::diagnostic::Failure;

/// Measure a checkpoint on the test data, or an ONNX file in the runtime that it is for
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    occam test configs/fashion_mnist/resnet20.py work_dirs/resnet20/epoch_12.safetensors\n  \
    occam test --model int8.onnx --data images\n  \
    occam test --model int8.onnx --against model.onnx --data images --runtime openvino\n  \
    occam test configs/fashion_mnist/resnet20.py --model int8.onnx --against model.onnx\n  \
    occam test --model int8.onnx --data images --cpu x86-avx2\n\n\
    A file is measured on the images of --data or on the config's test data: its accuracy, and the time of a run. \
    --against measures a second file on the same images, and how alike the two are; their times are taken in turns.")]
pub struct Args {
    #[command(flatten)]
    config: OptionalConfigArgs,
    /// The checkpoint, or weights alone (.safetensors, .pth)
    #[arg(requires = "config", required_unless_present = "model", conflicts_with = "model")]
    checkpoint: Option<PathBuf>,
    /// Write the figures as test.json into this folder as well; searches write what they find there
    #[arg(long, value_name = "DIR")]
    work_dir: Option<PathBuf>,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    file: FileArgs,
}

impl Args {
    pub fn run(self, json: bool) -> Outcome {
        let Self { config, checkpoint, work_dir, device, file } = self;
        let config = config.given();
        let (figures, text) = match (config, checkpoint, file.model.is_some()) {
            (config, None, true) => file.run(config.as_ref(), json)?,
            (Some(config), Some(checkpoint), false) => {
                trained(&config, &checkpoint, work_dir.as_deref(), &device, json)?
            }
            _ => {
                return Err(Failure::new("nothing to test: give a config and a checkpoint, or --model FILE")
                    .with_help("occam test CONFIG CHECKPOINT, or occam test --model model.onnx --data DIR"));
            }
        };
        if let Some(dir) = &work_dir {
            let text = serde_json::to_string_pretty(&figures).map_err(|e| Failure::new(e.to_string()))?;
            std::fs::create_dir_all(dir).map_err(|e| Failure::new(format!("{}: {e}", dir.display())))?;
            occam_io::atomic_write(dir.join("test.json"), |f| std::io::Write::write_all(f, text.as_bytes()))
                .map_err(|e| Failure::new(e.to_string()))?;
        }
        if json {
            console::print_json(&json!({ "event": "result", "metrics": figures }));
        } else {
            console::print_line(&text);
        }
        Ok(())
    }
}

/// The figures of a checkpoint, for machines and for people.
fn trained(
    config: &ConfigArgs,
    checkpoint: &std::path::Path,
    work_dir: Option<&std::path::Path>,
    device: &DeviceArgs,
    json: bool,
) -> Result<(serde_json::Value, String), Failure> {
    let value = config.load()?;
    let mut runner = config.with_weights(&value, checkpoint, work_dir, device, json)?;
    let metrics = runner.test()?;
    let lines: Vec<String> = metrics.iter().map(|(name, value)| format!("{name}: {value:.4}")).collect();
    let figures = serde_json::to_value(&metrics).map_err(|e| Failure::new(e.to_string()))?;
    Ok((figures, lines.join("\n")))
}

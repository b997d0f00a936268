//! `occam export`

use std::path::PathBuf;

use occam_train::export::{ExportOptions, write};
use serde_json::json;

use super::Outcome;
use super::common::{ConfigArgs, DeviceArgs, parse_shape};
use crate::console;
use crate::diagnostic::Failure;

/// Write a checkpoint as an ONNX file
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    occam export configs/fashion_mnist/resnet20.py work_dirs/resnet20/epoch_12.safetensors -o resnet20.onnx\n  \
    occam export model.py weights.safetensors -o model.onnx --shape 3,224,224\n\n\
    The file takes normalized images `input` of any batch size and gives `output`; that of a model which comes from an\n\
    ONNX file is as that one was, with the new weights.")]
pub struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// The checkpoint, or weights alone (.safetensors, .pth)
    checkpoint: PathBuf,
    /// The file to write
    #[arg(short, long)]
    output: PathBuf,
    /// Channels, height and width of the images [default: those of the config's data]
    #[arg(long, value_parser = parse_shape, value_name = "C,H,W")]
    shape: Option<[usize; 3]>,
    /// ONNX operator set [default: 17, or that of the file which the model comes from]
    #[arg(long, value_name = "N")]
    opset: Option<i64>,
    #[command(flatten)]
    device: DeviceArgs,
}

impl Args {
    pub fn run(self, json: bool) -> Outcome {
        let mut config = self.config.load()?;
        if self.shape.is_some()
            && let Some(dict) = config.as_dict_mut()
        {
            for key in ["test_dataloader", "test_evaluator", "test_cfg"] {
                dict.remove(key);
            }
        }
        let runner = self.config.with_weights(&config, &self.checkpoint, None, &self.device, json)?;
        let name =
            self.output.file_stem().map_or_else(|| "model".into(), |s| s.to_string_lossy().into_owned());
        if let Some(dir) = self.output.parent().filter(|d| !d.as_os_str().is_empty()) {
            std::fs::create_dir_all(dir).map_err(|e| Failure::new(format!("{}: {e}", dir.display())))?;
        }
        let options = ExportOptions { opset: self.opset, name, image_size: self.shape };
        write(&runner, &self.output, &options)?;
        let bytes = std::fs::metadata(&self.output)
            .map_err(|e| Failure::new(format!("{}: {e}", self.output.display())))?
            .len();
        if json {
            console::print_json(&json!({ "event": "result", "file": self.output, "bytes": bytes }));
        } else {
            let size = crate::table::bytes(bytes);
            console::print_line(&format!("{} ({size})", self.output.display()));
        }
        Ok(())
    }
}

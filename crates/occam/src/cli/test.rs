//! `occam test`

use std::path::PathBuf;

use serde_json::json;

use super::Outcome;
use super::common::{ConfigArgs, DeviceArgs};
use crate::console;
use crate::diagnostic::Failure;

/// Measure a checkpoint on the test data
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    occam test configs/fashion_mnist/resnet20.py work_dirs/resnet20/epoch_12.safetensors")]
pub struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// The checkpoint, or weights alone (.safetensors, .pth)
    checkpoint: PathBuf,
    /// Write the figures as test.json into this folder as well; searches write what they find there
    #[arg(long, value_name = "DIR")]
    work_dir: Option<PathBuf>,
    #[command(flatten)]
    device: DeviceArgs,
}

impl Args {
    pub fn run(self, json: bool) -> Outcome {
        let config = self.config.load()?;
        let mut runner = self.config.with_weights(
            &config,
            &self.checkpoint,
            self.work_dir.as_deref(),
            &self.device,
            json,
        )?;
        let metrics = runner.test()?;
        if let Some(dir) = &self.work_dir {
            let text = serde_json::to_string_pretty(&metrics).map_err(|e| Failure::new(e.to_string()))?;
            std::fs::create_dir_all(dir).map_err(|e| Failure::new(format!("{}: {e}", dir.display())))?;
            occam_io::atomic_write(dir.join("test.json"), |f| std::io::Write::write_all(f, text.as_bytes()))
                .map_err(|e| Failure::new(e.to_string()))?;
        }
        if json {
            console::print_json(&json!({ "event": "result", "metrics": metrics }));
        } else {
            for (name, value) in &metrics {
                console::print_line(&format!("{name}: {value:.4}"));
            }
        }
        Ok(())
    }
}

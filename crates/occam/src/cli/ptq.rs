//! `occam ptq`

use std::path::PathBuf;

use occam_config::Value;
use occam_quant::loops::{Calibration, quantized_mut};
use occam_train::export::{ExportOptions, write};
use occam_train::runner::data_loader;
use occam_train::{Resume, RunOptions, Runner};
use serde_json::json;

use super::Outcome;
use super::common::{ConfigArgs, DeviceArgs};
use crate::console;
use crate::diagnostic::Failure;

/// Calibrate the quantized model of a config, and measure it
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    occam ptq configs/quantization/ptq/resnet20_int8_fashion_mnist.py work_dirs/resnet20/epoch_12.safetensors\n  \
    occam ptq config.py resnet18.pth --work-dir w -o int8.onnx\n\n\
    The config has a model of the type MMArchitectureQuant and a `test_cfg` of the type PTQLoop, which says by what data and\n\
    how many batches of them. The work directory gets model_ptq.safetensors, which `occam test` measures again.\n\
    ONNX files without a config are what `occam quantize` is for.")]
pub struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Weights of the float model (.safetensors, .pth) [default: the config's `float_checkpoint` or `load_from`]
    checkpoint: Option<PathBuf>,
    /// Where results go [default: work_dirs/<name of the config>]
    #[arg(long, value_name = "DIR")]
    work_dir: Option<PathBuf>,
    /// Write the quantized model as an ONNX file as well
    #[arg(short, long)]
    output: Option<PathBuf>,
    #[command(flatten)]
    device: DeviceArgs,
}

impl Args {
    pub fn run(self, json: bool) -> Outcome {
        let mut config = self.config.load()?;
        let Some(test_cfg) = config.get("test_cfg").filter(|v| !v.is_none()).cloned() else {
            return Err(Failure::new("the config has no `test_cfg`: nothing says what to calibrate with")
                .with_help("test_cfg = dict(type='PTQLoop', calibrate_dataloader=.., calibrate_steps=32)"));
        };
        let calibration = Calibration::from_config(&test_cfg)?;
        let registry = occam::registry();
        if let Some(dict) = config.as_dict_mut() {
            for key in ["train_cfg", "val_dataloader", "val_evaluator", "val_cfg"] {
                dict.remove(key);
            }
            if self.checkpoint.is_some() {
                dict.remove("load_from");
            }
        }
        if self.checkpoint.is_some()
            && let Some(model) = config.as_dict_mut().and_then(|d| d.get_mut("model"))
            && let Some(dict) = model.as_dict_mut()
        {
            dict.remove("float_checkpoint");
        }
        let work_dir = self.config.work_dir(self.work_dir.as_deref(), &config);
        let loader = self.config.loader()?;
        let options = RunOptions {
            registry: &registry,
            loader: &loader,
            work_dir: work_dir.clone(),
            seed: None,
            device: self.device.device()?,
            resume: Resume::No,
            reporter: console::reporter(json),
        };
        let mut runner = Runner::from_config(&config, options)?;
        if let Some(path) = &self.checkpoint {
            runner.load_weights(path)?;
        } else if !self.has_weights(&config) {
            return Err(Failure::new("nothing says what weights the model has")
                .with_help("give a checkpoint, or set `float_checkpoint` of the model"));
        }
        let file = work_dir.join("model_ptq.safetensors");
        let mut batches = None;
        if !calibration.only_val {
            let (algorithm, seed) = (runner.algorithm(), runner.seed());
            let data = data_loader(&config, &calibration.dataloader, algorithm, &registry, seed)?;
            let own = quantized_mut(runner.algorithm_mut(), "PTQLoop")?;
            let done = own.calibrate(&data, calibration.steps)?;
            runner.message(&format!("calibrated by {done} batches of {}", data.batch_size()));
            std::fs::create_dir_all(&work_dir)
                .map_err(|e| Failure::new(format!("{}: {e}", work_dir.display())))?;
            runner.save_weights(&file)?;
            batches = Some(done);
        }
        let metrics = runner.test()?;
        if let Some(output) = &self.output {
            let name =
                output.file_stem().map_or_else(|| "model".into(), |s| s.to_string_lossy().into_owned());
            if let Some(dir) = output.parent().filter(|d| !d.as_os_str().is_empty()) {
                std::fs::create_dir_all(dir).map_err(|e| Failure::new(format!("{}: {e}", dir.display())))?;
            }
            write(&runner, output, &ExportOptions { opset: None, name, image_size: None })?;
        }
        if json {
            let written = batches.is_some().then_some(&file);
            console::print_json(&json!({
                "event": "result", "metrics": metrics, "batches": batches, "checkpoint": written, "file": self.output,
            }));
            return Ok(());
        }
        for (name, value) in &metrics {
            console::print_line(&format!("{name}: {value:.4}"));
        }
        let files = batches.map(|_| &file).into_iter().chain(&self.output);
        for file in files {
            console::print_line(&file.display().to_string());
        }
        Ok(())
    }

    fn has_weights(&self, config: &Value) -> bool {
        let given = |path: &str| config.get(path).is_some_and(|v| !v.is_none());
        given("model.float_checkpoint") || given("load_from")
    }
}

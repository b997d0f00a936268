//! `occam train`

use std::path::PathBuf;

use occam_config::Value;
use occam_train::{Error, Resume, RunOptions, Runner};
use serde_json::json;

use super::Outcome;
use super::common::{AmpArgs, ConfigArgs, DeviceArgs, resuming};
use super::dry_run;
use crate::diagnostic::Failure;
use crate::{console, interrupt};

/// Train what a config describes
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    occam train configs/fashion_mnist/resnet20.py\n  \
    occam train configs/fashion_mnist/resnet20.py --work-dir w --cfg-options train_cfg.max_epochs=1\n  \
    occam train configs/fashion_mnist/resnet20.py --work-dir w --resume\n  \
    occam train configs/resnet/resnet50_8xb32_in1k.py --dry-run\n\n\
    The work directory holds the resolved config, log.jsonl, tensorboard/, and checkpoints.\n\
    Ctrl-C saves after the present step and stops; --resume goes on from there, as if nothing had been.")]
pub struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Where results go [default: work_dirs/<name of the config>]
    #[arg(long, value_name = "DIR")]
    work_dir: Option<PathBuf>,
    /// Go on from a checkpoint, or from the last one of the work directory
    #[arg(long, num_args = 0..=1, value_name = "CHECKPOINT", default_missing_value = "auto")]
    resume: Option<String>,
    /// Seed instead of the config's
    #[arg(long)]
    seed: Option<u64>,
    /// Scale the learning rate by the batch size over the config's `auto_scale_lr.base_batch_size`
    #[arg(long)]
    auto_scale_lr: bool,
    /// Try the config without its data: two iterations and a validation on synthetic images, and what a run would take
    #[arg(long, conflicts_with = "resume")]
    dry_run: bool,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    amp: AmpArgs,
}

impl Args {
    pub fn run(self, json: bool) -> Outcome {
        let mut config = self.config.load()?;
        if self.auto_scale_lr {
            if config.get("auto_scale_lr.base_batch_size").is_none() {
                return Err(Failure::new(
                    "--auto-scale-lr needs `auto_scale_lr.base_batch_size` in the config",
                )
                .with_help(
                    "the batch size over all devices for which the config's learning rate was chosen",
                ));
            }
            config.set("auto_scale_lr.enable", Value::from(true))?;
        }
        if let Some(wrapper) = config.as_dict_mut().and_then(|dict| dict.get_mut("optim_wrapper")) {
            self.amp.apply(wrapper)?;
        }
        let registry = occam::registry();
        let loader = self.config.loader()?;
        let work_dir = self.config.work_dir(self.work_dir.as_deref(), &config);
        let resume = match self.resume.as_deref() {
            None => Resume::No,
            Some("auto") => Resume::Auto,
            Some(path) => Resume::From(path.into()),
        };
        let options = RunOptions {
            registry: &registry,
            loader: &loader,
            work_dir: work_dir.clone(),
            seed: self.seed,
            device: self.device.device()?,
            resume,
            reporter: console::reporter(json),
        };
        if self.dry_run {
            return dry_run::run(&config, options, json);
        }
        let mut runner = Runner::from_config(&config, options)?;
        interrupt::listen();
        let metrics = runner.train().map_err(stopped)?;
        if json {
            console::print_json(&json!({ "event": "result", "work_dir": work_dir, "metrics": metrics }));
        } else {
            for (name, value) in &metrics {
                console::print_line(&format!("{name}: {value:.2}"));
            }
            console::print_line(&format!("results are in {}", work_dir.display()));
        }
        Ok(())
    }
}

/// The error of a training; one that was asked to stop says how it goes on.
fn stopped(error: Error) -> Failure {
    let saved = matches!(&error, Error::Interrupted { saved: Some(_), .. });
    let failure = Failure::from(error);
    if !saved {
        return failure;
    }
    let arguments = std::env::args_os().skip(1).map(|a| a.to_string_lossy().into_owned());
    failure.with_help(format!("go on with: occam {}", resuming(arguments, true)))
}

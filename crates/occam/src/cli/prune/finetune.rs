//! Training of what pruning left, and what the accuracy is before and after.

use std::path::{Path, PathBuf};

use occam_config::{Loader, Registry, Value};
use occam_io::onnx::{ModelProto, write_model};
use occam_train::export::{self, ExportOptions};
use occam_train::{Error, Resume, RunOptions, Runner};
use serde_json::json;

use super::data::{Augment, Images};
use crate::cli::common::{DeviceArgs, resuming};
use crate::diagnostic::Failure;
use crate::{console, interrupt};

/// How the smaller model is trained.
#[derive(clap::Args)]
#[command(next_help_heading = "Fine-tuning")]
pub struct FinetuneArgs {
    /// Train the smaller model on --data for so many epochs; the last one's weights are taken
    #[arg(long, visible_alias = "epochs", value_name = "N", requires = "data")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    finetune_epochs: Option<u32>,
    /// Learn from the model before pruning, too: the Kullback-Leibler divergence of its scores is added to the loss
    #[arg(long, requires = "finetune_epochs")]
    distill: bool,
    /// Temperature of --distill
    #[arg(long, value_name = "T", default_value_t = 4.0, requires = "distill", value_parser = parse_positive)]
    tau: f64,
    /// Learning rate of SGD (Nesterov, momentum 0.9) at the beginning; it falls to 0 as half a cosine
    #[arg(long, value_name = "LR", default_value_t = 0.02, value_parser = parse_positive)]
    #[arg(requires = "finetune_epochs")]
    lr: f64,
    /// Weight decay
    #[arg(long, value_name = "WD", default_value_t = 5e-4, value_parser = parse_decay)]
    #[arg(requires = "finetune_epochs")]
    weight_decay: f64,
    /// How training images are changed; letters and digits should not be flipped
    #[arg(long, value_name = "HOW,..", value_enum, value_delimiter = ',', default_value = "crop,flip")]
    #[arg(requires = "finetune_epochs")]
    augment: Vec<Augment>,
    /// Where checkpoints and logs of the training go [default: work_dirs/<name of the output>]
    #[arg(long, value_name = "DIR", requires = "finetune_epochs")]
    work_dir: Option<PathBuf>,
    /// Go on with a training that was stopped
    #[arg(long, requires = "finetune_epochs")]
    resume: bool,
    #[command(flatten)]
    device: DeviceArgs,
}

fn parse_positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(x) if x > 0.0 && x.is_finite() => Ok(x),
        _ => Err("a number above 0 is wanted".into()),
    }
}

fn parse_decay(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(x) if x >= 0.0 && x.is_finite() => Ok(x),
        _ => Err("a number of at least 0 is wanted".into()),
    }
}

/// Percent of the images that are classified right.
#[derive(Debug, Clone, PartialEq)]
pub struct Accuracy {
    /// Which images these were.
    pub on: String,
    /// By the model as it was.
    pub before: f64,
    /// By the smaller model as pruning left it.
    pub pruned: f64,
    /// By the smaller model after training; none where it was not trained.
    pub tuned: Option<f64>,
}

/// What measuring and training need.
pub struct Tuning<'a> {
    args: &'a FinetuneArgs,
    images: &'a Images,
    registry: Registry,
    loader: Loader,
    seed: u64,
    json: bool,
}

impl FinetuneArgs {
    /// Whether the smaller model is trained.
    pub fn wanted(&self) -> bool {
        self.finetune_epochs.is_some()
    }

    /// Where the training's files go.
    fn work_dir(&self, output: &Path) -> PathBuf {
        self.work_dir.clone().unwrap_or_else(|| {
            let stem =
                output.file_stem().map_or_else(|| "prune".into(), |s| s.to_string_lossy().into_owned());
            Path::new("work_dirs").join(stem)
        })
    }

    /// Prepares to measure and to train on `images`.
    ///
    /// # Errors
    /// They have no classes, or the model gives no scores of classes.
    pub fn on<'a>(&'a self, images: &'a Images, seed: u64, json: bool) -> Result<Tuning<'a>, Failure> {
        images.need_labels(if self.wanted() { "--finetune-epochs" } else { "measuring the accuracy" })?;
        Ok(Tuning { args: self, images, registry: occam::registry(), loader: Loader::new(), seed, json })
    }
}

/// A config's dict with parts that are values already.
fn dict(plain: serde_json::Value, parts: Vec<(&str, Value)>) -> Value {
    let mut value = Value::from_json(&plain);
    if let Some(dict) = value.as_dict_mut() {
        for (key, part) in parts {
            dict.insert(key, part);
        }
    }
    value
}

fn classifier(path: &Path) -> serde_json::Value {
    json!({ "type": "OnnxClassifier", "path": path })
}

impl Tuning<'_> {
    fn options(&self, work_dir: PathBuf, resume: Resume) -> Result<RunOptions<'_>, Failure> {
        Ok(RunOptions {
            registry: &self.registry,
            loader: &self.loader,
            work_dir,
            seed: Some(self.seed),
            device: self.args.device.device()?,
            resume,
            reporter: console::reporter(self.json),
        })
    }

    /// Writes the smaller model, trained where that is wanted, and measures what was and what is.
    ///
    /// # Errors
    /// As [`Tuning::accuracy`] and [`Tuning::train`], or the disk failed.
    pub fn run(&self, original: &Path, pruned: &ModelProto, output: &Path) -> Result<Accuracy, Failure> {
        interrupt::listen();
        let before = self.accuracy(original)?;
        let chance = 100.0 / self.images.outputs().unwrap_or(1) as f64;
        if before < 2.0 * chance {
            let warning = format!(
                "warning: the model classifies {before:.1} % of the images right before pruning, little more than \
                 chance: --mean, --std and --bgr must be those it was trained with, and the folders its classes in order"
            );
            console::reporter(self.json).message(&warning);
        }
        if !self.args.wanted() {
            write_model(output, pruned)?;
            return Ok(Accuracy {
                on: self.images.measured_on(),
                before,
                pruned: self.accuracy(output)?,
                tuned: None,
            });
        }
        let work_dir = self.args.work_dir(output);
        std::fs::create_dir_all(&work_dir)
            .map_err(|e| Failure::new(format!("{}: {e}", work_dir.display())))?;
        let file = work_dir.join("pruned.onnx");
        write_model(&file, pruned)?;
        let pruned = self.accuracy(&file)?;
        self.train(original, &file, &work_dir, output)?;
        Ok(Accuracy { on: self.images.measured_on(), before, pruned, tuned: Some(self.accuracy(output)?) })
    }

    /// Percent of the images held out that the model in `file` classifies right.
    ///
    /// # Errors
    /// It is no classifier of such images, or these cannot be read.
    fn accuracy(&self, file: &Path) -> Result<f64, Failure> {
        let config = dict(
            json!({ "model": classifier(file), "test_evaluator": { "type": "Accuracy", "topk": [1] }, "test_cfg": {} }),
            vec![
                ("data_preprocessor", self.images.preprocessor()),
                ("test_dataloader", self.images.val_loader()),
            ],
        );
        let mut runner = Runner::for_testing(&config, self.options(PathBuf::new(), Resume::No)?)?;
        let metrics = runner.test().map_err(stopped)?;
        metrics.get("accuracy/top1").copied().ok_or_else(|| Failure::new("the accuracy was not measured"))
    }

    /// Trains the model in `pruned`, with the one in `original` as teacher where that is wanted, and writes it.
    ///
    /// # Errors
    /// It cannot be trained, or somebody asked to stop.
    fn train(&self, original: &Path, pruned: &Path, work_dir: &Path, output: &Path) -> Result<(), Failure> {
        let epochs = self.args.finetune_epochs.unwrap_or_default();
        // The whole model's output, whatever its last layer is called.
        let scores = json!({ "scores": { "type": "ModuleOutputs", "source": "" } });
        let model = match self.args.distill {
            false => classifier(pruned),
            true => json!({
                "type": "SingleTeacherDistill",
                "architecture": classifier(pruned),
                "teacher": classifier(original),
                "distiller": {
                    "type": "ConfigurableDistiller",
                    "student_recorders": scores,
                    "teacher_recorders": scores,
                    "distill_losses": { "loss_kl": { "type": "KLDivergence", "tau": self.args.tau } },
                    "loss_forward_mappings": { "loss_kl": {
                        "preds_S": { "from_student": true, "recorder": "scores" },
                        "preds_T": { "from_student": false, "recorder": "scores" },
                    } },
                },
            }),
        };
        let plain = json!({
            "model": model,
            "optim_wrapper": { "optimizer": {
                "type": "SGD", "lr": self.args.lr, "momentum": 0.9, "weight_decay": self.args.weight_decay,
                "nesterov": true,
            } },
            "param_scheduler": { "type": "CosineAnnealingLR", "by_epoch": true, "convert_to_iter_based": true },
            "train_cfg": { "by_epoch": true, "max_epochs": epochs, "val_interval": 1 },
            "val_cfg": {},
            "val_evaluator": { "type": "Accuracy", "topk": [1] },
            "default_hooks": {
                "logger": { "type": "LoggerHook", "interval": 50 },
                "param_scheduler": { "type": "ParamSchedulerHook" },
                "checkpoint": { "type": "CheckpointHook", "interval": 1, "max_keep_ckpts": 1 },
            },
        });
        let config = dict(
            plain,
            vec![
                ("data_preprocessor", self.images.preprocessor()),
                ("train_dataloader", self.images.train_loader(&self.args.augment)),
                ("val_dataloader", self.images.val_loader()),
            ],
        );
        let resume = if self.args.resume { Resume::Auto } else { Resume::No };
        let mut runner = Runner::from_config(&config, self.options(work_dir.to_owned(), resume)?)?;
        runner.train().map_err(stopped)?;
        let name = ExportOptions { opset: None, name: String::new(), image_size: None };
        Ok(export::write(&runner, output, &name)?)
    }
}

/// The error of a run; one that was asked to stop says how it goes on.
fn stopped(error: Error) -> Failure {
    let saved = matches!(&error, Error::Interrupted { saved: Some(_), .. });
    let failure = Failure::from(error);
    if !saved || !interrupt::happened() {
        return failure;
    }
    let arguments = std::env::args_os().skip(1).map(|a| a.to_string_lossy().into_owned());
    failure.with_help(format!("go on with: occam {}", resuming(arguments, false)))
}

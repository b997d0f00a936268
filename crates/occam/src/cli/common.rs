//! Arguments that several commands share.

use std::path::{Path, PathBuf};

use occam_config::{Key, Loader, Registry, Value, suggest};
use occam_data::Dataset;
use occam_engine::Device;
use occam_graph::Graph;
use occam_train::runner::NAMES;
use occam_train::{Resume, RunOptions, Runner};

use crate::console;
use crate::diagnostic::Failure;

/// Where configs that others build on are looked for.
#[derive(clap::Args)]
pub struct SearchArgs {
    /// Folder in which bases such as `mmcls::resnet/x.py` are looked up, after `configs/`; may be given several times,
    /// and may be a Python site-packages folder. Folders of OCCAM_CONFIG_PATH come last
    #[arg(long, value_name = "DIR")]
    pub config_path: Vec<PathBuf>,
}

impl SearchArgs {
    /// Reads configs along the search path: `configs`, the folders given, those of `OCCAM_CONFIG_PATH`.
    ///
    /// # Errors
    /// A folder that is given is not there.
    pub fn loader(&self) -> Result<Loader, Failure> {
        let mut roots = vec![PathBuf::from("configs")];
        for dir in &self.config_path {
            if !dir.is_dir() {
                return Err(Failure::new(format!("--config-path: there is no folder {}", dir.display())));
            }
            roots.push(dir.clone());
        }
        if let Some(list) = std::env::var_os("OCCAM_CONFIG_PATH") {
            roots.extend(std::env::split_paths(&list).filter(|dir| !dir.as_os_str().is_empty()));
        }
        Ok(Loader::new().with_search_path(roots))
    }
}

/// Which config, and what differs from it.
#[derive(clap::Args)]
pub struct ConfigArgs {
    /// The config file (.py, .yaml or .json)
    pub config: PathBuf,
    /// Settings that differ: `optim_wrapper.optimizer.lr=0.01 data_root=/data`
    #[arg(long, num_args = 1.., value_name = "KEY=VALUE")]
    pub cfg_options: Vec<String>,
    #[command(flatten)]
    search: SearchArgs,
}

/// A config that need not be given.
#[derive(clap::Args)]
pub struct OptionalConfigArgs {
    /// The config file (.py, .yaml or .json)
    config: Option<PathBuf>,
    /// Settings that differ: `optim_wrapper.optimizer.lr=0.01 data_root=/data`
    #[arg(long, num_args = 1.., value_name = "KEY=VALUE", requires = "config")]
    cfg_options: Vec<String>,
    #[command(flatten)]
    search: SearchArgs,
}

impl OptionalConfigArgs {
    /// The config, where one is given.
    pub fn given(self) -> Option<ConfigArgs> {
        let Self { config, cfg_options, search } = self;
        Some(ConfigArgs { config: config?, cfg_options, search })
    }
}

impl ConfigArgs {
    /// Reads configs along the search path.
    ///
    /// # Errors
    /// As [`SearchArgs::loader`].
    pub fn loader(&self) -> Result<Loader, Failure> {
        self.search.loader()
    }

    /// The resolved config.
    ///
    /// # Errors
    /// It is wrong.
    pub fn load(&self) -> Result<Value, Failure> {
        let config = self.loader()?.load_with_options(&self.config, &self.cfg_options)?;
        self.check_options(&config)?;
        Ok(config)
    }

    /// Refuses an option that makes a variable that neither the config nor a run knows.
    fn check_options(&self, config: &Value) -> Result<(), Failure> {
        let Some(dict) = config.as_dict() else { return Ok(()) };
        // Keys of JSON have no place by which one could tell which an option made.
        if self.config.extension().is_some_and(|e| e == "json") {
            return Ok(());
        }
        for option in &self.cfg_options {
            let root = option.split(['.', '=']).next().unwrap_or_default().trim();
            if NAMES.contains(&root) || dict.key_span(root).is_some() {
                continue;
            }
            let failure =
                Failure::new(format!("--cfg-options {option}: neither the config nor a run has `{root}`"));
            let written = dict.keys().filter_map(Key::as_str).filter(|key| dict.key_span(key).is_some());
            return Err(match suggest(root, written.chain(NAMES.iter().copied())) {
                Some(meant) => failure.with_help(format!("did you mean `{meant}`?")),
                None => failure.with_help("`occam config print` shows what can be set"),
            });
        }
        Ok(())
    }

    /// The model and test data of a config, with the weights of a checkpoint.
    ///
    /// # Errors
    /// The config is wrong, or the checkpoint does not fit it.
    pub fn with_weights(
        &self,
        config: &Value,
        checkpoint: &Path,
        work_dir: Option<&Path>,
        device: &DeviceArgs,
        json: bool,
    ) -> Result<Runner, Failure> {
        let options = RunOptions {
            registry: &occam::registry(),
            loader: &self.loader()?,
            work_dir: self.work_dir(work_dir, config),
            seed: None,
            device: device.device()?,
            resume: Resume::No,
            reporter: console::reporter(json),
        };
        let mut runner = Runner::for_testing(config, options)?;
        runner.load_weights(checkpoint)?;
        Ok(runner)
    }

    /// Where results go: `given`, else the config's `work_dir`, else `work_dirs/<name of the config>`.
    pub fn work_dir(&self, given: Option<&Path>, config: &Value) -> PathBuf {
        if let Some(dir) = given {
            return dir.to_owned();
        }
        if let Some(dir) = config.get("work_dir").and_then(Value::as_str) {
            return dir.into();
        }
        let stem = self.config.file_stem().map_or_else(|| "run".into(), |s| s.to_string_lossy().into_owned());
        Path::new("work_dirs").join(stem)
    }
}

/// Where to compute.
#[derive(clap::Args)]
pub struct DeviceArgs {
    /// Device to compute on: cpu, cuda, or cuda:1 for the second
    #[arg(long, default_value = "cpu")]
    pub device: String,
}

impl DeviceArgs {
    /// The device.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn device(&self) -> Result<Device, Failure> {
        Ok(self.device.parse()?)
    }
}

/// Mixed precision.
#[derive(clap::Args)]
pub struct AmpArgs {
    /// Compute convolutions and fully connected layers in half the bits: bf16, or f16 with a loss scale that adapts
    #[arg(long, value_enum, num_args = 0..=1, default_missing_value = "bf16", value_name = "TYPE")]
    amp: Option<Low>,
}

/// Element types of mixed precision.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Low {
    Bf16,
    F16,
}

impl AmpArgs {
    /// Makes an `optim_wrapper` one of mixed precision, if that was asked for.
    ///
    /// # Errors
    /// It is of a type that has no such form.
    pub fn apply(&self, optim_wrapper: &mut Value) -> Result<(), Failure> {
        let Some(low) = self.amp else { return Ok(()) };
        if let Some(name) =
            optim_wrapper.type_name().filter(|n| !["OptimWrapper", "AmpOptimWrapper"].contains(n))
        {
            return Err(Failure::new(format!("--amp cannot train with an optim_wrapper of type `{name}`")));
        }
        if let Some(dict) = optim_wrapper.as_dict_mut() {
            let dtype = match low {
                Low::Bf16 => "bfloat16",
                Low::F16 => "float16",
            };
            dict.insert("type", Value::from("AmpOptimWrapper"));
            dict.insert("dtype", Value::from(dtype));
        }
        Ok(())
    }
}

/// Channels, height and width of a model's images: those given, else those of the config's data, else of a common size.
pub fn image_size(
    given: Option<[usize; 3]>,
    config: &Value,
    registry: &Registry,
    graph: &Graph,
) -> [usize; 3] {
    if let Some(size) = given {
        return size;
    }
    data_size(config, registry).unwrap_or_else(|why| {
        let channels = graph
            .inputs()
            .first()
            .and_then(|&v| graph.value(v).ok()?.fact.shape.get(1)?.known())
            .unwrap_or(3);
        eprintln!("the data tells no image size ({why}); taking {channels},224,224, see --shape");
        [channels, 224, 224]
    })
}

/// The size of the config's images, or why it is not known.
fn data_size(config: &Value, registry: &Registry) -> Result<[usize; 3], occam_config::Error> {
    let value = config
        .get("test_dataloader.dataset")
        .or_else(|| config.get("train_dataloader.dataset"))
        .ok_or_else(|| occam_config::Error::new("the config has none"))?;
    let dataset = registry.build::<dyn Dataset>(value)?;
    let mut rng = occam_data::Seed(0).stream("inspect", &[]);
    let sample = dataset.prepare(0, &mut rng)?;
    Ok([sample.image.channels(), sample.image.height(), sample.image.width()])
}

/// `--shape 3,224,224`.
pub fn parse_shape(text: &str) -> Result<[usize; 3], String> {
    let sizes: Result<Vec<usize>, _> = text.split([',', 'x']).map(|s| s.trim().parse()).collect();
    match sizes.as_deref() {
        Ok([c, h, w]) if *c > 0 && *h > 0 && *w > 0 => Ok([*c, *h, *w]),
        _ => Err("three sizes are wanted: channels,height,width, such as 3,224,224".into()),
    }
}

/// The command line that goes on with what `arguments` began, quoted for a shell; `named` says whether `--resume` may be
/// followed by a checkpoint.
pub fn resuming(arguments: impl Iterator<Item = String>, named: bool) -> String {
    let mut arguments = arguments.peekable();
    let mut kept = Vec::new();
    while let Some(argument) = arguments.next() {
        if argument == "--resume" {
            arguments.next_if(|a| named && !a.starts_with('-'));
        } else if !argument.starts_with("--resume=") {
            kept.push(quoted(&argument));
        }
    }
    kept.push("--resume".into());
    kept.join(" ")
}

/// A word for a POSIX shell.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=,+@%".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

/// Whether `--mean` and `--std` can normalize images of `channels` channels: none, one number or one for each.
///
/// # Errors
/// There are other numbers of them, or an image would become infinite.
pub fn check_normalization<T: Copy + Into<f64>>(
    mean: &[T],
    std: &[T],
    channels: usize,
) -> Result<(), Failure> {
    for (name, list) in [("--mean", mean), ("--std", std)] {
        if !list.is_empty() && list.len() != 1 && list.len() != channels {
            let found = list.len();
            return Err(Failure::new(format!(
                "{name} has {found} numbers, the model's input {channels} channels"
            )));
        }
    }
    let finite = |list: &[T]| list.iter().all(|&x| x.into().is_finite());
    if !finite(mean) || !finite(std) || std.iter().any(|&x| x.into() == 0.0) {
        return Err(Failure::new("--mean takes finite numbers, --std such that are not 0"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{check_normalization, resuming};

    #[test]
    fn images_stay_finite() {
        let fine = |mean: &[f32], std: &[f32]| check_normalization(mean, std, 3).is_ok();
        assert!(fine(&[], &[]) && fine(&[0.0], &[255.0]) && fine(&[1.0, 2.0, 3.0], &[-1.0, 2.0, 3.0]));
        assert!(!fine(&[], &[0.0]) && !fine(&[f32::NAN], &[]) && !fine(&[], &[1.0, 1.0, f32::INFINITY]));
        assert!(!fine(&[1.0, 2.0], &[]) && !fine(&[], &[1.0; 4]));
    }

    #[test]
    fn a_run_goes_on_with_all_that_it_was_given() {
        let line = |words: &[&str]| resuming(words.iter().map(ToString::to_string), true);
        assert_eq!(
            line(&[
                "train",
                "a b.py",
                "--resume",
                "x.safetensors",
                "--seed",
                "1",
                "--cfg-options",
                "k=dict(a='x')"
            ]),
            "train 'a b.py' --seed 1 --cfg-options 'k=dict(a='\\''x'\\'')' --resume"
        );
        assert_eq!(line(&["train", "c.py", "--resume", "--amp"]), "train c.py --amp --resume");
        assert_eq!(line(&["train", "c.py", "--resume=x"]), "train c.py --resume");
        let flag = ["prune", "--resume", "m.onnx"].iter().map(ToString::to_string);
        assert_eq!(resuming(flag, false), "prune m.onnx --resume");
    }
}

//! `occam convert`

mod onnx;

pub use onnx::raise;

use std::path::{Path, PathBuf};

use occam_config::Value;
use occam_graph::{Fit, Graph};
use occam_io::weights::{KeyRules, Loaded, ReadOptions};
use occam_train::Env;
use occam_zoo::names::{self, Source};
use serde_json::json;

use super::Outcome;
use super::common::SearchArgs;
use crate::console::{print_json, print_line};
use crate::diagnostic::Failure;
use crate::table;

/// Names of one kind that are shown, at most.
const SHOWN: usize = 10;

/// Write weights in another format, under other names, or an ONNX file simplified
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    occam convert resnet18.pth resnet18.safetensors --from torchvision --config resnet18.py\n  \
    occam convert epoch_100.pth weights.safetensors --key ema_state_dict\n  \
    occam convert weights.safetensors weights.pth --key-map '^encoder\\.=backbone.'\n  \
    occam convert model.onnx simple.onnx\n  \
    occam convert old.onnx new.onnx --opset 21\n\n\
    Of an ONNX file, what follows from constants is computed, and layers that exporters write out in several nodes become one.\n\
    Names, texts and the version of the operators stay.\n\n\
    With --config, the weights are compared with its model, and only those of it are written.\n\
    A checkpoint of PyTorch is read without running it; one that would run code is refused.")]
pub struct Args {
    /// The file to read: safetensors, a checkpoint of PyTorch (.pth, .pt), one of a training, or an ONNX file
    input: PathBuf,
    /// The file to write (.safetensors, .pth or .pt; .onnx for an ONNX file)
    output: PathBuf,
    /// Format of the file to write [default: by its name]
    #[arg(long, value_enum)]
    to: Option<Target>,
    /// Where the weights are in the file, such as state_dict or ema_state_dict [default: the first place that has any]
    #[arg(long)]
    key: Option<String>,
    /// Take only names that begin with this, up to a dot, and without it
    #[arg(long)]
    prefix: Option<String>,
    /// Regular expression and what replaces it in every name, as in Python's re.sub; may be given several times
    #[arg(long, value_name = "OLD=NEW")]
    key_map: Vec<String>,
    /// Whose names the weights have; they get those of the architecture here
    #[arg(long, value_enum, value_name = "LIBRARY")]
    from: Option<From>,
    /// Architecture, as the library calls it: resnet18, vit_b_16, .. [default: the backbone of --config]
    #[arg(long, requires = "from")]
    arch: Option<String>,
    /// Config whose model the weights are for
    #[arg(long)]
    config: Option<PathBuf>,
    /// Settings that differ: `model.head.num_classes=10`
    #[arg(long, num_args = 1.., value_name = "KEY=VALUE", requires = "config")]
    cfg_options: Vec<String>,
    /// Write weights that the model of --config does not have all parameters of
    #[arg(long, requires = "config")]
    partial: bool,
    /// Leave the nodes of an ONNX file as they are
    #[arg(long, conflicts_with_all = ["to", "key", "prefix", "key_map", "from", "config"])]
    as_is: bool,
    /// Sizes that an ONNX file leaves open, to be fixed: `batch=1`
    #[arg(long, value_name = "NAME=N", value_parser = super::run::parse_dim, conflicts_with = "as_is")]
    dim: Vec<(String, usize)>,
    /// Operator set of the ONNX file that is written, not older than that of the one that is read
    #[arg(long, value_name = "N", conflicts_with = "as_is")]
    opset: Option<i64>,
    #[command(flatten)]
    search: SearchArgs,
}

fn is_onnx(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "onnx")
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Target {
    Safetensors,
    Pth,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum From {
    Torchvision,
    Timm,
    EfficientnetPytorch,
    Mmcls,
}

impl Args {
    /// An option that was given and says nothing of an ONNX file.
    fn of_weights(&self) -> Option<&'static str> {
        let given = [
            ("--to", self.to.is_some()),
            ("--key", self.key.is_some()),
            ("--prefix", self.prefix.is_some()),
            ("--key-map", !self.key_map.is_empty()),
            ("--from", self.from.is_some()),
            ("--config", self.config.is_some()),
        ];
        given.iter().find(|(_, given)| *given).map(|(name, _)| *name)
    }

    pub fn run(self, json: bool) -> Outcome {
        match (is_onnx(&self.input), is_onnx(&self.output)) {
            (true, true) => {
                if let Some(option) = self.of_weights() {
                    return Err(Failure::new(format!("{option} is for weights, this is an ONNX file")));
                }
                return match self.as_is {
                    true => onnx::copy(&self.input, &self.output, json),
                    false => onnx::convert(&self.input, &self.output, &self.dim, self.opset, json),
                };
            }
            (false, false) if !self.dim.is_empty() => {
                return Err(Failure::new("--dim is for ONNX files, this one has weights alone"));
            }
            (false, false) if self.opset.is_some() => {
                return Err(Failure::new("--opset is for ONNX files, this one has weights alone"));
            }
            (false, false) if self.as_is => {
                return Err(Failure::new("--as-is is for ONNX files, this one has weights alone"));
            }
            (false, false) => {}
            (false, true) => {
                return Err(Failure::new("an ONNX file cannot be made of weights alone")
                    .with_help("occam export CONFIG CHECKPOINT -o model.onnx makes one of weights"));
            }
            (true, false) => {
                return Err(Failure::new(format!(
                    "{} is an ONNX file: the name of what is made of it must end in .onnx, not {}",
                    self.input.display(),
                    self.output.display()
                ))
                .with_help("the weights of an ONNX file cannot be written alone"));
            }
        }
        let target = self.target()?;
        let pairs = self.key_map.iter().map(|pair| {
            pair.split_once('=').ok_or_else(|| {
                Failure::new(format!(
                    "--key-map {pair}: a regular expression, `=` and what replaces it are wanted"
                ))
            })
        });
        let options = ReadOptions {
            key: self.key.clone(),
            prefix: self.prefix.clone(),
            rules: KeyRules::new(pairs.collect::<Result<Vec<_>, _>>()?).map_err(failed)?,
        };
        let mut loaded = occam_io::weights::read(&self.input, &options).map_err(failed)?;
        let model = self.model()?;
        let mut unknown = Vec::new();
        if let Some(from) = self.from {
            let (renamed, left) = self.rename(from, model.as_ref(), &loaded)?;
            loaded.weights = renamed;
            unknown = left;
        }
        let fit = match &model {
            Some((graph, _)) => Some(occam_graph::fit(graph, &loaded.weights)?),
            None => None,
        };
        if let Some(fit) = &fit {
            let checked = check(fit, self.partial);
            match (&checked, json) {
                (_, true) => {}
                (Ok(()), false) => print_line(&report(fit)),
                (Err(_), false) => eprintln!("{}", report(fit)),
            }
            checked?;
            let known: std::collections::HashSet<&String> = fit.matched.iter().collect();
            loaded.weights.retain(|name, _| known.contains(name));
        } else {
            unknown.retain(|name| !name.ends_with(".num_batches_tracked"));
            if !unknown.is_empty() {
                eprintln!("{} names are not known and stay as they are: {}", unknown.len(), some(&unknown));
            }
        }
        if let Some(dir) = self.output.parent().filter(|d| !d.as_os_str().is_empty()) {
            std::fs::create_dir_all(dir).map_err(|e| Failure::new(format!("{}: {e}", dir.display())))?;
        }
        match target {
            Target::Pth => occam_io::pth::save(&self.output, &loaded.weights),
            Target::Safetensors => {
                loaded.metadata.shift_remove("occam");
                occam_io::safetensors::save(&self.output, &loaded.weights, &loaded.metadata)
            }
        }
        .map_err(failed)?;
        self.tell(&loaded, fit.as_ref(), json);
        Ok(())
    }

    /// The format to write.
    fn target(&self) -> Result<Target, Failure> {
        let extension = self.output.extension().and_then(|e| e.to_str()).unwrap_or_default();
        match (self.to, extension) {
            (Some(target), _) => Ok(target),
            (None, "safetensors") => Ok(Target::Safetensors),
            (None, "pth" | "pt") => Ok(Target::Pth),
            (None, other) => Err(Failure::new(format!("no format is known by the name `.{other}`"))
                .with_help("name the file .safetensors or .pth, or say `--to`")),
        }
    }

    /// Graph and class of the backbone of the config's model.
    fn model(&self) -> Result<Option<(Graph, String)>, Failure> {
        let Some(path) = &self.config else { return Ok(None) };
        let loader = self.search.loader()?;
        let config = loader.load_with_options(path, &self.cfg_options)?;
        let registry = occam::registry();
        let env = Env {
            registry: &registry,
            loader: &loader,
            seed: occam_data::Seed(0),
            device: occam_engine::Device::cpu(),
        };
        let Some(model) = config.get("model") else {
            return Err(Failure::new(format!("{} has no `model`", path.display())));
        };
        let model = model.get("architecture").unwrap_or(model);
        let backbone = model.get("backbone").and_then(Value::type_name).unwrap_or_default().to_owned();
        Ok(Some((env.task_model(model)?.graph, backbone)))
    }

    fn rename(
        &self,
        from: From,
        model: Option<&(Graph, String)>,
        loaded: &Loaded,
    ) -> Result<(occam_graph::Weights, Vec<String>), Failure> {
        let source = match from {
            From::Torchvision => Source::Torchvision,
            From::Timm => Source::Timm,
            From::EfficientnetPytorch => Source::EfficientnetPytorch,
            From::Mmcls => Source::Mmcls,
        };
        let backbone = match (&self.arch, model) {
            (Some(arch), _) => names::backbone_of(source, arch)?,
            (None, Some((_, backbone))) => backbone,
            (None, None) if source == Source::Mmcls => "",
            (None, None) => {
                return Err(Failure::new("--from does not say of which architecture the names are")
                    .with_help("add --config CONFIG or --arch, such as `--arch resnet18`"));
            }
        };
        match (model, &self.arch) {
            (Some((graph, _)), arch) => names::check(source, backbone, arch.as_deref(), graph, "")?,
            (None, Some(arch)) => match names::config_of(source, arch) {
                "" => {}
                config => eprintln!("the backbone of a config for {arch} of {source} says `{config}`"),
            },
            (None, None) => {}
        }
        Ok(names::rename(source, backbone, &loaded.weights)?)
    }

    fn tell(&self, loaded: &Loaded, fit: Option<&Fit>, json: bool) {
        let bytes: u64 = loaded.weights.values().map(|a| (a.len() * a.dtype().size()) as u64).sum();
        if json {
            print_json(&json!({
                "event": "result", "file": self.output, "format": loaded.format.to_string(), "at": loaded.at,
                "others": loaded.others, "skipped": loaded.skipped.iter().map(|s| json!({ "name": s.name, "what": s.what })).collect::<Vec<_>>(),
                "tensors": loaded.weights.len(), "bytes": bytes,
                "fit": fit.map(|f| json!({
                    "matched": f.matched, "missing": f.missing, "unexpected": f.unexpected,
                    "mismatched": f.mismatched,
                })),
            }));
            return;
        }
        if !loaded.skipped.is_empty() {
            let all: Vec<String> =
                loaded.skipped.iter().map(|s| format!("{} ({})", s.name, s.what)).collect();
            eprintln!("{} entries are no plain tensors and are left out: {}", all.len(), some(&all));
        }
        let place = match loaded.at.as_str() {
            "" => String::new(),
            at => format!(", `{at}`"),
        };
        print_line(&format!(
            "{} ({}{place}) -> {}: {} tensors, {}",
            self.input.display(),
            loaded.format,
            self.output.display(),
            loaded.weights.len(),
            table::bytes(bytes)
        ));
        if !loaded.others.is_empty() {
            let others = loaded.others.iter().map(|o| if o.is_empty() { "the file itself" } else { o });
            let list = others.collect::<Vec<_>>().join(", ");
            print_line(&format!("there are weights under {list} too; see --key"));
        }
    }
}

fn failed(error: occam_io::Error) -> Failure {
    match error {
        // What configs call it.
        occam_io::Error::Option { option: "revise_keys", message } => {
            Failure::new(format!("--key-map: {message}"))
        }
        other => Failure::new(other.to_string()),
    }
}

/// The first of some names.
fn some(names: &[String]) -> String {
    let mut text = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text.push_str(&format!(" and {} more", names.len() - SHOWN));
    }
    text
}

/// How weights fit a model; long lists are folded.
fn report(fit: &Fit) -> String {
    let mut rows = vec![vec!["matched".to_owned(), fit.matched.len().to_string()]];
    let mut details = Vec::new();
    for (what, names) in [("missing", &fit.missing), ("unexpected", &fit.unexpected)] {
        rows.push(vec![what.to_owned(), names.len().to_string()]);
        if !names.is_empty() {
            details.push(format!("{what}: {}", some(names)));
        }
    }
    rows.push(vec!["of another shape".to_owned(), fit.mismatched.len().to_string()]);
    let shapes: Vec<String> = fit
        .mismatched
        .iter()
        .map(|(name, wanted, found)| format!("{name} ({wanted} wanted, {found} found)"))
        .collect();
    if !shapes.is_empty() {
        details.push(format!("of another shape: {}", some(&shapes)));
    }
    details.insert(0, table::render(&["parameters", "count"], &rows));
    details.join("\n")
}

/// Refuses weights that are not the model's.
fn check(fit: &Fit, partial: bool) -> Outcome {
    let whole = fit.missing.is_empty() && fit.mismatched.is_empty();
    if whole || (partial && !fit.matched.is_empty()) {
        return Ok(());
    }
    let failure = Failure::new(format!(
        "{} of {} parameters of the model were found; nothing is written",
        fit.matched.len(),
        fit.matched.len() + fit.missing.len() + fit.mismatched.len()
    ));
    Err(match fit.renamed() {
        Some((found, wanted, count)) => failure.with_help(format!(
            "{count} more are found with --key-map '^{}={}'",
            found.replace('.', "\\."),
            wanted
        )),
        None if fit.matched.is_empty() => failure.with_help("whose names are these? see --from"),
        None => failure.with_help("--partial writes what was found"),
    })
}

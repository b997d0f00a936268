//! `load_from`: the weights that a run starts from.

use std::path::{Path, PathBuf};

use occam_config::{Error as ConfigError, Value};
use occam_graph::Fit;
use occam_io::weights::{KeyRules, ReadOptions};
use occam_zoo::names::{self, Source};
use serde::Deserialize;

use crate::checkpoint::Checkpoint;
use crate::{Algorithm, Error, Result};

/// A path, or a dict of these:
///
/// | key | default | |
/// |---|---|---|
/// | `path` | | the file; a relative path starts from the current directory |
/// | `key` | the first place that has weights | where they are in the file, such as `'ema_state_dict'` |
/// | `prefix` | | only names that begin with it, up to a dot, and without it |
/// | `revise_keys` | `[]` | pairs of a regular expression and its replacement, as in Python's `re.sub`, for every name |
/// | `names` | `'mmcls'` | whose names they are then: `'torchvision'`, `'timm'`, `'efficientnet-pytorch'`, `'mmcls'` |
/// | `arch` | the model's backbone | the architecture, as that library calls it: `'resnet18'` |
/// | `strict` | True | whether the file must have all parameters; else those that fit are taken, and the others keep their first values |
///
/// mmengine takes a path alone, and what fits of it. A file that does not fit whole is refused here unless `strict=False` is
/// said.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    path: PathBuf,
    #[serde(default)]
    key: Option<String>,
    #[serde(default)]
    prefix: Option<String>,
    #[serde(default)]
    revise_keys: Vec<(String, String)>,
    #[serde(default = "own")]
    names: Source,
    #[serde(default)]
    arch: Option<String>,
    #[serde(default = "yes")]
    strict: bool,
}

fn own() -> Source {
    Source::Mmcls
}
fn yes() -> bool {
    true
}

/// The file that `load_from` names.
///
/// # Errors
/// It is neither a path nor a dict with one.
pub(super) fn path(value: &Value) -> Result<&Path> {
    let found = value.as_str().or_else(|| value.get("path")?.as_str());
    let wrong = || ConfigError::new("`load_from` must be a path, or a dict with a `path`").at(value);
    Ok(Path::new(found.ok_or_else(wrong)?))
}

/// Gives an algorithm the weights that `value`, the config's `load_from`, asks for; `model` is the config's model. Says what
/// was taken over.
///
/// # Errors
/// A key is wrong, or the file cannot be read or does not fit.
pub(super) fn load(value: &Value, model: Option<&Value>, algorithm: &mut dyn Algorithm) -> Result<Fit> {
    let path = path(value)?;
    if path.to_string_lossy().contains("://") {
        let error = ConfigError::new("weights are never downloaded").at(value);
        return Err(error.with_help("download the file and give its path").into());
    }
    let result = match value.as_dict() {
        None => Checkpoint::load(path)?.take_over(algorithm, true),
        Some(_) => {
            let config: Config = value.parse()?;
            let options = ReadOptions {
                key: config.key,
                prefix: config.prefix,
                rules: KeyRules::new(config.revise_keys)
                    .map_err(|e| ConfigError::new(e.to_string()).at(value))?,
            };
            let weights = occam_io::weights::read(&config.path, &options)?.weights;
            let weights = match config.names {
                Source::Mmcls => weights,
                source => {
                    let arch = config.arch.as_deref();
                    let backbone = backbone(source, arch, model).map_err(|e| e.at(value))?;
                    let graph = algorithm.architecture().graph();
                    names::check(source, &backbone, arch, graph, "").map_err(|e| e.at(value))?;
                    names::rename(source, &backbone, &weights).map_err(|e| e.at(value))?.0
                }
            };
            Checkpoint::of_weights(&config.path, weights).take_over(algorithm, config.strict)
        }
    };
    result.map_err(|error| match error {
        Error::Checkpoint { path, message } if value.get("strict").is_none() => Error::Checkpoint {
            message: format!("{message}; `load_from=dict(path={path:?}, strict=False)` takes what fits"),
            path,
        },
        other => other,
    })
}

/// The class of the backbone whose names a file has: of the architecture `arch`, else of the model's.
fn backbone(source: Source, arch: Option<&str>, model: Option<&Value>) -> Result<String, ConfigError> {
    if let Some(arch) = arch {
        return Ok(names::backbone_of(source, arch)?.to_owned());
    }
    let model = model.map(|m| m.get("architecture").unwrap_or(m));
    let class = model.and_then(|m| m.get("backbone")?.type_name());
    class.map(str::to_owned).ok_or_else(|| {
        ConfigError::new("`names` does not say of which architecture the names are")
            .with_help("add `arch`, such as `arch='resnet18'`")
    })
}

#[cfg(test)]
mod tests {
    use occam_config::{Loader, Registry};
    use occam_data::Seed;
    use occam_engine::Device;
    use occam_graph::{Array, Weights};

    use super::*;
    use crate::algorithm::Env;
    use crate::checkpoint::Draft;
    use crate::model::summary;

    const MODEL: &str = "dict(type='ImageClassifier', backbone=dict(type='ResNet', depth=18, stem_channels=4, \
        base_channels=4, num_stages=2, strides=(1, 2), dilations=(1, 1), out_indices=(1,)), \
        neck=dict(type='GlobalAveragePooling'), head=dict(type='LinearClsHead', num_classes=4, in_channels=8))";

    fn value(text: &str) -> Value {
        let config = Loader::new().load_str("c.py", &format!("x = {}", text.replace('\n', " "))).unwrap();
        config.get("x").unwrap().clone()
    }

    fn algorithm(seed: u64) -> Box<dyn Algorithm> {
        let mut registry = Registry::new();
        occam_zoo::register(&mut registry);
        crate::register(&mut registry);
        let (loader, seed, device) = (Loader::new(), Seed(seed), Device::cpu());
        Env { registry: &registry, loader: &loader, seed, device }.algorithm(&value(MODEL)).unwrap()
    }

    fn weights(algorithm: &dyn Algorithm) -> Weights {
        Draft::of(algorithm).unwrap().weights
    }

    /// Saves weights under other names; a name that becomes empty is left out.
    fn saved(dir: &Path, weights: &Weights, name: impl Fn(&str) -> String) -> PathBuf {
        let path = dir.join("other.pth");
        let renamed = weights.iter().map(|(n, a)| (name(n), a.clone())).filter(|(n, _)| !n.is_empty());
        occam_io::pth::save(&path, &renamed.collect()).unwrap();
        path
    }

    #[test]
    fn names_are_revised() {
        let dir = tempfile::tempdir().unwrap();
        let wanted = weights(&*algorithm(1));
        let path = saved(dir.path(), &wanted, |n| format!("net.{}", n.replace("backbone.", "encoder.")));
        let keys = "prefix='net', revise_keys=[(r'^enc(oder)', 'backbone')]";
        let mut other = algorithm(2);
        let from = value(&format!("dict(path={path:?}, {keys})"));
        let fit = load(&from, None, &mut *other).unwrap();
        assert!(fit.is_exact());
        assert_eq!(summary(&fit), format!("all {} parameters", wanted.len()));
        assert_eq!(weights(&*other), wanted);
    }

    #[test]
    fn other_libraries_names_are_known_by_the_models_backbone() {
        let dir = tempfile::tempdir().unwrap();
        let wanted = weights(&*algorithm(1));
        let path = saved(dir.path(), &wanted, |n| n.replace("backbone.", "").replace("head.", ""));
        for (keys, model) in [("", Some(value(MODEL))), (", arch='resnet18'", None)] {
            let mut other = algorithm(2);
            let from = value(&format!("dict(path={path:?}, names='torchvision'{keys})"));
            load(&from, model.as_ref(), &mut *other).unwrap();
            assert_eq!(weights(&*other), wanted);
        }
    }

    #[test]
    fn parts_are_taken_where_they_are_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let (mut theirs, first) = (weights(&*algorithm(1)), weights(&*algorithm(2)));
        theirs.insert("head.fc.weight".into(), Array::full([7, 8], 1.0));
        theirs.insert("extra".into(), Array::full([1], 1.0));
        let path = saved(dir.path(), &theirs, |n| n.replace("head.fc.bias", ""));
        let mut other = algorithm(2);
        let error = load(&value(&format!("{path:?}")), None, &mut *other).unwrap_err().to_string();
        assert!(
            error.contains("head.fc.weight: f32[4, 8] wanted") && error.contains("strict=False"),
            "{error}"
        );
        assert_eq!(weights(&*other), first);
        let from = value(&format!("dict(path={path:?}, strict=False)"));
        let fit = load(&from, None, &mut *other).unwrap();
        let said = summary(&fit);
        let all = first.len();
        for part in [
            &format!("{} of {all} parameters", all - 2),
            "missing: `head.fc.bias`",
            "not of this model: `extra`",
        ] {
            assert!(said.contains(part), "{said}");
        }
        for (name, array) in weights(&*other) {
            let source = if name.starts_with("head.") { &first } else { &theirs };
            assert_eq!(array, source[&name], "{name}");
        }
        let nothing = saved(dir.path(), &theirs, |n| format!("x.{n}"));
        let from = value(&format!("dict(path={nothing:?}, strict=False)"));
        let error = load(&from, None, &mut *other).unwrap_err().to_string();
        assert!(error.contains("nothing of it fits"), "{error}");
    }

    #[test]
    fn what_makes_no_sense_is_an_error() {
        for (from, wanted) in [
            ("3", "must be a path"),
            ("dict(strict=False)", "must be a path"),
            ("'https://download.openmmlab.com/x.pth'", "never downloaded"),
            ("dict(path='x.pth', name='timm')", "did you mean \"names\"?"),
            ("dict(path='x.pth', revise_keys=[('(', '')])", "revise_keys"),
        ] {
            let error = load(&value(from), None, &mut *algorithm(0)).unwrap_err();
            let text = format!("{error:?}");
            assert!(text.contains(wanted), "{from}: {text}");
        }
        let dir = tempfile::tempdir().unwrap();
        let path = saved(dir.path(), &weights(&*algorithm(0)), str::to_owned);
        let from = value(&format!("dict(path={path:?}, names='timm')"));
        let error = load(&from, None, &mut *algorithm(0)).unwrap_err().to_string();
        assert!(error.contains("of which architecture"), "{error}");
    }
}

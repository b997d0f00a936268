//! First values from files: `init_cfg=dict(type='Pretrained', ..)`.

use std::path::Path;

use occam_config::{Error as ConfigError, Value};
use occam_graph::{Graph, Weights};
use occam_io::weights::{KeyRules, ReadOptions};

use crate::init_cfg::joined;
use crate::names::{self, Source};
use crate::{Error, Result};

/// A file of weights, and under what its parameters' names begin.
#[derive(Debug, Clone)]
pub(crate) struct Checkpoint {
    /// `checkpoint`: the path of a safetensors file or of a checkpoint of PyTorch; a relative one starts from the current
    /// directory.
    pub path: Value,
    pub prefix: Option<String>,
    /// `revise_keys`: what becomes of the file's names first.
    pub rules: KeyRules,
    /// Whose names they are then, and of which architecture.
    pub names: Option<(Source, String)>,
}

/// `Pretrained`: a module's parameters, and its buffers, from a file.
#[derive(Debug, Clone)]
pub(crate) struct Pretrained {
    pub checkpoint: Checkpoint,
    /// The module's path.
    pub module: String,
}

/// Prefixes under which a model may lie in a checkpoint: an algorithm's, and a parallel run's of PyTorch.
const WRAPPERS: [&str; 2] = ["architecture.", "module."];

impl Pretrained {
    /// Takes over what the file has of the module; parameters that it lacks keep their first values.
    ///
    /// # Errors
    /// The file cannot be read, holds no weights, has none of the parameters, or one of another shape.
    pub fn load(&self, graph: &Graph, weights: &mut Weights) -> Result<()> {
        let place = |error: ConfigError| Error::Config(error.at(&self.checkpoint.path));
        let refuse = |message: String| Err(place(ConfigError::new(message)));
        let Some(path) = self.checkpoint.path.as_str() else {
            return refuse("`checkpoint` must be a str".into());
        };
        if path.contains("://") {
            let error = ConfigError::new("weights are never downloaded");
            return Err(place(error.with_help("download the file and give its path")));
        }
        let options = ReadOptions { rules: self.checkpoint.rules.clone(), ..ReadOptions::default() };
        let mut file = occam_io::weights::read(Path::new(path), &options)
            .map_err(|e| place(ConfigError::new(format!("{path:?} cannot be loaded: {e}"))))?
            .weights;
        let mut prefix = self.checkpoint.prefix.clone().unwrap_or_default();
        if !prefix.is_empty() && !prefix.ends_with('.') {
            prefix.push('.');
        }
        if let Some((source, arch)) = &self.checkpoint.names {
            let backbone = names::backbone_of(*source, arch).map_err(place)?;
            names::check(*source, backbone, Some(arch), graph, &self.module).map_err(place)?;
            let below = |(name, array): (String, _)| Some((name.strip_prefix(&prefix)?.to_owned(), array));
            file = file.into_iter().filter_map(below).collect();
            file = names::rename(*source, backbone, &file).map_err(place)?.0;
            // These names are the classifier's, of which the module is a part.
            prefix = joined(&self.module, "");
        }
        let found = [""].iter().chain(&WRAPPERS).find_map(|wrapper| {
            let target = |name: &str| {
                let own = name.strip_prefix(wrapper)?.strip_prefix(prefix.as_str())?;
                Some(joined(&self.module, own)).filter(|target| weights.contains_key(target))
            };
            let all: Vec<_> = file.iter().filter_map(|(name, array)| Some((target(name)?, array))).collect();
            (!all.is_empty()).then_some(all)
        });
        let Some(found) = found else {
            let first: Vec<&str> = file.keys().map(String::as_str).take(3).collect();
            let module = if self.module.is_empty() { "the model" } else { &self.module };
            return refuse(format!(
                "{path:?} has no parameter of {module} under the prefix {prefix:?}; it begins with {}",
                first.join(", ")
            ));
        };
        let mut taken = Vec::new();
        for (name, array) in found {
            if weights.get(&name).is_some_and(|own| own.shape() != array.shape()) {
                let own = weights.get(&name).map_or(&[][..], |own| own.shape());
                return refuse(format!(
                    "`{name}` has shape {own:?} here and {:?} in {path:?}; load a part with `prefix`",
                    array.shape()
                ));
            }
            let single =
                array.to_f32().map_err(|e| place(ConfigError::new(format!("`{name}` in {path:?}: {e}"))))?;
            taken.push((name, single));
        }
        weights.extend(taken);
        Ok(())
    }
}

//! Checkpoints: everything a run needs to go on as if it had never stopped.
//!
//! One safetensors file: weights under their state-dict names, with a slash before those that have one in them, further
//! tensors under `<space>/<name>`, and where the run stands as JSON in the metadata entry `occam`. Random streams are named by seed, purpose, epoch and iteration, so there
//! is nothing of them to store.
//!
//! | space | |
//! |---|---|
//! | `optimizer` | the optimizer's tensors, `<parameter>.<slot>` |
//! | `accumulated` | gradients that wait for the next step |
//! | `algorithm` | what the algorithm needs beside its models' weights; see [`Algorithm::state`] |
//! | `ema_state_dict` | the weights that are trained, where those under their own names are averages; see `EMAHook` |

use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use occam_engine::schedule::Progress;
use occam_graph::{Array, Fit, Weights};
use serde::{Deserialize, Serialize};

use crate::model::{misfit, summary};
use crate::optim::GroupState;
use crate::{Algorithm, Error, Result};

/// Space of the optimizer's tensors.
pub(crate) const OPTIMIZER: &str = "optimizer";
/// Space of accumulated gradients.
pub(crate) const ACCUMULATED: &str = "accumulated";

/// Space of the algorithm's own tensors.
pub(crate) const ALGORITHM: &str = "algorithm";

/// The metadata entry that says where the run stands.
const POSITION: &str = "occam";

/// What hooks remember, by keys of their own.
pub type Info = serde_json::Map<String, serde_json::Value>;

/// Where a run stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// Layout of this entry.
    pub format: u32,
    /// Epochs finished.
    pub epoch: u64,
    /// Iterations finished.
    pub iter: u64,
    /// Iterations finished when the last validation ended.
    pub validated: Option<u64>,
    /// Seed of the run.
    pub seed: u64,
    /// Iterations of an epoch: another number means other data or another batch size.
    pub epoch_length: u64,
    /// Name of the optimizer; none where its state was not saved.
    pub optimizer: Option<String>,
    /// How many updates each part's optimizer had; none where there is one for all, which counts iterations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub updates: Vec<u64>,
    /// What schedules have moved.
    pub groups: Vec<GroupState>,
    /// Where each schedule stands; none where that was not saved.
    pub schedules: Option<Vec<Progress>>,
    /// What hooks remember.
    pub info: Info,
}

/// The current layout of [`Position`].
pub const FORMAT: u32 = 2;

/// A checkpoint in the making.
#[derive(Debug, Clone, Default)]
pub struct Draft {
    /// Weights by full name.
    pub weights: Weights,
    /// Further tensors by space and name.
    pub spaces: IndexMap<String, Weights>,
}

impl Draft {
    /// The weights of all models that are saved.
    ///
    /// # Errors
    /// The device failed.
    pub fn of(algorithm: &dyn Algorithm) -> Result<Self> {
        let mut weights = Weights::new();
        for (prefix, model) in algorithm.models() {
            if !algorithm.is_frozen(prefix) {
                for (name, array) in model.params.to_weights()? {
                    weights.insert(format!("{prefix}{name}"), array);
                }
            }
        }
        Ok(Self { weights, spaces: IndexMap::new() })
    }

    /// Adds a space from tensors.
    ///
    /// # Errors
    /// The device failed.
    pub fn space(&mut self, name: &str, tensors: &IndexMap<String, occam_engine::Tensor>) -> Result<()> {
        let arrays: Result<Weights> =
            tensors.iter().map(|(key, tensor)| Ok((key.clone(), tensor.to_array()?))).collect();
        self.spaces.insert(name.to_owned(), arrays?);
        Ok(())
    }

    /// Writes it under its final name, once it is whole.
    ///
    /// # Errors
    /// The disk failed.
    pub fn write(self, path: &Path, position: &Position) -> Result<()> {
        // Names from ONNX files may have slashes; these are of the space without a name.
        let whole = |name: String| if name.contains('/') { format!("/{name}") } else { name };
        let mut all: Weights = self.weights.into_iter().map(|(name, array)| (whole(name), array)).collect();
        for (space, tensors) in self.spaces {
            all.extend(tensors.into_iter().map(|(name, array)| (format!("{space}/{name}"), array)));
        }
        let json = serde_json::to_string(position).map_err(|e| Error::Other(e.to_string()))?;
        let metadata = IndexMap::from([(POSITION.to_owned(), json)]);
        Ok(occam_io::safetensors::save(path, &all, &metadata)?)
    }
}

/// A checkpoint in memory.
pub struct Checkpoint {
    path: PathBuf,
    weights: Weights,
    spaces: IndexMap<String, Weights>,
    position: Option<Position>,
}

impl Checkpoint {
    /// Reads a file: a checkpoint, or bare weights in any format of [`occam_io::weights`].
    ///
    /// # Errors
    /// It is missing or damaged.
    pub fn load(path: &Path) -> Result<Self> {
        if occam_io::weights::is_pytorch(path)? {
            let weights = occam_io::weights::read(path, &occam_io::weights::ReadOptions::default())?.weights;
            return Ok(Self::of_weights(path, weights));
        }
        let (all, metadata) = occam_io::safetensors::load(path)?;
        let (mut weights, mut spaces) = (Weights::new(), IndexMap::<String, Weights>::new());
        for (name, array) in all {
            match name.split_once('/').filter(|_| metadata.contains_key(POSITION)) {
                Some(("", key)) => _ = weights.insert(key.to_owned(), array),
                Some((space, key)) => {
                    spaces.entry(space.to_owned()).or_default().insert(key.to_owned(), array);
                }
                None => _ = weights.insert(name, array),
            }
        }
        let refuse = |message: String| Error::Checkpoint { path: path.into(), message };
        #[derive(Deserialize)]
        struct Layout {
            format: u32,
        }
        let position = match metadata.get(POSITION) {
            None => None,
            Some(text) => {
                let damaged = |e: serde_json::Error| refuse(format!("its position is damaged: {e}"));
                let Layout { format } = serde_json::from_str(text).map_err(damaged)?;
                if format != FORMAT {
                    let message = format!("format {format} is not known; this build reads {FORMAT}");
                    return Err(refuse(message));
                }
                Some(serde_json::from_str(text).map_err(damaged)?)
            }
        };
        Ok(Self { path: path.into(), weights, spaces, position })
    }

    /// Weights that were read from the file `path`.
    pub fn of_weights(path: &Path, weights: Weights) -> Self {
        Self { path: path.into(), weights, spaces: IndexMap::new(), position: None }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// An error about it.
    pub fn refuse(&self, message: impl Into<String>) -> Error {
        Error::Checkpoint { path: self.path.clone(), message: message.into() }
    }

    /// Where the run stood that wrote it.
    ///
    /// # Errors
    /// It holds weights alone.
    pub fn position(&self) -> Result<&Position> {
        self.position.as_ref().ok_or_else(|| {
            self.refuse("it holds weights alone and no run can be resumed from it; use `load_from`")
        })
    }

    /// Weights by full name.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// Further tensors of one space, by name.
    pub fn space(&self, name: &str) -> Option<&Weights> {
        self.spaces.get(name)
    }

    /// Names of the spaces that have tensors.
    pub fn spaces(&self) -> impl Iterator<Item = &str> {
        self.spaces.keys().map(String::as_str)
    }

    /// Gives every model of an algorithm its weights.
    ///
    /// # Errors
    /// A parameter is missing or has another shape.
    pub fn apply(&self, algorithm: &mut dyn Algorithm) -> Result<()> {
        if let Some(own) = self.accepted(algorithm)? {
            return own.apply_as_it_is(algorithm);
        }
        self.apply_as_it_is(algorithm)
    }

    /// The checkpoint with the weights that an algorithm makes of its own; see [`Algorithm::accept`].
    fn accepted(&self, algorithm: &dyn Algorithm) -> Result<Option<Self>> {
        let own = algorithm.accept(&self.weights).map_err(|e| self.refuse(e.to_string()))?;
        Ok(own.map(|weights| Self::of_weights(&self.path, weights)))
    }

    fn apply_as_it_is(&self, algorithm: &mut dyn Algorithm) -> Result<()> {
        algorithm.adopt(&self.bare())?;
        let frozen = frozen(algorithm);
        for (prefix, model) in algorithm.models_mut() {
            if frozen.contains(&prefix) {
                continue;
            }
            let part = self.below(prefix);
            let fit = occam_graph::fit(model.graph(), &part)?;
            if let Some(message) = misfit(&fit) {
                return Err(self.refuse(message));
            }
            model.load(&part)?;
        }
        Ok(())
    }

    /// As [`Checkpoint::apply`], for weights that need not be an algorithm's: those of its first model alone, and parts of
    /// either. Says what was taken over.
    ///
    /// # Errors
    /// A parameter is missing or has another shape, or nothing fits at all where `strict` is off.
    pub fn take_over(&self, algorithm: &mut dyn Algorithm, strict: bool) -> Result<Fit> {
        match self.accepted(algorithm)? {
            Some(own) => own.take_over_as_it_is(algorithm, strict),
            None => self.take_over_as_it_is(algorithm, strict),
        }
    }

    fn take_over_as_it_is(&self, algorithm: &mut dyn Algorithm, strict: bool) -> Result<Fit> {
        let alone = self.bare();
        algorithm.adopt(&alone)?;
        let mut whole = self.fit(algorithm)?;
        let models = algorithm.models();
        let first = models.first().map_or(algorithm.architecture(), |(_, model)| *model);
        let mut architecture = occam_graph::fit(first.graph(), &alone)?;
        let own = |name: &str| algorithm.may_lack(name.strip_prefix("architecture.").unwrap_or(name));
        whole.missing.retain(|name| !own(name));
        architecture.missing.retain(|name| !own(name));
        let fits = |fit: &Fit| misfit(fit).is_none();
        let taken = if strict { fits(&whole) } else { whole.matched.len() >= architecture.matched.len() };
        let fit = if taken { whole } else { architecture };
        if strict && let Some(message) = misfit(&fit) {
            return Err(self.refuse(message));
        }
        if fit.matched.is_empty() {
            return Err(self.refuse(format!("nothing of it fits ({})", summary(&fit))));
        }
        let frozen = frozen(algorithm);
        let models = algorithm.models_mut().into_iter().filter(|(prefix, _)| !frozen.contains(prefix));
        if taken {
            for (prefix, model) in models {
                model.load_part(&self.below(prefix))?;
            }
        } else if let Some((_, model)) = models.into_iter().next() {
            model.load_part(&alone)?;
        }
        Ok(fit)
    }

    /// How the weights fit all models that are saved, by full names.
    fn fit(&self, algorithm: &dyn Algorithm) -> Result<Fit> {
        let mut all = Fit::default();
        let frozen = frozen(algorithm);
        let mut saved = algorithm.models();
        saved.retain(|(prefix, _)| !frozen.contains(prefix));
        for (prefix, model) in &saved {
            let fit = occam_graph::fit(model.graph(), &self.below(prefix))?;
            let full = |name: String| format!("{prefix}{name}");
            all.matched.extend(fit.matched.into_iter().map(full));
            all.missing.extend(fit.missing.into_iter().map(full));
            all.unexpected.extend(fit.unexpected.into_iter().map(full));
            all.mismatched.extend(fit.mismatched.into_iter().map(|(n, want, found)| (full(n), want, found)));
        }
        let strange = |name: &&String| !saved.iter().any(|(prefix, _)| name.starts_with(prefix));
        all.unexpected.extend(self.weights.keys().filter(strange).cloned());
        all.unexpected.retain(|name| !frozen.iter().any(|prefix| name.starts_with(prefix)));
        Ok(all)
    }

    /// The weights whose names begin with `prefix`, without it.
    fn below(&self, prefix: &str) -> Weights {
        let named = |(name, a): (&String, &Array)| Some((name.strip_prefix(prefix)?.to_owned(), a.clone()));
        self.weights.iter().filter_map(named).collect()
    }

    /// The weights of the architecture, by its own names.
    pub fn bare(&self) -> Weights {
        let stripped = self.below("architecture.");
        if stripped.is_empty() { self.weights.clone() } else { stripped }
    }

    /// The weights of a single model, whether it was trained alone or as the architecture of an algorithm.
    ///
    /// # Errors
    /// A parameter of `graph` is missing or has another shape.
    pub fn architecture(&self, graph: &occam_graph::Graph) -> Result<Weights> {
        let weights = self.bare();
        let fit = occam_graph::fit(graph, &weights)?;
        match misfit(&fit) {
            Some(message) => Err(self.refuse(message)),
            None => Ok(weights),
        }
    }
}

/// Prefixes of the models that checkpoints leave out.
fn frozen(algorithm: &dyn Algorithm) -> Vec<&'static str> {
    algorithm.models().iter().map(|(prefix, _)| *prefix).filter(|p| algorithm.is_frozen(p)).collect()
}

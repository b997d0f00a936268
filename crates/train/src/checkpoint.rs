//! Checkpoints: everything a run needs to go on as if it had never stopped.
//!
//! One safetensors file: weights under their state-dict names, the optimizer's tensors under
//! `optimizer/<parameter>.<slot>`, and where the run stands as JSON in the metadata entry `occam`. Random streams are
//! named by seed, purpose, epoch and iteration, so there is nothing of them to store.

use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use occam_engine::Tensor;
use occam_engine::schedule::Progress;
use occam_graph::Weights;
use serde::{Deserialize, Serialize};

use crate::model::misfit;
use crate::{Algorithm, Error, Result};

const OPTIMIZER: &str = "optimizer/";

/// Where a run stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// Layout of this entry.
    pub format: u32,
    /// Epochs finished.
    pub epoch: u64,
    /// Iterations finished.
    pub iter: u64,
    /// Seed of the run.
    pub seed: u64,
    /// Bits of the learning rate of the next step: decimal text might round.
    pub lr_bits: u64,
    /// Where each schedule stands.
    pub schedules: Vec<Progress>,
    /// Iterations of an epoch: another number means other data or another batch size.
    pub epoch_length: u64,
    /// Name of the optimizer.
    pub optimizer: String,
}

/// The current layout of [`Position`].
pub const FORMAT: u32 = 1;

/// Writes a checkpoint under its final name, once it is whole.
///
/// # Errors
/// The device or the disk failed.
pub fn save(
    path: &Path,
    algorithm: &dyn Algorithm,
    optimizer: &IndexMap<String, Tensor>,
    position: &Position,
) -> Result<()> {
    let mut all = Weights::new();
    for (prefix, model) in algorithm.models() {
        if !algorithm.is_frozen(prefix) {
            for (name, array) in model.params.to_weights()? {
                all.insert(format!("{prefix}{name}"), array);
            }
        }
    }
    for (key, tensor) in optimizer {
        all.insert(format!("{OPTIMIZER}{key}"), tensor.to_array()?);
    }
    let json = serde_json::to_string(position).map_err(|e| Error::Other(e.to_string()))?;
    let metadata = IndexMap::from([("occam".to_owned(), json)]);
    Ok(occam_io::safetensors::save(path, &all, &metadata)?)
}

/// A checkpoint in memory.
pub struct Checkpoint {
    path: PathBuf,
    weights: Weights,
    optimizer: Weights,
    position: Option<Position>,
}

impl Checkpoint {
    /// Reads a file: a checkpoint, or bare weights.
    ///
    /// # Errors
    /// It is missing or damaged.
    pub fn load(path: &Path) -> Result<Self> {
        let (all, metadata) = occam_io::safetensors::load(path)?;
        let (mut weights, mut optimizer) = (Weights::new(), Weights::new());
        for (name, array) in all {
            match name.strip_prefix(OPTIMIZER) {
                Some(key) => optimizer.insert(key.to_owned(), array),
                None => weights.insert(name, array),
            };
        }
        let refuse = |message: String| Error::Checkpoint { path: path.into(), message };
        let position = match metadata.get("occam") {
            None => None,
            Some(text) => {
                let position: Position = serde_json::from_str(text)
                    .map_err(|e| refuse(format!("its position is damaged: {e}")))?;
                if position.format != FORMAT {
                    let message =
                        format!("format {} is not known; this build reads {FORMAT}", position.format);
                    return Err(refuse(message));
                }
                Some(position)
            }
        };
        Ok(Self { path: path.into(), weights, optimizer, position })
    }

    fn refuse(&self, message: impl Into<String>) -> Error {
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

    /// The optimizer's tensors on a device.
    ///
    /// # Errors
    /// The device failed.
    pub fn optimizer(&self, device: &occam_engine::Device) -> Result<IndexMap<String, Tensor>> {
        self.optimizer.iter().map(|(k, a)| Ok((k.clone(), Tensor::from_array(a, device)?))).collect()
    }

    /// Gives every model of an algorithm its weights.
    ///
    /// # Errors
    /// A parameter is missing or has another shape.
    pub fn apply(&self, algorithm: &mut dyn Algorithm) -> Result<()> {
        let frozen: Vec<&str> =
            algorithm.models().iter().map(|(p, _)| *p).filter(|p| algorithm.is_frozen(p)).collect();
        for (prefix, model) in algorithm.models_mut() {
            if frozen.contains(&prefix) {
                continue;
            }
            let part: Weights = self
                .weights
                .iter()
                .filter_map(|(name, a)| Some((name.strip_prefix(prefix)?.to_owned(), a.clone())))
                .collect();
            let fit = occam_graph::fit(model.graph(), &part)?;
            if let Some(message) = misfit(&fit) {
                return Err(self.refuse(message));
            }
            model.load(&part)?;
        }
        Ok(())
    }

    /// The weights of a single model, whether it was trained alone or as the architecture of an algorithm.
    ///
    /// # Errors
    /// A parameter of `graph` is missing or has another shape.
    pub fn architecture(&self, graph: &occam_graph::Graph) -> Result<Weights> {
        let stripped: Weights = self
            .weights
            .iter()
            .filter_map(|(n, a)| Some((n.strip_prefix("architecture.")?.to_owned(), a.clone())))
            .collect();
        let weights = if stripped.is_empty() { self.weights.clone() } else { stripped };
        let fit = occam_graph::fit(graph, &weights)?;
        match misfit(&fit) {
            Some(message) => Err(self.refuse(message)),
            None => Ok(weights),
        }
    }
}

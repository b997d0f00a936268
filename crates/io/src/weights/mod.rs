//! Weights in a file of any format that holds them.

mod rules;

pub use rules::KeyRules;

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use indexmap::IndexMap;
use occam_graph::Weights;

use crate::{Error, Result, pth, safetensors};

/// Entry of a safetensors file's metadata that makes it a checkpoint of a training.
const CHECKPOINT: &str = "occam";

/// What a file turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A safetensors file of weights alone.
    Safetensors,
    /// A checkpoint of `occam train`, which is a safetensors file with further tensors under `<space>/<name>`.
    Checkpoint,
    /// A checkpoint of PyTorch.
    PyTorch,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Safetensors => "safetensors",
            Self::Checkpoint => "checkpoint of a training",
            Self::PyTorch => "PyTorch",
        })
    }
}

/// Which weights of a file, and under which names.
#[derive(Debug, Clone, Default)]
pub struct ReadOptions {
    /// Where in the file: keys joined by dots in a checkpoint of PyTorch, a space in one of a training.
    /// By default, the weights themselves; see [`pth::load`].
    pub key: Option<String>,
    /// How names begin that are meant, up to a dot; they lose it, and all others are left out.
    pub prefix: Option<String>,
    /// What becomes of names, after the prefix.
    pub rules: KeyRules,
}

/// Weights and where they come from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// Arrays by name, in the file's order.
    pub weights: Weights,
    /// The file's text entries; a checkpoint of PyTorch has none.
    pub metadata: IndexMap<String, String>,
    /// What the file is.
    pub format: Format,
    /// Where in the file they were; empty for the file itself.
    pub at: String,
    /// Further places of the file that hold weights.
    pub others: Vec<String>,
    /// Entries beside the weights that are no arrays.
    pub skipped: Vec<pth::Skipped>,
}

/// Whether a file is a checkpoint of PyTorch, by how it begins.
///
/// # Errors
/// It cannot be read.
pub fn is_pytorch(path: impl AsRef<Path>) -> Result<bool> {
    let path = path.as_ref();
    let file = File::open(path).map_err(Error::io("open", path))?;
    let mut start = Vec::new();
    file.take(16).read_to_end(&mut start).map_err(Error::io("read", path))?;
    Ok(pth::is_one(&start))
}

/// Reads weights from a file, whatever it is called: safetensors, a checkpoint of PyTorch, or one of a training.
///
/// # Errors
/// The file cannot be read or is none of these, has nothing under `key` or `prefix`, or two names become one.
pub fn read(path: impl AsRef<Path>, options: &ReadOptions) -> Result<Loaded> {
    let path = path.as_ref();
    let key = options.key.as_deref();
    let mut loaded = if is_pytorch(path)? { read_pytorch(path, key)? } else { read_safetensors(path, key)? };
    if let Some(prefix) = options.prefix.as_deref().filter(|p| !p.is_empty()) {
        let prefix = if prefix.ends_with('.') { prefix.to_owned() } else { format!("{prefix}.") };
        let first: Vec<String> = loaded.weights.keys().take(3).cloned().collect();
        loaded.weights = loaded
            .weights
            .into_iter()
            .filter_map(|(name, array)| Some((name.strip_prefix(&prefix)?.to_owned(), array)))
            .collect();
        if loaded.weights.is_empty() {
            return Err(Error::Option {
                option: "prefix",
                message: format!(
                    "no name in `{}` begins with {prefix:?}; it has {}",
                    path.display(),
                    first.join(", ")
                ),
            });
        }
    }
    loaded.weights = options.rules.rename_all(loaded.weights)?;
    Ok(loaded)
}

fn read_pytorch(path: &Path, key: Option<&str>) -> Result<Loaded> {
    let pth::StateDict { weights, at, others, skipped } = pth::load(path, key)?;
    let (metadata, at) = (IndexMap::new(), at.join("."));
    Ok(Loaded { weights, metadata, format: Format::PyTorch, at, others, skipped })
}

fn read_safetensors(path: &Path, key: Option<&str>) -> Result<Loaded> {
    let (mut weights, metadata) = safetensors::load(path).map_err(|error| match error {
        Error::Malformed { path, message, .. } => {
            pth::plain_pickle(&path).unwrap_or_else(|| Error::Malformed {
                format: "weight",
                path,
                message: format!("it does not begin like PyTorch's, and as safetensors {message}"),
            })
        }
        other => other,
    })?;
    let format = if metadata.contains_key(CHECKPOINT) { Format::Checkpoint } else { Format::Safetensors };
    let mut others = Vec::new();
    if format == Format::Checkpoint {
        let mut spaces = IndexMap::<String, Weights>::new();
        for (name, array) in std::mem::take(&mut weights) {
            let (space, own) = name.split_once('/').unwrap_or(("", &name));
            spaces.entry(space.to_owned()).or_default().insert(own.to_owned(), array);
        }
        let wanted = key.unwrap_or_default();
        weights = spaces.shift_remove(wanted).unwrap_or_default();
        others = spaces.into_keys().filter(|space| !space.is_empty()).collect();
    }
    match key {
        Some(key) if format == Format::Safetensors || weights.is_empty() => Err(Error::Option {
            option: "key",
            message: match others.is_empty() {
                true => format!("a safetensors file of weights has nothing under {key:?}; leave it out"),
                false => format!("the checkpoint has no {key:?}; it has {}", others.join(", ")),
            },
        }),
        key => {
            let at = key.unwrap_or_default().to_owned();
            Ok(Loaded { weights, metadata, format, at, others, skipped: Vec::new() })
        }
    }
}

//! Weights in PyTorch checkpoints, `.pth` and `.pt`.
//!
//! A checkpoint is a pickle, a program for a small stack machine that Python runs, beside the elements of the tensors.
//! [`load`] runs that program on a machine of its own, which builds plain data and calls nothing: what PyTorch's
//! tensors are rebuilt with becomes a description of a tensor, objects of well-known classes (an optimizer's settings, a
//! logger's history) become placeholders, and whatever else a pickle asks to be called is refused by its name.
//!
//! Two layouts are read: the zip archive of PyTorch 1.6 and later, and the file of pickles before it, which
//! `_use_new_zipfile_serialization=False` still writes. [`save`] writes the archive.

mod globals;
mod legacy;
mod pickle;
mod state_dict;
mod storage;
mod value;
mod write;
mod zip;

pub use write::save;

use std::fs::File;
use std::path::Path;

use memmap2::Mmap;
use occam_graph::Weights;

use crate::{Error, Result};
use pickle::Program;
use storage::Storages;

/// The format's name in errors.
const FORMAT: &str = "PyTorch";

/// Entry that archives of TorchScript programs have.
const CONSTANTS: &str = "constants.pkl";

/// Bytes at the end of an archive where the names of its entries are looked for.
const NAMES: usize = 1 << 20;

/// Weights of a checkpoint, and where they were in it.
#[derive(Debug, Clone)]
pub struct StateDict {
    /// Tensors by name, in the file's order.
    pub weights: Weights,
    /// Keys that lead to them, such as `state_dict`; empty where the file is a state dict itself.
    pub at: Vec<String>,
    /// Further keys of the file under which there are tensors by name.
    pub others: Vec<String>,
    /// Entries beside the tensors that are none themselves, or not such as arrays can be.
    pub skipped: Vec<Skipped>,
}

/// An entry of a state dict that is not among the weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Its name.
    pub name: String,
    /// What it is, such as `a quantized tensor`.
    pub what: String,
}

/// Why a file is not read.
#[derive(Debug)]
enum Fault {
    Malformed(String),
    /// The pickle would call this.
    Import(String),
    Type {
        name: String,
        dtype: String,
    },
    Key(String),
}

impl From<String> for Fault {
    fn from(message: String) -> Self {
        Self::Malformed(message)
    }
}

impl From<&str> for Fault {
    fn from(message: &str) -> Self {
        Self::Malformed(message.into())
    }
}

impl Fault {
    fn at(self, path: &Path) -> Error {
        match self {
            Self::Malformed(message) => Error::Malformed { format: FORMAT, path: path.into(), message },
            Self::Import(import) => Error::Import { path: path.into(), import },
            Self::Type { name, dtype } => Error::UnsupportedType {
                path: path.into(),
                name,
                dtype,
                known: "float32, float64, float16, bfloat16, int8, uint8, int32, int64, bool",
            },
            Self::Key(message) => Error::Option { option: "key", message },
        }
    }
}

/// Whether a file that begins with these bytes may be a checkpoint of PyTorch.
pub(crate) fn is_one(start: &[u8]) -> bool {
    start.starts_with(zip::MAGIC) || legacy::is_one(start)
}

/// Why a file that is neither an archive nor begins as PyTorch's do is refused, where it is a pickle all the same.
pub(crate) fn plain_pickle(path: &Path) -> Option<Error> {
    let file = File::open(path).ok()?;
    // SAFETY: as in [`load`].
    let map = unsafe { Mmap::map(&file) }.ok()?;
    match pickle::run(&map) {
        Err(fault @ Fault::Import(_)) => Some(fault.at(path)),
        Err(_) => None,
        // What begins like text may end as a pickle by chance; a pickle of data begins with its protocol.
        Ok(_) if map.first() != Some(&0x80) => None,
        Ok(_) => Some(Fault::from("it is a pickle, but none that `torch.save` writes").at(path)),
    }
}

/// Reads a state dict of `path`: the one under `key` (dots lead further in), or else the file itself, or what it has
/// under the first of `state_dict`, `model`, `model_state_dict`, `net`, `ema_state_dict`, `state_dict_ema`,
/// `model_ema`, `ema` that holds tensors. Names lose a `module.` that all of them have.
///
/// # Errors
/// The file cannot be read, is cut off or damaged, would run code, has no state dict there, or one with a tensor of a
/// type that arrays do not have.
pub fn load(path: impl AsRef<Path>, key: Option<&str>) -> Result<StateDict> {
    let path = path.as_ref();
    let file = File::open(path).map_err(Error::io("open", path))?;
    let length = file.metadata().map_err(Error::io("read", path))?.len();
    if length == 0 {
        return Err(Fault::from("it is empty").at(path));
    }
    // SAFETY: a map is undefined where another process changes the file meanwhile. Checkpoints are replaced and not
    // changed by those who write them, and all elements are copied out before the map ends.
    let map = unsafe { Mmap::map(&file) }.map_err(Error::io("map", path))?;
    parse(&map, key).map_err(|fault| fault.at(path))
}

/// [`load`] of bytes in memory.
///
/// # Errors
/// As [`load`].
pub fn load_bytes(bytes: &[u8]) -> Result<StateDict> {
    parse(bytes, None).map_err(|fault| fault.at(Path::new("checkpoint.pth")))
}

fn parse(file: &[u8], key: Option<&str>) -> Result<StateDict, Fault> {
    let (program, storages) =
        if file.starts_with(zip::MAGIC) { read_archive(file)? } else { legacy::read(file)? };
    state_dict::find(&program, &storages, key, file.len())
}

fn read_archive(file: &[u8]) -> Result<(Program, Storages<'_>), Fault> {
    let script = || "it is a TorchScript program; save the model's `state_dict()` with `torch.save`";
    let entries = zip::entries(file).map_err(|fault| {
        // The code of a program is compressed. The names of all entries stand at the end.
        let names = file.get(file.len().saturating_sub(NAMES)..).unwrap_or_default();
        match names.windows(CONSTANTS.len()).any(|part| part == CONSTANTS.as_bytes()) {
            true => script().into(),
            false => fault,
        }
    })?;
    let Some((folder, pickle)) = entries.iter().find_map(|(name, bytes)| {
        let folder = name.strip_suffix("data.pkl")?;
        (folder.is_empty() || folder.ends_with('/')).then_some((folder.to_owned(), *bytes))
    }) else {
        return Err("the archive has no data.pkl".into());
    };
    if entries.contains_key(&format!("{folder}{CONSTANTS}")) {
        return Err(script().into());
    }
    let big_endian = entries.get(&format!("{folder}byteorder")).is_some_and(|order| *order == b"big");
    let (program, _) = pickle::run(pickle)?;
    let prefix = format!("{folder}data/");
    let bytes = entries
        .into_iter()
        .filter_map(|(name, bytes)| Some((name.strip_prefix(&prefix)?.to_owned(), bytes)))
        .collect();
    Ok((program, Storages { bytes, big_endian }))
}

#[cfg(test)]
mod tests;

//! Elements in a file beside the model.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::{self, Write};
use std::path::{Component, Path};

use prost::bytes::Bytes;

use super::proto::{
    AttributeProto, DataLocation, GraphProto, ModelProto, NodeProto, SparseTensorProto,
    StringStringEntryProto, TensorProto,
};
use crate::{Error, Result, atomic_write};

/// Where to write the elements of initializers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ExternalData {
    /// In the model, unless it would take more than 1.9 GB: protobuf readers stop at 2 GiB.
    #[default]
    Auto,
    /// In a file beside the model, called as the model with `.data` behind.
    Always,
    /// In the model.
    Never,
}

/// Tensors with fewer bytes stay in the model, where shape inference sees them.
const SMALLEST: usize = 1024;

/// Elements begin at multiples of this, so that runtimes can map them: the size of a page.
const ALIGNMENT: usize = 4096;

/// Writes the elements of the model's large initializers to `path` and returns the model that refers to them there
/// as `location`.
pub(super) fn move_out(model: &ModelProto, path: &Path, location: &str) -> Result<ModelProto> {
    let mut model = model.clone();
    let mut pieces = Vec::new();
    let mut end = 0;
    for tensor in model.graph.iter_mut().flat_map(|g| &mut g.initializer) {
        let Some(bytes) = tensor.raw_data.take_if(|b| b.len() >= SMALLEST) else { continue };
        let start = usize::next_multiple_of(end, ALIGNMENT);
        let padding = start - end;
        end = start + bytes.len();
        let entry =
            |key: &str, value: String| StringStringEntryProto { key: Some(key.into()), value: Some(value) };
        tensor.external_data = vec![
            entry("location", location.into()),
            entry("offset", start.to_string()),
            entry("length", bytes.len().to_string()),
        ];
        tensor.data_location = Some(DataLocation::External.into());
        pieces.push((padding, bytes));
    }
    atomic_write(path, |file| {
        for (padding, bytes) in &pieces {
            io::copy(&mut io::Read::take(io::repeat(0), *padding as u64), file)?;
            file.write_all(bytes)?;
        }
        Ok(())
    })?;
    Ok(model)
}

/// Reads all elements that lie in files beside `path` into the model.
pub(super) fn move_in(model: &mut ModelProto, path: &Path) -> Result<()> {
    let mut reader = Reader { path, files: HashMap::new() };
    if let Some(graph) = &mut model.graph {
        reader.graph(graph)?;
    }
    for info in &mut model.training_info {
        for graph in info.initialization.iter_mut().chain(&mut info.algorithm) {
            reader.graph(graph)?;
        }
    }
    for function in &mut model.functions {
        reader.nodes(&mut function.node)?;
        reader.attributes(&mut function.attribute_proto)?;
    }
    Ok(())
}

/// Walks all tensors of a model; each file is read once.
///
/// The walk is as deep as graphs lie in graphs, which the decoder has limited.
struct Reader<'a> {
    path: &'a Path,
    files: HashMap<String, Bytes>,
}

impl Reader<'_> {
    fn graph(&mut self, graph: &mut GraphProto) -> Result<()> {
        graph.initializer.iter_mut().try_for_each(|t| self.tensor(t))?;
        graph.sparse_initializer.iter_mut().try_for_each(|t| self.sparse(t))?;
        self.nodes(&mut graph.node)
    }

    fn nodes(&mut self, nodes: &mut [NodeProto]) -> Result<()> {
        nodes.iter_mut().try_for_each(|n| self.attributes(&mut n.attribute))
    }

    fn attributes(&mut self, attributes: &mut [AttributeProto]) -> Result<()> {
        for a in attributes {
            a.t.iter_mut().try_for_each(|t| self.tensor(t))?;
            a.tensors.iter_mut().try_for_each(|t| self.tensor(t))?;
            a.sparse_tensor.iter_mut().try_for_each(|t| self.sparse(t))?;
            a.sparse_tensors.iter_mut().try_for_each(|t| self.sparse(t))?;
            a.g.iter_mut().try_for_each(|g| self.graph(g))?;
            a.graphs.iter_mut().try_for_each(|g| self.graph(g))?;
        }
        Ok(())
    }

    fn sparse(&mut self, tensor: &mut SparseTensorProto) -> Result<()> {
        tensor.values.iter_mut().chain(&mut tensor.indices).try_for_each(|t| self.tensor(t))
    }

    fn tensor(&mut self, tensor: &mut TensorProto) -> Result<()> {
        if tensor.data_location() != DataLocation::External {
            return Ok(());
        }
        let bytes = self.elements(tensor).map_err(|e| match e {
            Problem::Error(e) => e,
            Problem::Malformed(message) => Error::Malformed {
                format: "ONNX",
                path: self.path.into(),
                message: format!("tensor `{}`: {message}", tensor.name()),
            },
        })?;
        tensor.raw_data = Some(bytes);
        tensor.external_data.clear();
        tensor.data_location = None;
        Ok(())
    }

    fn elements(&mut self, tensor: &TensorProto) -> Result<Bytes, Problem> {
        let entry = |key: &str| tensor.external_data.iter().find(|e| e.key() == key).map(|e| e.value());
        let number = |key: &str| {
            let parse = |text: &str| {
                text.parse::<usize>()
                    .map_err(|_| Problem::Malformed(format!("its {key} `{text}` is no number")))
            };
            entry(key).map(parse).transpose()
        };
        let location = entry("location")
            .ok_or_else(|| Problem::Malformed("its elements lie outside, but no file is named".into()))?;
        let (offset, length) = (number("offset")?.unwrap_or(0), number("length")?);
        let file = self.file(location)?;
        let end = match length {
            Some(length) => offset.checked_add(length),
            None => Some(file.len()),
        };
        end.filter(|&end| offset <= end && end <= file.len()).map(|end| file.slice(offset..end)).ok_or_else(
            || {
                Problem::Malformed(format!(
                    "its elements should lie at byte {offset} of `{location}` and take {} bytes, \
                     but that file has {}",
                    length.unwrap_or(0),
                    file.len()
                ))
            },
        )
    }

    fn file(&mut self, location: &str) -> Result<&Bytes, Problem> {
        // A model from elsewhere must not make its reader open any file it likes.
        let inside =
            Path::new(location).components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
        if location.is_empty() || !inside {
            return Err(Problem::Malformed(format!("its file `{location}` is not beside the model")));
        }
        match self.files.entry(location.into()) {
            Entry::Occupied(e) => Ok(e.into_mut()),
            Entry::Vacant(e) => {
                let path = self.path.parent().unwrap_or(Path::new("")).join(location);
                if !beside(&path, self.path) {
                    let message =
                        format!("its file `{location}` is a link to one that is not beside the model");
                    return Err(Problem::Malformed(message));
                }
                // Opening a pipe would wait for somebody to write into it.
                if path.metadata().is_ok_and(|m| !m.is_file()) {
                    return Err(Problem::Malformed(format!("its file `{location}` is no regular file")));
                }
                Ok(e.insert(super::file::map(&path).map_err(Problem::Error)?))
            }
        }
    }
}

/// Whether a file lies in the folder of `model`, wherever links lead; where the model is a link itself, the folder that
/// this leads to will do, as caches of downloads keep all files there. Files that do not exist are told by opening them.
fn beside(path: &Path, model: &Path) -> bool {
    let Ok(real) = path.canonicalize() else { return true };
    let folder = match model.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let real_folder = model.canonicalize().ok().and_then(|m| m.parent().map(Path::to_owned));
    [folder.canonicalize().ok(), real_folder].iter().flatten().any(|folder| real.starts_with(folder))
}

/// Why elements were not read.
enum Problem {
    Error(Error),
    /// The model says something impossible.
    Malformed(String),
}

//! From a model to a graph.
//!
//! Every node becomes an [`Onnx`](occam_graph::onnx::Onnx) with the name and the attributes that the file gives it. What
//! follows from constants and known shapes alone is computed at once.

mod attribute;
mod convert;
mod functions;
mod origin;
mod promote;
mod tensor;

use std::path::Path;

use occam_graph::{Graph, Weights};

use super::file::decode;
use super::proto::ModelProto;
use super::read_model;
use crate::{Error, Result};
pub use origin::{Origin, export_imported};
pub use tensor::array;

/// Versions of ONNX's operator set that can be read.
pub const OPSETS: std::ops::RangeInclusive<i64> = 7..=23;

/// How to read a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportOptions {
    /// Whether what follows from constants and shapes is computed at once.
    pub fold: bool,
}

impl Default for ImportOptions {
    fn default() -> Self {
        Self { fold: true }
    }
}

/// A model that was read.
#[derive(Debug, Clone)]
pub struct Imported {
    /// What it computes.
    pub graph: Graph,
    /// Its parameters: what layers learn. All other constants are in the graph.
    pub weights: Weights,
    /// What else the file says.
    pub origin: Origin,
}

/// Reads a model; elements of initializers stay in the file until they are asked for.
///
/// # Errors
/// The file cannot be read, is not ONNX, or has a node that is not supported or does not fit; the message names the node.
pub fn import(path: impl AsRef<Path>, options: &ImportOptions) -> Result<Imported> {
    let path = path.as_ref();
    import_model(read_model(path)?, path, options)
}

/// Reads a model from bytes; elements in other files are not found.
///
/// # Errors
/// As [`import`].
pub fn import_bytes(bytes: Vec<u8>, options: &ImportOptions) -> Result<Imported> {
    let path = Path::new("model");
    import_model(decode(path, bytes.into())?, path, options)
}

/// Reads a model that was decoded; `path` is for errors.
///
/// # Errors
/// As [`import`].
pub fn import_model(mut model: ModelProto, path: &Path, options: &ImportOptions) -> Result<Imported> {
    let malformed = |message: String| Error::Malformed { format: "ONNX", path: path.into(), message };
    functions::inline(&mut model).map_err(malformed)?;
    let opsets = convert::opsets(&model).map_err(malformed)?;
    let graph = model.graph.take().ok_or_else(|| malformed("it has no graph".into()))?;
    let origin = Origin::of(&model, &graph);
    let mut graph = convert::graph(&graph, &opsets, options).map_err(malformed)?;
    let weights = promote::parameters(&mut graph)?;
    Ok(Imported { graph, weights, origin })
}

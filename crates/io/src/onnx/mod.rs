//! Models in [ONNX](https://onnx.ai) files.
//!
//! [`export`] turns a graph and its weights into a [`ModelProto`], [`write_model`] and [`read_model`] move that to and
//! from a file. The names in the file are the graph's: nodes are called by module path, initializers as in the state
//! dict. [`proto`] has the messages themselves.
//!
//! ```
//! use occam_graph::{Array, Weights, ops::examples};
//! use occam_io::onnx::{ExportOptions, export, read_model, write_model};
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("model.onnx");
//! let graph = examples::small_classifier()?;
//! let zeros = |shape: Option<Vec<usize>>| Array::full(shape.unwrap_or_default(), 0.0);
//! let weights: Weights = graph.params().map(|(_, v)| (v.name.clone(), zeros(v.fact.known_shape()))).collect();
//! let model = export(&graph, &weights, &ExportOptions::default())?;
//! write_model(&path, &model)?;
//! assert_eq!(read_model(&path)?, model);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod export;
mod external;
mod facts;
mod file;
mod halves;
mod import;
mod names;
mod ops;
pub mod proto;
mod site;
mod tensor;

pub use export::{ExportOptions, export};
pub use external::ExternalData;
pub use file::{read_model, write_model, write_model_with};
pub use halves::Halves;
pub use import::{
    ImportOptions, Imported, Input, OPSETS, Origin, array, export_imported, import, import_bytes,
    import_model, inputs,
};
/// Encodes and decodes the messages of [`proto`].
pub use prost::Message;
pub use proto::ModelProto;

use crate::Result;

/// A size as ONNX has it.
fn to_i64(size: usize) -> Result<i64> {
    i64::try_from(size)
        .map_err(|_| occam_graph::Error::Dim(format!("size {size} is too large for ONNX")).into())
}

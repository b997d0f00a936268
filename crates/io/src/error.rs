//! What can go wrong with files.

use std::io;
use std::path::{Path, PathBuf};

/// Why a file was not read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refuses.
    #[error("cannot {action} `{}`: {reason}", path.display())]
    Io {
        /// What was tried, such as `read`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        reason: io::Error,
    },
    /// A file is cut off, or is not of the format it should be.
    #[error("`{}` is not a valid {format} file: {message}", path.display())]
    Malformed {
        /// The format.
        format: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// A file is right, and has something that cannot be computed here.
    #[error("`{}` cannot be read: {message}", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What it has, and where.
        message: String,
    },
    /// An array does not fit the input of a model.
    #[error("input `{name}`: {message}")]
    Input {
        /// The input.
        name: String,
        /// What is wanted, and what was given.
        message: String,
    },
    /// A pickle asks for something to be called that is no plain data.
    #[error(
        "`{}` is refused: it would run code, `{import}`, when Python loads it. Get the weights from a source that \
         you trust, or save the model's `state_dict()` alone",
        path.display()
    )]
    Import {
        /// The file.
        path: PathBuf,
        /// What it imports and calls, as `module.name`.
        import: String,
    },
    /// A tensor in a file has an element type that arrays do not have.
    #[error("tensor `{name}` in `{}` has elements of type {dtype}; convert it to one of: {known}", path.display())]
    UnsupportedType {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Its element type, as the format calls it.
        dtype: String,
        /// The types that can be read.
        known: &'static str,
    },
    /// A name that the format keeps for itself, or that is used for two things.
    #[error("the name `{name}` cannot be written: {message}")]
    Name {
        /// The name.
        name: String,
        /// Why not, and what to do.
        message: String,
    },
    /// The weights lack a parameter of the graph.
    #[error("parameter `{name}` {wanted} is not among the weights; load or initialize it first")]
    MissingWeight {
        /// The parameter.
        name: String,
        /// Its type and shape in the graph.
        wanted: String,
    },
    /// The weights have a parameter in another type or shape.
    #[error("parameter `{name}` must be {wanted}, but the weights have {found}")]
    MismatchedWeight {
        /// The parameter.
        name: String,
        /// Its type and shape in the graph.
        wanted: String,
        /// Its type and shape in the weights.
        found: String,
    },
    /// An option is out of its range.
    #[error("option `{option}`: {message}")]
    Option {
        /// The option.
        option: &'static str,
        /// What is wrong, and what would be right.
        message: String,
    },
    /// A node has no form in the format.
    #[error("node `{node}` ({op}) cannot be exported: {message}")]
    Export {
        /// The node.
        node: String,
        /// Its operator.
        op: &'static str,
        /// Why not.
        message: String,
    },
    /// The model is larger than one file of the format may be.
    #[error(
        "the model takes {bytes} bytes, more than the {limit} that one ONNX file may have; \
         allow external data"
    )]
    TooLarge {
        /// Its size.
        bytes: u64,
        /// The largest size.
        limit: u64,
    },
    /// A graph or an array breaks a rule of its own.
    #[error(transparent)]
    Graph(#[from] occam_graph::Error),
}

impl Error {
    /// For `map_err`: `action` on `path` failed.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |reason| Self::Io { action, path: path.into(), reason }
    }
}

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

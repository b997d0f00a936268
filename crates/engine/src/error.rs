//! What can go wrong while computing.

use occam_graph::DType;

/// Why a computation was refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Shapes or types of tensors do not fit an operation.
    #[error("{op}: {message}")]
    Tensor {
        /// The operation.
        op: &'static str,
        /// What does not fit.
        message: String,
    },
    /// A node could not be run.
    #[error("node `{node}`: {source}")]
    Node {
        /// Its name.
        node: String,
        /// Why.
        source: Box<Error>,
    },
    /// The graph asks for a parameter that was not given, or has another shape.
    #[error("parameter `{name}`: {message}")]
    Param {
        /// Its name.
        name: String,
        /// What is wrong.
        message: String,
    },
    /// An input of the graph is missing or does not fit.
    #[error("input `{name}`: {message}")]
    Input {
        /// Its name.
        name: String,
        /// What is wrong.
        message: String,
    },
    /// The engine cannot hold elements of this type.
    #[error("elements of type {0} cannot be computed with")]
    DType(DType),
    /// The device does not exist or is not part of this build.
    #[error("device `{name}`: {message}")]
    Device {
        /// As asked for.
        name: String,
        /// What is wrong and what to do.
        message: String,
    },
    /// Reading a tensor back from its device failed.
    #[error("reading a tensor: {0}")]
    Read(String),
    /// An optimizer or a schedule was given something it cannot use.
    #[error("{0}")]
    Optim(String),
    /// An operator that the interpreter evaluates refuses its operands.
    #[error(transparent)]
    Interp(#[from] occam_interp::Error),
    /// The graph is at fault.
    #[error(transparent)]
    Graph(#[from] occam_graph::Error),
}

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Shorthand for [`Error::Tensor`].
pub(crate) fn refuse<T>(op: &'static str, message: impl Into<String>) -> Result<T> {
    Err(Error::Tensor { op, message: message.into() })
}

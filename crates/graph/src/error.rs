//! What can go wrong with graphs and arrays.

/// Why a graph, a patch or an array was refused.
#[derive(Debug, Clone, thiserror::Error, PartialEq)]
pub enum Error {
    /// Element counts, shapes or types of a host array do not fit.
    #[error("array: {0}")]
    Array(String),
    /// A node's inputs do not fit its operator.
    #[error("node `{node}` ({op}): {message}")]
    Node {
        /// Name of the node.
        node: String,
        /// Name of its operator.
        op: &'static str,
        /// What does not fit.
        message: String,
    },
    /// An operator refuses its inputs; becomes [`Error::Node`] where the node is known.
    #[error("{0}")]
    Op(String),
    /// The graph breaks one of its own rules.
    #[error("graph: {0}")]
    Graph(String),
    /// A patch cannot be applied.
    #[error("patch `{patch}`: {message}")]
    Patch {
        /// Name of the patch.
        patch: String,
        /// What is wrong.
        message: String,
    },
    /// A symbolic dimension has no value, or does not fit.
    #[error("dimension: {0}")]
    Dim(String),
}

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

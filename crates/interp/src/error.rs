//! What can go wrong when operators are evaluated.

/// Why an operator was not evaluated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operands do not fit the operator, or it cannot be evaluated on them.
    #[error("{0}")]
    Op(String),
    /// A node failed.
    #[error("node `{node}` ({op}): {source}")]
    Node {
        /// Its name.
        node: String,
        /// Its operator.
        op: String,
        /// Why.
        source: Box<Error>,
    },
    /// An input of the graph is missing or does not fit.
    #[error("input `{name}`: {message}")]
    Input {
        /// Its name.
        name: String,
        /// What is wrong.
        message: String,
    },
    /// A graph or an array breaks a rule of its own.
    #[error(transparent)]
    Graph(#[from] occam_graph::Error),
}

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The error that an operator refuses its operands.
pub(crate) fn refuse<T>(message: impl Into<String>) -> Result<T> {
    Err(Error::Op(message.into()))
}

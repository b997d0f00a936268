//! What can go wrong while a model is built or used.

/// Why a model was refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The config asks for something impossible.
    #[error(transparent)]
    Config(#[from] occam_config::Error),
    /// The parts do not fit together.
    #[error(transparent)]
    Graph(#[from] occam_graph::Error),
    /// A computation failed.
    #[error(transparent)]
    Engine(#[from] occam_engine::Error),
    /// A model's file cannot be read or written.
    #[error(transparent)]
    File(#[from] occam_io::Error),
    /// Labels or predictions do not fit the model.
    #[error("{0}")]
    Sample(String),
}

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl From<Error> for occam_config::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Config(e) => e,
            other => occam_config::Error::other(other),
        }
    }
}

/// Whether building a model failed only because the file that it comes from is not there.
pub fn is_absent(error: &occam_config::Error) -> bool {
    let source = std::error::Error::source(error).and_then(|e| e.downcast_ref::<Error>());
    matches!(source, Some(Error::File(occam_io::Error::Io { reason, .. })) if reason.kind() == std::io::ErrorKind::NotFound)
}

/// A config error without a place; the registry adds the component's.
pub(crate) fn refuse<T>(message: impl Into<String>) -> Result<T> {
    Err(Error::Config(occam_config::Error::new(message.into())))
}

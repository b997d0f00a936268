//! What can go wrong while training.

use std::path::{Path, PathBuf};

/// Why a run could not start or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The config asks for something impossible.
    #[error(transparent)]
    Config(#[from] occam_config::Error),
    /// A model cannot be built or used.
    #[error(transparent)]
    Zoo(#[from] occam_zoo::Error),
    /// Data cannot be read.
    #[error(transparent)]
    Data(#[from] occam_data::Error),
    /// A computation failed.
    #[error(transparent)]
    Engine(#[from] occam_engine::Error),
    /// A graph is at fault.
    #[error(transparent)]
    Graph(#[from] occam_graph::Error),
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] occam_io::Error),
    /// A folder or a log cannot be written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A checkpoint does not fit the run.
    #[error("checkpoint {path}: {message}", path = path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        message: String,
    },
    /// The loss is no number any more.
    #[error(
        "`{name}` is {value} at iteration {iter}: the training diverged{kept}; \
         lower the learning rate, or clip gradients with `optim_wrapper.clip_grad`",
        kept = kept_text(kept.as_deref())
    )]
    Diverged {
        /// The loss term.
        name: String,
        /// What it became.
        value: f32,
        /// Iteration, counted from 1.
        iter: u64,
        /// The last checkpoint before.
        kept: Option<PathBuf>,
    },
    /// Somebody asked the run to stop.
    #[error("stopped{saved}", saved = saved_text(*iter, saved.as_deref()))]
    Interrupted {
        /// Iterations done.
        iter: u64,
        /// The checkpoint from which it can go on, where it was training.
        saved: Option<PathBuf>,
    },
    /// A step of a recipe or a component failed for a reason of its own.
    #[error("{0}")]
    Other(String),
}

fn saved_text(iter: u64, saved: Option<&Path>) -> String {
    saved
        .map(|path| format!(" after iteration {iter}; the run is saved in {}", path.display()))
        .unwrap_or_default()
}

fn kept_text(kept: Option<&Path>) -> String {
    match kept {
        Some(path) => format!("; the last good checkpoint is {}", path.display()),
        None => ", before anything was saved".into(),
    }
}

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl From<Error> for occam_config::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Config(e) | Error::Data(occam_data::Error::Config(e)) => e,
            Error::Zoo(e) => e.into(),
            other => occam_config::Error::other(other),
        }
    }
}

/// A config error without a place yet.
pub(crate) fn refuse<T>(message: impl Into<String>) -> Result<T> {
    Err(Error::Config(occam_config::Error::new(message.into())))
}

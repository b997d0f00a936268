//! What can go wrong between a file and a batch.

use std::path::PathBuf;

/// The result of this crate's fallible functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of this crate: what, where, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file of a data set cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file of a data set is not there.
    #[error(
        "{dataset}: found neither {name}.gz nor {name} in {}; point `data_prefix` (under `data_root`, if set) at the \
         folder that holds the files, or download them there from {url}",
        folder.display()
    )]
    Missing {
        /// The data set's name.
        dataset: &'static str,
        /// The file's name without `.gz`.
        name: String,
        /// Where it was looked for.
        folder: PathBuf,
        /// Where it can be had.
        url: &'static str,
    },
    /// A file of a data set is damaged or something else than its name says.
    #[error("{}: {detail}; the file is damaged or not what its name says, fetch it again", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with its content.
        detail: String,
    },
    /// An entry of an annotation file makes no sense.
    #[error("{}:{line}: {detail}", path.display())]
    Annotation {
        /// The file.
        path: PathBuf,
        /// The line, or in a JSON file the entry, counted from 1.
        line: usize,
        /// What is wrong with it, and what to do.
        detail: String,
    },
    /// A folder of a data set holds something else than the data set needs.
    #[error("{dataset}: {}: {detail}", folder.display())]
    Folder {
        /// The data set's name.
        dataset: &'static str,
        /// The folder.
        folder: PathBuf,
        /// What is wrong with it, and what to do.
        detail: String,
    },
    /// An argument of a component makes no sense.
    #[error("{component}: {detail}")]
    Argument {
        /// The component's name in a config.
        component: &'static str,
        /// The argument and what is wrong with it.
        detail: String,
    },
    /// A sample was asked for that the data set does not have.
    #[error("sample {index} of a data set of {len}")]
    OutOfRange {
        /// The sample.
        index: usize,
        /// The data set's length.
        len: usize,
    },
    /// Pixels and sizes of an image do not agree.
    #[error("image: {0}")]
    Image(String),
    /// The samples of a batch do not fit together or the preprocessor.
    #[error("batch: {0}")]
    Batch(String),
    /// Predictions and labels do not fit a metric.
    #[error("metric {metric}: {detail}")]
    Metric {
        /// The metric's name in a config.
        metric: &'static str,
        /// What does not fit.
        detail: String,
    },
    /// A loader's worker thread ended without delivering: the code of a data set or transform panicked there.
    #[error(
        "the worker of batch {batch} died; its panic message is on standard error (num_workers=0 runs the same code \
         on the calling thread)"
    )]
    Worker {
        /// The batch's position in the epoch.
        batch: usize,
    },
    /// An error of the array type.
    #[error(transparent)]
    Array(#[from] occam_graph::Error),
    /// An error in a config.
    #[error(transparent)]
    Config(#[from] occam_config::Error),
}

impl Error {
    /// Whether the files of a data set are not there, and nothing else is known to be wrong with it.
    pub fn is_absent(&self) -> bool {
        match self {
            Self::Missing { .. } => true,
            Self::Read { source, .. } => source.kind() == std::io::ErrorKind::NotFound,
            Self::Folder { folder, .. } => !folder.exists(),
            _ => false,
        }
    }

    /// An [`Error::Argument`].
    pub(crate) fn argument(component: &'static str, detail: impl Into<String>) -> Self {
        Self::Argument { component, detail: detail.into() }
    }
}

/// Whether building a data set failed only because its files are not there; see [`Error::is_absent`].
pub fn is_absent(error: &occam_config::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if error.downcast_ref::<Error>().is_some_and(Error::is_absent) {
            return true;
        }
        source = error.source();
    }
    false
}

/// A config error passes through unchanged; any other becomes one, so that builders add their file and line to it.
impl From<Error> for occam_config::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Config(error) => error,
            error => Self::other(error),
        }
    }
}

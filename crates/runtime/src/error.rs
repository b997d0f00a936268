//! What can go wrong in a runtime.

use std::fmt;
use std::path::PathBuf;

use occam_graph::Fact;

/// A library that was found and could not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The library.
    pub path: PathBuf,
    /// Why.
    pub why: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.path.display(), self.why)
    }
}

/// Why a file was not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The library of a runtime is nowhere, or none of those found is one.
    #[error("{}", missing(.runtime, .refused, .looked))]
    Missing {
        /// The runtime, for people.
        runtime: &'static str,
        /// Where it was looked for.
        looked: Vec<PathBuf>,
        /// What was found and is of no use.
        refused: Vec<Refused>,
    },
    /// The library that an environment variable names cannot be used.
    #[error("{variable}={}: {why}", .path.display())]
    Named {
        /// The variable.
        variable: &'static str,
        /// Its value.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The library is there and does not start.
    #[error("{runtime} does not start: {why}")]
    Start {
        /// The runtime, for people.
        runtime: &'static str,
        /// What it says.
        why: String,
    },
    /// The runtime cannot load a file.
    #[error("{}: {runtime} cannot load it: {why}", .file.display())]
    Load {
        /// The runtime, for people.
        runtime: &'static str,
        /// The file.
        file: PathBuf,
        /// What it says.
        why: String,
    },
    /// An input or output is of a type that arrays do not have.
    #[error("{}: `{name}` is {what}; only arrays of numbers can be given and taken", .file.display())]
    Port {
        /// The file.
        file: PathBuf,
        /// The input or output.
        name: String,
        /// What it is.
        what: String,
    },
    /// An input that is given does not fit.
    #[error("input `{name}`: {why}")]
    Input {
        /// Its name.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// An input is too large, or of a type that no random numbers are made of.
    #[error("input `{name}` {fact}: {why}")]
    Random {
        /// Its name.
        name: String,
        /// What it is.
        fact: Fact,
        /// What is wrong.
        why: &'static str,
    },
    /// The runtime failed while it ran a file.
    #[error("{}: {runtime} cannot run it: {why}", .file.display())]
    Run {
        /// The runtime, for people.
        runtime: &'static str,
        /// The file.
        file: PathBuf,
        /// What it says.
        why: String,
    },
    /// Any other runtime that implements the traits of this crate failed.
    #[error("{0}")]
    Other(String),
    /// Arrays or sizes break a rule of their own.
    #[error(transparent)]
    Graph(#[from] occam_graph::Error),
}

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// What people can do about it, where that is known.
    pub fn help(&self) -> Option<&'static str> {
        let openvino = match self {
            Error::Missing { runtime, .. } => *runtime == "OpenVINO",
            Error::Named { variable, .. } => *variable == "OCCAM_OPENVINO",
            _ => false,
        };
        match self {
            _ if openvino => Some(
                "install it with `pip install openvino`, or set OCCAM_OPENVINO to the library, such as \
                 /opt/intel/openvino/runtime/lib/intel64/libopenvino_c.so; version 2023.0 or later is needed",
            ),
            Error::Missing { .. } | Error::Named { .. } => Some(
                "install it with `pip install onnxruntime`, or set OCCAM_ONNXRUNTIME to the library, such as \
                 /opt/onnxruntime/lib/libonnxruntime.so; version 1.17 or later is needed",
            ),
            _ => None,
        }
    }
}

fn missing(runtime: &str, refused: &[Refused], looked: &[PathBuf]) -> String {
    let places = looked.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", ");
    if refused.is_empty() {
        return format!("{runtime} was not found; looked in {places}");
    }
    let refused = refused.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    format!("no library of {runtime} that was found can be used: {refused}; looked in {places}")
}

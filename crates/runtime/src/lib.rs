//! ONNX files in the runtimes that they are made for, found when a program runs.
//!
//! A [`Runtime`] loads a file as a [`Session`], which runs it on arrays; [`latency`] times several sessions against each
//! other, [`Runtime::profile`] the steps of one. Nothing is linked or downloaded when Occam is built: [`onnxruntime()`] and
//! [`openvino()`] look for the library where people have it, and say where they looked when there is none.

mod error;
mod find;
pub mod inputs;
pub mod latency;
mod onnxruntime;
mod openvino;
mod own;
mod profile;

use std::path::Path;
use std::time::{Duration, Instant};

use occam_graph::{Array, Bindings, Fact};

pub use error::{Error, Refused, Result};
pub use onnxruntime::{OnnxRuntime, onnxruntime};
pub use openvino::{OpenVino, openvino};
pub use own::Own;
pub use profile::{Budget, Step};

/// What runs ONNX files.
pub trait Runtime: Send + Sync {
    /// Its name, such as `onnxruntime`.
    fn name(&self) -> &'static str;

    /// Its version, such as `1.32.0`.
    fn version(&self) -> &str;

    /// A file, ready to run with `threads` threads.
    ///
    /// # Errors
    /// The file cannot be read, or the runtime cannot run it.
    fn load(&self, file: &Path, threads: usize) -> Result<Box<dyn Session>>;

    /// How long each step of `file` takes in its place in the whole model, in order of execution. The inputs are random,
    /// with the sizes of `bindings`; see [`inputs::random_inputs`].
    ///
    /// # Errors
    /// As [`Runtime::load`] and [`Session::run`], or the runtime does not tell.
    fn profile(
        &self,
        file: &Path,
        threads: usize,
        bindings: &Bindings,
        budget: &Budget,
    ) -> Result<Vec<Step>> {
        let _ = (file, threads, bindings, budget);
        Err(Error::Other(format!("{} does not tell how long the steps of a model take", self.name())))
    }
}

/// A file in a runtime.
pub trait Session: Send {
    /// The inputs that must be given, in the order of the file.
    fn inputs(&self) -> &[Port];

    /// The outputs, in the order of the file.
    fn outputs(&self) -> &[Port];

    /// What floats are computed in where that is less than the file says: `bf16`, which OpenVINO takes on processors that
    /// have it.
    fn precision(&self) -> Option<&str> {
        None
    }

    /// The outputs on `inputs`, which may be in any order.
    ///
    /// # Errors
    /// An input is missing, unknown, or of another type or shape, or the runtime fails.
    fn run(&mut self, inputs: &[(String, Array)]) -> Result<Vec<(String, Array)>>;

    /// The time that one run takes, without the conversion of arrays where it can be left out.
    ///
    /// # Errors
    /// As [`Session::run`].
    fn time(&mut self, inputs: &[(String, Array)]) -> Result<Duration> {
        let started = Instant::now();
        self.run(inputs)?;
        Ok(started.elapsed())
    }
}

/// An input or output of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Its name.
    pub name: String,
    /// Element type and shape; a size that the file leaves open and does not name is called `<name>.<axis>`.
    pub fact: Fact,
}

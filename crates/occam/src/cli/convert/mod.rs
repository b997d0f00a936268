//! `occam convert`

mod onnx;

use std::path::PathBuf;

use super::Outcome;

/// Write a model or weights in another form
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    occam convert model.onnx again.onnx\n  \
    occam convert model.onnx again.onnx --as-is\n\n\
    Of an ONNX file, what follows from constants is computed, and layers that exporters write out in several nodes become one.\n\
    Names, texts and the version of the operators stay. With --as-is every node is written as it was read.")]
pub struct Args {
    /// What is read (.onnx)
    input: PathBuf,
    /// What is written (.onnx)
    output: PathBuf,
    /// Leave the nodes of an ONNX file as they are
    #[arg(long)]
    as_is: bool,
}

impl Args {
    pub fn run(self, json: bool) -> Outcome {
        onnx::convert(&self.input, &self.output, self.as_is, json)
    }
}

//! Whole models. One a file.

mod image_classifier;
mod onnx_classifier;

pub use image_classifier::ImageClassifier;
pub use onnx_classifier::{FromFile, OnnxClassifier};

use occam_config::{Build, Registry, Value};
use occam_graph::Graph;

use crate::{Inits, Result, Task};

/// A model before it has weights.
pub struct TaskModel {
    /// What it computes; batch `N` and image size `H`, `W` are symbols.
    pub graph: Graph,
    /// How its parameters are first filled.
    pub inits: Inits,
    /// What is done with its outputs.
    pub task: Box<dyn Task>,
    /// Its own `data_preprocessor`, where its config has one.
    pub data_preprocessor: Option<Value>,
    /// What its preprocessor gets as `batch_augments`, where its config says so.
    pub batch_augments: Option<Value>,
    /// What else its file says, where it comes from one.
    pub file: Option<FromFile>,
}

/// The config of a whole model.
pub trait Architecture: Send + Sync {
    /// Builds it.
    ///
    /// # Errors
    /// The parts do not fit together.
    fn build(self: Box<Self>) -> Result<TaskModel>;
}

const TABLE: &[(&str, Build<dyn Architecture>)] =
    &[("ImageClassifier", image_classifier::build), ("OnnxClassifier", onnx_classifier::build)];

pub(crate) fn register(registry: &mut Registry) {
    registry.register_all::<dyn Architecture>("model", TABLE);
}

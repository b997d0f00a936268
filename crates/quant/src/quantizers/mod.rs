//! Quantizers: what a training rounds for a runtime, under the original's names.
//!
//! | name | for | rounded | |
//! |---|---|---|---|
//! | `TorchNativeQuantizer` | PyTorch | layers, sums, activations, all that moves elements, what the model gives | [`Table::native`] |
//! | `OpenVINOQuantizer` | OpenVINO | layers, sums, all that moves elements | [`Table::openvino`] |
//! | `TensorRTQuantizer` | TensorRT | layers | [`Table::tensorrt`] |
//! | `ONNXRuntimeQuantizer` | ONNX Runtime | layers, sums, all that moves elements, max pooling too | [`Table::onnxruntime`] |
//! | `AcademicQuantizer` | research | layers, each by a config of its own | [`Table::academic`] |

mod config;
mod fake_quantize;
mod place;
mod prepare;
mod rounding;
mod rules;
mod tables;

pub use fake_quantize::fake_quantize;
pub use place::{Layer, Placed, place};
pub use prepare::{Prepared, deploy, prepare};
pub use rounding::{QConfig, Rounding};
pub use rules::{Rule, Rules};
pub use tables::{IDENTITY, Table};

use occam_config::{Build, Registry};
use occam_graph::Graph;

use crate::Result;

/// Says where a graph is rounded, and by what.
pub trait Quantizer: std::fmt::Debug + Send + Sync {
    /// The backend.
    fn table(&self) -> &Table;

    /// By which config each operator is rounded.
    fn rules(&self) -> &Rules;

    /// What is allowed but likely not meant.
    fn warnings(&self) -> &[String];

    /// Where `graph` is rounded.
    ///
    /// # Errors
    /// As [`place()`].
    fn place(&self, graph: &Graph) -> Result<Placed> {
        place(graph, self.table(), self.rules())
    }
}

const TABLE: &[(&str, Build<dyn Quantizer>)] = &[
    ("AcademicQuantizer", config::academic),
    ("ONNXRuntimeQuantizer", config::onnxruntime),
    ("OpenVINOQuantizer", config::openvino),
    ("TensorRTQuantizer", config::tensorrt),
    ("TorchNativeQuantizer", config::native),
];

pub(crate) fn register(registry: &mut Registry) {
    registry.register_all::<dyn Quantizer>("quantizer", TABLE);
}

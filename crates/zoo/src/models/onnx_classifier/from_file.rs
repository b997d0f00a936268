//! Writing a file's model again.

use occam_graph::{Fact, Graph, Weights};
use occam_io::onnx::{Halves, ModelProto, Origin, export_imported};

use super::ending::Ending;
use crate::Result;

/// What the file of a model says beside its graph and its weights, so that it can be written again.
#[derive(Debug, Clone)]
pub struct FromFile {
    pub(super) origin: Origin,
    /// The input as the file has it.
    pub(super) input: Fact,
    pub(super) ending: Option<Ending>,
    pub(super) halves: Halves,
}

impl FromFile {
    /// Version of ONNX's operator set.
    pub fn opset(&self) -> i64 {
        self.origin.opset()
    }

    /// The file of `graph`, the model's or one that was made of it, with `weights`: inputs, outputs, nodes and parameters
    /// have their names, texts and metadata are there, images have the sizes that the file gave them, and their number is
    /// fixed where it was. What the file stored in half precision is stored so again, and computed in `f32`.
    ///
    /// # Errors
    /// A parameter is missing or has another shape, or a number that is too large for its type in the file, or the graph
    /// cannot be written.
    pub fn write(&self, graph: &Graph, weights: &Weights) -> Result<ModelProto> {
        let mut graph = graph.clone();
        for id in graph.inputs().to_vec() {
            graph.set_fact(id, self.input.clone())?;
        }
        graph.infer()?;
        if let Some(ending) = &self.ending {
            ending.put_back(&mut graph)?;
        }
        let mut model = export_imported(&graph, weights, &self.origin)?;
        self.halves.narrow(&mut model, |name| weights.contains_key(name))?;
        Ok(model)
    }
}

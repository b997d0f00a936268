//! What a file says beside its graph.

use std::collections::HashMap;

use occam_graph::{Graph, Weights};

use crate::Result;
use crate::onnx::export::{ExportOptions, export_with};
use crate::onnx::proto::{
    GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto, TensorAnnotation,
    ValueInfoProto,
};

/// What a file says beside its graph, to be written back.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    model: ModelProto,
    name: String,
    doc: Option<String>,
    metadata: Vec<StringStringEntryProto>,
    annotations: Vec<TensorAnnotation>,
    /// By name of the node: free text and named strings.
    nodes: HashMap<String, (Option<String>, Vec<StringStringEntryProto>)>,
    /// By name of the input or output: what is known of it beside its type.
    values: HashMap<String, ValueInfoProto>,
}

impl Origin {
    /// `model` without its graph, and `graph`.
    pub(super) fn of(model: &ModelProto, graph: &GraphProto) -> Self {
        let told = |n: &&NodeProto| n.doc_string.is_some() || !n.metadata_props.is_empty();
        let all = graph.input.iter().chain(&graph.output);
        Self {
            model: ModelProto { graph: None, functions: Vec::new(), ..model.clone() },
            name: graph.name().to_owned(),
            doc: graph.doc_string.clone(),
            metadata: graph.metadata_props.clone(),
            annotations: graph.quantization_annotation.clone(),
            nodes: (graph.node.iter().filter(told))
                .map(|n| (n.name().to_owned(), (n.doc_string.clone(), n.metadata_props.clone())))
                .collect(),
            values: all.map(|v| (v.name().to_owned(), v.clone())).collect(),
        }
    }

    /// Version of ONNX's operator set.
    pub fn opset(&self) -> i64 {
        self.model
            .opset_import
            .iter()
            .find(|o| matches!(o.domain(), "" | "ai.onnx"))
            .map_or(1, OperatorSetIdProto::version)
    }

    /// The program that wrote the file, with its version.
    pub fn producer(&self) -> String {
        [self.model.producer_name(), self.model.producer_version()].join(" ").trim().to_owned()
    }

    /// Version of the file format.
    pub fn ir_version(&self) -> i64 {
        self.model.ir_version()
    }

    /// Named strings, in order.
    pub fn metadata(&self) -> impl Iterator<Item = (&str, &str)> {
        self.model.metadata_props.iter().map(|e| (e.key(), e.value()))
    }
}

/// The model that computes `graph` with `weights`, with all else that the file it came from says.
///
/// # Errors
/// As [`export`](crate::onnx::export).
pub fn export_imported(graph: &Graph, weights: &Weights, origin: &Origin) -> Result<ModelProto> {
    let name = if origin.name.is_empty() { "graph".to_owned() } else { origin.name.clone() };
    let options = ExportOptions {
        opset: origin.opset(),
        name: name.clone(),
        batch_name: "N".into(),
        ..ExportOptions::default()
    };
    let mut model = export_with(graph, weights, &options, origin.ir_version())?;
    let written = model.graph.take().map(|mut g| {
        g.name = Some(origin.name.clone());
        g.doc_string.clone_from(&origin.doc);
        g.metadata_props.clone_from(&origin.metadata);
        g.quantization_annotation.clone_from(&origin.annotations);
        for node in &mut g.node {
            if let Some((doc, metadata)) = origin.nodes.get(node.name()) {
                node.doc_string.clone_from(doc);
                node.metadata_props.clone_from(metadata);
            }
        }
        for value in g.input.iter_mut().chain(&mut g.output) {
            if let Some(old) = origin.values.get(value.name()) {
                value.doc_string.clone_from(&old.doc_string);
                value.metadata_props.clone_from(&old.metadata_props);
            }
        }
        g
    });
    Ok(ModelProto { graph: written, ..origin.model.clone() })
}

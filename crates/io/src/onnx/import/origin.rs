//! What a file says beside its graph.

use std::collections::{HashMap, HashSet};

use occam_graph::{Graph, Weights};

use super::Input;
use super::tensor::array;
use crate::Result;
use crate::onnx::export::{ExportOptions, export_with, name_domains};
use crate::onnx::proto::{
    GraphProto, ModelProto, NodeDeviceConfigurationProto, NodeProto, OperatorSetIdProto,
    StringStringEntryProto, TensorAnnotation, TensorProto, TypeProto, ValueInfoProto, type_proto,
};

/// Elements by input, for inputs that need not be given.
pub(super) type Defaults = Weights;

/// What a file says beside its graph, to be written back.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    model: ModelProto,
    notes: Notes,
    /// Names of the inputs, those with elements in the file included.
    inputs: Vec<String>,
    pub(super) defaults: Defaults,
}

impl Origin {
    /// `model` without its graph, and `graph`.
    pub(super) fn of(
        model: &ModelProto,
        graph: &GraphProto,
        inputs: &[Input],
        given: &Weights,
    ) -> Result<Self, String> {
        let optional: HashSet<&str> = inputs.iter().filter(|i| i.optional).map(|i| i.name.as_str()).collect();
        let mut defaults = Defaults::new();
        for tensor in graph.initializer.iter().filter(|t| optional.contains(t.name())) {
            let name = tensor.name();
            let array = match given.get(name) {
                Some(array) => array.clone(),
                None => array(tensor).map_err(|m| format!("tensor `{name}`: {m}"))?,
            };
            defaults.insert(name.to_owned(), array);
        }
        Ok(Self {
            model: ModelProto { graph: None, functions: Vec::new(), ..model.clone() },
            notes: Notes::of(graph),
            inputs: graph.input.iter().map(|i| i.name().to_owned()).collect(),
            defaults,
        })
    }

    /// Names of the inputs that need not be given, since the file has elements for them.
    pub fn optional_inputs(&self) -> impl Iterator<Item = &str> {
        self.defaults.keys().map(String::as_str)
    }

    /// Version of ONNX's operator set.
    pub fn opset(&self) -> i64 {
        self.model
            .opset_import
            .iter()
            .find(|o| matches!(o.domain(), "" | "ai.onnx"))
            .map_or(1, OperatorSetIdProto::version)
    }

    /// Makes the file one of another version of ONNX's operator set, which is read from version `format` of the file format on.
    pub(super) fn set_opset(&mut self, opset: i64, format: i64) {
        self.model.ir_version = Some(self.model.ir_version().max(format));
        let own = self.model.opset_import.iter_mut().find(|o| matches!(o.domain(), "" | "ai.onnx"));
        if let Some(own) = own {
            own.version = Some(opset);
        }
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
/// An input that need not be given stays one as long as its elements are an initializer of the model as they were.
///
/// # Errors
/// As [`export`](crate::onnx::export).
pub fn export_imported(graph: &Graph, weights: &Weights, origin: &Origin) -> Result<ModelProto> {
    let name = if origin.notes.name.is_empty() { "graph".to_owned() } else { origin.notes.name.clone() };
    let options =
        ExportOptions { opset: origin.opset(), name, batch_name: "N".into(), ..ExportOptions::default() };
    let mut model = export_with(graph, weights, &options, origin.ir_version())?;
    let mut written = model.graph.take().unwrap_or_default();
    for (name, old) in &origin.defaults {
        let kept = written.initializer.iter().find(|t| t.name() == name);
        if kept.is_some_and(|t| array(t).is_ok_and(|now| now == *old))
            && let Some(info) = origin.notes.values.get(name)
        {
            written.input.push(info.clone());
        }
    }
    let place = |info: &ValueInfoProto| origin.inputs.iter().position(|n| n == info.name());
    written.input.sort_by_key(|info| place(info).unwrap_or(usize::MAX));
    written.name = Some(origin.notes.name.clone());
    origin.notes.write(&mut written);
    let mut model = ModelProto { graph: Some(written), ..origin.model.clone() };
    name_domains(&mut model);
    Ok(model)
}

/// What a graph's parts are told beside what they compute.
#[derive(Debug, Clone, Default)]
struct Notes {
    name: String,
    doc: Option<String>,
    metadata: Vec<StringStringEntryProto>,
    annotations: Vec<TensorAnnotation>,
    /// By name of the first output.
    nodes: HashMap<String, NodeNotes>,
    /// By name of an input, an output or a value between.
    values: HashMap<String, ValueInfoProto>,
    /// By name of an initializer.
    tensors: HashMap<String, (Option<String>, Vec<StringStringEntryProto>)>,
}

/// What a node is told.
#[derive(Debug, Clone)]
struct NodeNotes {
    op_type: String,
    name: Option<String>,
    doc: Option<String>,
    metadata: Vec<StringStringEntryProto>,
    devices: Vec<NodeDeviceConfigurationProto>,
    /// By attribute.
    attributes: HashMap<String, String>,
    graphs: HashMap<String, Notes>,
}

/// The output by which a node is found again.
fn mark(node: &NodeProto) -> Option<&String> {
    node.output.iter().find(|o| !o.is_empty())
}

impl Notes {
    fn of(graph: &GraphProto) -> Self {
        let values = graph.value_info.iter().chain(&graph.input).chain(&graph.output);
        let told = |t: &&TensorProto| t.doc_string.is_some() || !t.metadata_props.is_empty();
        Self {
            name: graph.name().to_owned(),
            doc: graph.doc_string.clone(),
            metadata: graph.metadata_props.clone(),
            annotations: graph.quantization_annotation.clone(),
            nodes: graph.node.iter().filter_map(|n| Some((mark(n)?.clone(), NodeNotes::of(n)))).collect(),
            values: values.map(|v| (v.name().to_owned(), v.clone())).collect(),
            tensors: (graph.initializer.iter().filter(told))
                .map(|t| (t.name().to_owned(), (t.doc_string.clone(), t.metadata_props.clone())))
                .collect(),
        }
    }

    fn write(&self, graph: &mut GraphProto) {
        graph.doc_string.clone_from(&self.doc);
        graph.metadata_props.clone_from(&self.metadata);
        graph.quantization_annotation.clone_from(&self.annotations);
        for node in &mut graph.node {
            if let Some(notes) = mark(node).and_then(|o| self.nodes.get(o)) {
                notes.write(node);
            }
        }
        for tensor in &mut graph.initializer {
            if let Some((doc, metadata)) = self.tensors.get(tensor.name()) {
                tensor.doc_string.clone_from(doc);
                tensor.metadata_props.clone_from(metadata);
            }
        }
        for value in graph.input.iter_mut().chain(&mut graph.output).chain(&mut graph.value_info) {
            if let Some(old) = self.values.get(value.name()) {
                value.doc_string.clone_from(&old.doc_string);
                value.metadata_props.clone_from(&old.metadata_props);
                if let (Some(new), Some(old)) = (&mut value.r#type, &old.r#type) {
                    denote(new, old);
                }
            }
        }
    }
}

impl NodeNotes {
    fn of(node: &NodeProto) -> Self {
        let told = node.attribute.iter().filter_map(|a| Some((a.name().to_owned(), a.doc_string.clone()?)));
        let graphs = node.attribute.iter().filter_map(|a| Some((a.name().to_owned(), a.g.as_deref()?)));
        Self {
            op_type: node.op_type().to_owned(),
            name: node.name.clone(),
            doc: node.doc_string.clone(),
            metadata: node.metadata_props.clone(),
            devices: node.device_configurations.clone(),
            attributes: told.collect(),
            graphs: graphs.map(|(name, graph)| (name, Notes::of(graph))).collect(),
        }
    }

    fn write(&self, node: &mut NodeProto) {
        node.doc_string.clone_from(&self.doc);
        node.metadata_props.clone_from(&self.metadata);
        if self.op_type != node.op_type() {
            return;
        }
        node.name.clone_from(&self.name);
        node.device_configurations.clone_from(&self.devices);
        for attribute in &mut node.attribute {
            if let Some(doc) = self.attributes.get(attribute.name()) {
                attribute.doc_string = Some(doc.clone());
            }
            if let (Some(notes), Some(graph)) = (self.graphs.get(attribute.name()), &mut attribute.g) {
                graph.name = Some(notes.name.clone());
                notes.write(graph);
            }
        }
    }
}

/// Gives a type the texts that another has about it and its axes.
fn denote(new: &mut TypeProto, old: &TypeProto) {
    new.denotation.clone_from(&old.denotation);
    let (Some(type_proto::Value::TensorType(new)), Some(type_proto::Value::TensorType(old))) =
        (&mut new.value, &old.value)
    else {
        return;
    };
    let (Some(new), Some(old)) = (&mut new.shape, &old.shape) else { return };
    if new.dim.len() == old.dim.len() {
        for (new, old) in new.dim.iter_mut().zip(&old.dim) {
            new.denotation.clone_from(&old.denotation);
        }
    }
}

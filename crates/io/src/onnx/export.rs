//! From a graph to a model.

use std::borrow::Cow;
use std::collections::HashSet;

use indexmap::IndexMap;
use occam_graph::onnx::Subgraph;
use occam_graph::{Array, Fact, Graph, Node, Op, Patch, Value, ValueId, Weights};

use super::facts::Facts;
use super::names::{Around, Plan, shared};
use super::ops::form;
use super::proto::{
    AttributeProto, AttributeType, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
    StringStringEntryProto, TensorProto,
};
use super::site::{Site, Target};
use super::tensor::tensor;
use crate::{Error, Result};

/// The first version of the format in which initializers need not be inputs too.
pub(super) const LISTED: i64 = 4;

/// How to write a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportOptions {
    /// Version of ONNX's operator set, 15 to 23. Higher ones need newer runtimes and give the same nodes, but for layer
    /// normalization, which is one node from 17 on.
    pub opset: i64,
    /// Name of the graph.
    pub name: String,
    /// What the batch size, `N` in graphs, is called.
    pub batch_name: String,
    /// Free text for readers of the model; none where empty.
    pub doc: String,
    /// Named strings for programs that read the model, in order.
    pub metadata: IndexMap<String, String>,
}

impl Default for ExportOptions {
    fn default() -> Self {
        Self {
            opset: 17,
            name: "occam".into(),
            batch_name: "batch".into(),
            doc: String::new(),
            metadata: IndexMap::new(),
        }
    }
}

/// The model that computes `graph` with `weights`, for inference.
///
/// Nodes, inputs and outputs keep their names, initializers are called as the parameters are. Where a node's value is
/// an output of the graph, it takes the output's name; an `Identity` copies it where it cannot (it is an input, a
/// parameter, or two outputs). Symbolic sizes become `dim_param`s. Only parameters that a node reads are written, and
/// weights that the graph lacks, such as `num_batches_tracked`, are not. Dropout leaves nothing out in inference and is left
/// out itself.
///
/// # Errors
/// A parameter is missing among the weights or has another type or shape, an option is out of range, or a name
/// cannot be written.
pub fn export(graph: &Graph, weights: &Weights, options: &ExportOptions) -> Result<ModelProto> {
    let ir_version = ir_version(options.opset)?;
    let graph = for_inference(graph)?;
    export_with(&graph, weights, options, ir_version)
}

/// The model of a graph without what only training needs.
pub(super) fn export_with(
    graph: &Graph,
    weights: &Weights,
    options: &ExportOptions,
    ir_version: i64,
) -> Result<ModelProto> {
    if options.name.is_empty() {
        return Err(Error::Option { option: "name", message: "it must not be empty".into() });
    }
    let opset = OperatorSetIdProto { domain: Some(String::new()), version: Some(options.opset) };
    let metadata = options
        .metadata
        .iter()
        .map(|(key, value)| StringStringEntryProto { key: Some(key.clone()), value: Some(value.clone()) });
    let mut model = ModelProto {
        ir_version: Some(ir_version),
        producer_name: Some("occam".into()),
        producer_version: Some(env!("CARGO_PKG_VERSION").into()),
        doc_string: (!options.doc.is_empty()).then(|| options.doc.clone()),
        graph: Some(export_graph(graph, weights, options, ir_version)?),
        opset_import: vec![opset],
        metadata_props: metadata.collect(),
        ..Default::default()
    };
    name_domains(&mut model);
    Ok(model)
}

/// Lists the operator sets of nodes that the model does not list: files must name all, and the sets beside ONNX's own have
/// one version.
pub(super) fn name_domains(model: &mut ModelProto) {
    let nodes = model.graph.iter().flat_map(|g| &g.node);
    let mut domains: Vec<String> = nodes.filter_map(|n| n.domain.clone()).filter(|d| !d.is_empty()).collect();
    domains.sort();
    domains.dedup();
    for domain in domains {
        if model.opset_import.iter().all(|o| o.domain() != domain) {
            model.opset_import.push(OperatorSetIdProto { domain: Some(domain), version: Some(1) });
        }
    }
}

/// The graph without what only training needs.
fn for_inference(graph: &Graph) -> Result<Cow<'_, Graph>> {
    let mut patch = Patch::new("without_dropout");
    let mut found = false;
    // From behind: where one follows another, the later is gone before what it reads goes.
    for id in graph.order()?.into_iter().rev() {
        let node = graph.node(id)?;
        if let (Op::Dropout(_), [x], [y]) = (&node.op, node.inputs.as_slice(), node.outputs.as_slice()) {
            patch.replace(*y, *x);
            patch.remove(id);
            found = true;
        }
    }
    if !found {
        return Ok(Cow::Borrowed(graph));
    }
    let mut bypassed = graph.clone();
    patch.apply(&mut bypassed)?;
    Ok(Cow::Owned(bypassed))
}

/// The first version of the file format that has the operator set; 8 at least, which every current runtime reads.
pub(super) fn ir_version(opset: i64) -> Result<i64> {
    Ok(match opset {
        15..=18 => 8,
        19..=20 => 9,
        21..=22 => 10,
        23 => 11,
        _ => {
            return Err(Error::Option {
                option: "opset",
                message: format!("{opset} is not supported; choose one from 15 to 23"),
            });
        }
    })
}

fn export_graph(
    graph: &Graph,
    weights: &Weights,
    options: &ExportOptions,
    ir_version: i64,
) -> Result<GraphProto> {
    let (shared, own) = shared(graph, weights)?;
    let mut target =
        Target { opset: options.opset, listed: ir_version < LISTED, shared, ..Target::default() };
    for name in own {
        if let Some(array) = target.shared.get(&name) {
            target.initializers.push(tensor(&name, array)?);
            target.values.take(&name);
        }
    }
    let facts = Facts::new(&options.batch_name)?;
    let mut proto = write_graph(graph, weights, None, &facts, &options.name, &mut target)?;
    if target.listed {
        let listed = proto.initializer.iter().map(|t| facts.of_tensor(t));
        proto.input.extend(listed);
    }
    Ok(proto)
}

/// The form of a graph inside a node, which reads the values called `captured` of the graph around it.
pub(super) fn subgraph(
    body: &Subgraph,
    captured: &[String],
    name: &str,
    target: &mut Target,
) -> Result<GraphProto> {
    let shared = std::mem::take(&mut target.shared);
    let mut inner = Target {
        opset: target.opset,
        listed: target.listed,
        values: std::mem::take(&mut target.values),
        node_names: std::mem::take(&mut target.node_names),
        ..Target::default()
    };
    let entered = inner.values.enter();
    let around = Around { captured, shared: &shared };
    let graph = write_graph(&body.graph, &Weights::new(), Some(&around), &Facts::new("N")?, name, &mut inner);
    inner.values.leave(entered);
    (target.values, target.node_names) = (inner.values, inner.node_names);
    target.shared = shared;
    let mut graph = graph?;
    if target.listed {
        // An initializer would have to be an input, and a graph in a node has none of its own choice.
        let initializers = std::mem::take(&mut graph.initializer);
        graph.node.splice(0..0, initializers.into_iter().map(constant));
    }
    Ok(graph)
}

/// A node that gives a tensor.
fn constant(tensor: TensorProto) -> NodeProto {
    let name = tensor.name.clone().unwrap_or_default();
    let attribute = AttributeProto {
        name: Some("value".into()),
        r#type: Some(AttributeType::Tensor.into()),
        t: Some(Box::new(tensor)),
        ..AttributeProto::default()
    };
    NodeProto {
        output: vec![name],
        op_type: Some("Constant".into()),
        attribute: vec![attribute],
        ..NodeProto::default()
    }
}

fn write_graph(
    graph: &Graph,
    weights: &Weights,
    around: Option<&Around<'_>>,
    facts: &Facts<'_>,
    name: &str,
    target: &mut Target,
) -> Result<GraphProto> {
    let plan = Plan::new(graph, around, &mut target.values)?;
    if let Some(around) = around {
        // Graphs in nodes of this one see them too.
        target.shared.clone_from(around.shared);
    }
    for &id in &plan.params {
        target.initializers.push(initializer(graph.value(id)?, plan.name(id)?, weights)?);
    }
    for (_, node) in graph.nodes() {
        target.node_names.take(&node.name);
    }
    let mut value_info = Vec::new();
    let returned: HashSet<&str> = plan.outputs.iter().map(String::as_str).collect();
    for id in graph.order()? {
        let node = graph.node(id)?;
        form(&node.op).write(&mut site(graph, &plan, node, target)?)?;
        for &v in &node.outputs {
            let name = plan.name(v)?;
            if !returned.contains(name) {
                value_info.push(facts.value_info(name, &graph.value(v)?.fact)?);
            }
        }
    }
    for (output, id) in &plan.copies {
        let name = target.node_names.fresh(&format!("{output}.identity"));
        target.push(&name, "Identity", &[plan.name(*id)?], &[output], []);
    }
    let info = |name: &str, id: ValueId| facts.value_info(name, &graph.value(id)?.fact);
    let own = graph.inputs().len().saturating_sub(around.map_or(0, |a| a.captured.len()));
    let inputs = graph.inputs().iter().take(own).map(|&id| info(plan.name(id)?, id));
    let outputs = graph.outputs().iter().zip(&plan.outputs).map(|((_, id), name)| info(name, *id));
    Ok(GraphProto {
        name: Some(name.into()),
        input: inputs.collect::<Result<_>>()?,
        output: outputs.collect::<Result<_>>()?,
        node: std::mem::take(&mut target.nodes),
        initializer: std::mem::take(&mut target.initializers),
        value_info,
        ..Default::default()
    })
}

fn site<'a>(graph: &'a Graph, plan: &'a Plan, node: &'a Node, target: &'a mut Target) -> Result<Site<'a>> {
    Ok(Site {
        node,
        inputs: node.inputs.iter().map(|&v| plan.name(v)).collect::<Result<_>>()?,
        facts: graph.facts(&node.inputs)?,
        outputs: node.outputs.iter().map(|&v| plan.name(v)).collect::<Result<_>>()?,
        target,
    })
}

/// The elements of one parameter or constant.
fn initializer(value: &Value, name: &str, weights: &Weights) -> Result<TensorProto> {
    if let Some(array) = value.constant() {
        return tensor(name, array);
    }
    let wanted = || value.fact.to_string();
    let array = weights
        .get(&value.name)
        .ok_or_else(|| Error::MissingWeight { name: value.name.clone(), wanted: wanted() })?;
    if !value.fact.compatible(&fact_of(array)) {
        return Err(Error::MismatchedWeight {
            name: value.name.clone(),
            wanted: wanted(),
            found: fact_of(array).to_string(),
        });
    }
    tensor(name, array)
}

fn fact_of(array: &Array) -> Fact {
    Fact::new(array.dtype(), array.shape().iter().copied())
}

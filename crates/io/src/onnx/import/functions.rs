//! Functions that a model defines, put in place of the nodes that call them.

use std::collections::HashMap;

use crate::onnx::proto::{AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto};

/// Functions call functions at most this deep; there is no recursion in ONNX.
const DEPTH: usize = 32;

/// Nodes that a model may grow to: this many, and a multiple of those that are written in the file.
const MOST: usize = 100_000;
const TIMES: usize = 4;

/// By domain, name and overload.
type Functions = HashMap<(String, String, String), FunctionProto>;

/// Replaces calls of the model's own functions by their nodes.
pub(super) fn inline(model: &mut ModelProto) -> Result<(), String> {
    if model.functions.is_empty() {
        return Ok(());
    }
    let functions: Functions = std::mem::take(&mut model.functions)
        .into_iter()
        .map(|f| ((f.domain().to_owned(), f.name().to_owned(), f.overload().to_owned()), f))
        .collect();
    for set in functions.values().flat_map(|f| &f.opset_import) {
        if !model.opset_import.iter().any(|o| o.domain() == set.domain()) {
            model.opset_import.push(set.clone());
        }
    }
    let written = functions.values().map(|f| f.node.len()).sum::<usize>()
        + model.graph.as_ref().map_or(0, |g| g.node.len());
    let most = MOST.saturating_add(written.saturating_mul(TIMES));
    let mut inliner = Inliner { functions, calls: 0, nodes: 0, most };
    match &mut model.graph {
        Some(graph) => inliner.graph(graph, 0),
        None => Ok(()),
    }
}

struct Inliner {
    functions: Functions,
    /// Calls so far, for names.
    calls: usize,
    nodes: usize,
    most: usize,
}

impl Inliner {
    fn graph(&mut self, graph: &mut GraphProto, depth: usize) -> Result<(), String> {
        let nodes = std::mem::take(&mut graph.node);
        graph.node = self.all(nodes, depth)?;
        Ok(())
    }

    fn all(&mut self, nodes: Vec<NodeProto>, depth: usize) -> Result<Vec<NodeProto>, String> {
        let mut out = Vec::with_capacity(nodes.len());
        for mut node in nodes {
            for graph in node.attribute.iter_mut().filter_map(|a| a.g.as_mut()) {
                self.graph(graph, depth)?;
            }
            let key = (node.domain().to_owned(), node.op_type().to_owned(), node.overload().to_owned());
            match self.functions.get(&key).cloned() {
                None => out.push(node),
                Some(_) if depth >= DEPTH => {
                    return Err(format!("function `{}` calls itself, or calls are nested too deep", key.1));
                }
                Some(function) => {
                    let body = self.call(&function, &node);
                    out.extend(self.all(body, depth + 1)?);
                }
            }
            self.nodes += 1;
            if self.nodes > self.most {
                return Err(format!("its functions make more than {} nodes of a small file", self.most));
            }
        }
        Ok(out)
    }

    /// The nodes of `function` with the operands and attributes of `call`.
    fn call(&mut self, function: &FunctionProto, call: &NodeProto) -> Vec<NodeProto> {
        self.calls += 1;
        let prefix = match call.name() {
            "" => format!("{}.{}", function.name(), self.calls),
            name => name.to_owned(),
        };
        let given = |i: usize, list: &[String]| list.get(i).cloned().unwrap_or_default();
        let mut names: HashMap<String, String> = HashMap::new();
        for (i, name) in function.input.iter().enumerate() {
            names.insert(name.clone(), given(i, &call.input));
        }
        for (i, name) in function.output.iter().enumerate() {
            let outer = given(i, &call.output);
            if !outer.is_empty() {
                names.insert(name.clone(), outer);
            }
        }
        let mut attributes: HashMap<&str, AttributeProto> =
            function.attribute_proto.iter().map(|a| (a.name(), a.clone())).collect();
        attributes.extend(call.attribute.iter().map(|a| (a.name(), a.clone())));
        let mut rename = Rename { names, prefix: format!("{prefix}/{}", self.calls), attributes };
        let mut nodes = function.node.clone();
        nodes.iter_mut().for_each(|n| rename.node(n));
        nodes
    }
}

struct Rename<'a> {
    names: HashMap<String, String>,
    prefix: String,
    attributes: HashMap<&'a str, AttributeProto>,
}

impl Rename<'_> {
    fn value(&mut self, name: &mut String) {
        if !name.is_empty() {
            let fresh = || format!("{}/{name}", self.prefix);
            *name = self.names.entry(name.clone()).or_insert_with(fresh).clone();
        }
    }

    fn node(&mut self, node: &mut NodeProto) {
        node.name = Some(format!("{}/{}", self.prefix, node.name()));
        node.input.iter_mut().chain(&mut node.output).for_each(|v| self.value(v));
        node.attribute.retain_mut(|a| {
            if let Some(wanted) = a.ref_attr_name.take().filter(|n| !n.is_empty()) {
                // An attribute that the call does not give has its operator's default.
                let Some(given) = self.attributes.get(wanted.as_str()) else { return false };
                *a = AttributeProto { name: a.name.clone(), ..given.clone() };
                return true;
            }
            if let Some(graph) = &mut a.g {
                self.graph(graph);
            }
            true
        });
    }

    fn graph(&mut self, graph: &mut GraphProto) {
        for info in graph.input.iter_mut().chain(&mut graph.output).chain(&mut graph.value_info) {
            info.name.iter_mut().for_each(|n| self.value(n));
        }
        for tensor in &mut graph.initializer {
            tensor.name.iter_mut().for_each(|n| self.value(n));
        }
        graph.node.iter_mut().for_each(|n| self.node(n));
    }
}

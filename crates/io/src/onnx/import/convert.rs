//! Nodes and values of a file as those of a graph.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use occam_graph::onnx::{Attribute, Attributes, Onnx, Subgraph, axis_of};
use occam_graph::recognize::drop_unread;
use occam_graph::{Array, Bindings, Dim, Fact, Graph, Op, ValueId};

use super::attribute::plain;
use super::fold::{Allowance, folds};
use super::origin::Defaults;
use super::tensor::{array, dtype};
use super::{ImportOptions, OPSETS};
use crate::onnx::names::Names;
use crate::onnx::proto::{
    GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, dimension, type_proto,
};

/// Versions of operator sets by domain.
pub(super) type Opsets = HashMap<String, i64>;

/// The versions that a model asks for.
pub(super) fn opsets(model: &ModelProto) -> Result<Opsets, String> {
    let mut opsets: Opsets = HashMap::new();
    for set in &model.opset_import {
        let domain = if set.domain() == "ai.onnx" { "" } else { set.domain() };
        opsets.insert(domain.to_owned(), set.version());
    }
    // Files of the first versions do not say.
    let own = *opsets.entry(String::new()).or_insert(1);
    if OPSETS.contains(&own) {
        return Ok(opsets);
    }
    let (first, last) = (OPSETS.start(), OPSETS.end());
    Err(format!("it uses version {own} of ONNX's operators; versions {first} to {last} can be read"))
}

/// The whole graph of a model.
pub(super) fn graph(
    proto: &GraphProto,
    opsets: &Opsets,
    options: &ImportOptions,
    defaults: &Defaults,
) -> Result<Graph, Problem> {
    let left = Allowance::of(proto);
    let mut scope = Scope::new(opsets, options, &left, None);
    scope.fill(proto, &[], defaults)?;
    let (mut graph, turned) = (scope.graph, scope.turned);
    if options.fold {
        drop_unread(&mut graph).map_err(|e| e.to_string())?;
    }
    keep_names(&mut graph, &turned).map_err(|e| e.to_string())?;
    graph.verify().map_err(|e| e.to_string())?;
    Ok(graph)
}

/// Why a model is not read.
#[derive(Debug)]
pub(super) enum Problem {
    /// It breaks a rule of the format.
    Malformed(String),
    /// It has an operator that is not known.
    Unsupported(String),
}

impl Problem {
    /// The same with another message.
    fn map(self, change: impl FnOnce(String) -> String) -> Self {
        match self {
            Self::Malformed(message) => Self::Malformed(change(message)),
            Self::Unsupported(message) => Self::Unsupported(change(message)),
        }
    }
}

impl From<String> for Problem {
    fn from(message: String) -> Self {
        Self::Malformed(message)
    }
}

impl From<&str> for Problem {
    fn from(message: &str) -> Self {
        Self::Malformed(message.into())
    }
}

/// Where names of a graph inside a node are looked up that it does not define.
trait Outer {
    /// The type and, for constants, the elements of a value of the graphs around.
    fn outer(&mut self, name: &str) -> Option<(Fact, Option<Array>)>;
}

/// A graph that is being made.
struct Scope<'a> {
    graph: Graph,
    /// By name in the file.
    values: HashMap<String, ValueId>,
    /// Names of nodes in use.
    nodes: Names,
    /// By name, the number that the last one made from it has.
    numbers: HashMap<String, usize>,
    /// What folding may still take.
    left: &'a Allowance,
    /// Values of the graphs around that are inputs here.
    captures: Vec<String>,
    /// Constants that were folded into one with their axes in another order, and that one.
    turned: Vec<(ValueId, ValueId)>,
    /// Constants that the caller may replace, and what follows from them and constants alone.
    optional: HashSet<ValueId>,
    opsets: &'a Opsets,
    options: &'a ImportOptions,
    parent: Option<&'a mut dyn Outer>,
}

impl Outer for Scope<'_> {
    fn outer(&mut self, name: &str) -> Option<(Fact, Option<Array>)> {
        let id = self.find(name)?;
        let value = self.graph.value(id).ok()?;
        let fixed = !self.optional.contains(&id) || !value.fact.dtype.is_float();
        Some((value.fact.clone(), value.constant().filter(|_| fixed).cloned()))
    }
}

impl<'a> Scope<'a> {
    fn new(
        opsets: &'a Opsets,
        options: &'a ImportOptions,
        left: &'a Allowance,
        parent: Option<&'a mut dyn Outer>,
    ) -> Self {
        Self {
            graph: Graph::new(),
            values: HashMap::new(),
            nodes: Names::default(),
            numbers: HashMap::new(),
            left,
            captures: Vec::new(),
            turned: Vec::new(),
            optional: HashSet::new(),
            opsets,
            options,
            parent,
        }
    }

    /// Adds everything that `proto` has; `hints` are types of inputs that have none of their own.
    fn fill(
        &mut self,
        proto: &GraphProto,
        hints: &[Option<Fact>],
        defaults: &Defaults,
    ) -> Result<(), Problem> {
        let held: HashSet<&str> = proto.initializer.iter().map(TensorProto::name).collect();
        for (i, input) in proto.input.iter().enumerate() {
            // Until version 3 of the format all initializers were listed as inputs too.
            if held.contains(input.name()) {
                continue;
            }
            let mut fact = fact(input, hints.get(i).and_then(Option::as_ref))
                .map_err(|m| format!("input `{}`: {m}", input.name()))?;
            if self.parent.is_none() {
                bind(&mut fact, &self.options.dims);
            }
            let id = self.graph.add_input(input.name(), fact).map_err(|e| e.to_string())?;
            self.values.insert(input.name().to_owned(), id);
        }
        if let Some(sparse) = proto.sparse_initializer.first() {
            let name = sparse.values.as_ref().map_or("?", TensorProto::name);
            return Err(format!("tensor `{name}`: sparse tensors are not supported").into());
        }
        for tensor in &proto.initializer {
            let name = tensor.name();
            let given = self.options.given.get(name).filter(|_| defaults.contains_key(name));
            let array = match given {
                Some(given) => given.clone(),
                None => array(tensor).map_err(|m| format!("tensor `{name}`: {m}"))?,
            };
            self.constant(name, array)?;
            if defaults.contains_key(name)
                && let Some(&id) = self.values.get(name)
            {
                self.optional.insert(id);
            }
        }
        self.run(&proto.node)?;
        let mut outputs = Vec::with_capacity(proto.output.len());
        for output in &proto.output {
            let name = output.name();
            let id = self.find(name).ok_or_else(|| format!("output `{name}` is defined by no node"))?;
            outputs.push((name, id));
        }
        Ok(self.graph.add_outputs(outputs).map_err(|e| e.to_string())?)
    }

    fn constant(&mut self, name: &str, array: Array) -> Result<(), String> {
        if self.values.contains_key(name) {
            return Err(format!("the name `{name}` is used for two values"));
        }
        let own = self.free(name);
        let id = self.graph.add_const(&own, array).map_err(|e| e.to_string())?;
        self.values.insert(name.to_owned(), id);
        Ok(())
    }

    /// `name`, or one like it where the graph has that already.
    fn free(&mut self, name: &str) -> String {
        let mut own = name.to_owned();
        if self.graph.find(name).is_some() {
            // From the last number on: branches that are taken may all use one name.
            let mut n = self.numbers.get(name).copied().unwrap_or(0);
            while self.graph.find(&own).is_some() {
                n += 1;
                own = format!("{name}_{n}");
            }
            self.numbers.insert(name.to_owned(), n);
        }
        own
    }

    fn find(&mut self, name: &str) -> Option<ValueId> {
        if let Some(&id) = self.values.get(name) {
            return Some(id);
        }
        let (fact, array) = self.parent.as_mut()?.outer(name)?;
        let id = match array {
            Some(array) => self.graph.add_const(name, array).ok()?,
            None => {
                self.captures.push(name.to_owned());
                self.graph.add_input(name, fact).ok()?
            }
        };
        self.values.insert(name.to_owned(), id);
        Some(id)
    }

    /// Adds nodes; the file need not have them in order.
    fn run(&mut self, nodes: &[NodeProto]) -> Result<(), Problem> {
        for &i in &order(nodes)? {
            let Some(node) = nodes.get(i) else { continue };
            let name = match node.name() {
                "" => node.output.iter().find(|o| !o.is_empty()).map_or("node", String::as_str),
                name => name,
            };
            let name = self.nodes.fresh(name);
            self.node(&name, node).map_err(|problem| {
                // Errors of nodes inside name these themselves.
                problem.map(|m| match m.starts_with("node `") {
                    true => m,
                    false => format!("node `{name}` ({}): {m}", node.op_type()),
                })
            })?;
        }
        Ok(())
    }

    fn node(&mut self, name: &str, node: &NodeProto) -> Result<(), Problem> {
        if node.op_type() != "If" || !matches!(node.domain(), "" | "ai.onnx") {
            return self.plain_node(name, node);
        }
        let condition = node.input.first().and_then(|c| self.find(c));
        let known = match condition {
            Some(c) => self.truth(c)?,
            None => None,
        };
        let settled = condition.is_some_and(|c| self.options.fold && !self.optional.contains(&c));
        if let Some(taken) = known.filter(|_| settled) {
            return self.branch(node, taken);
        }
        let Err(problem) = self.plain_node(name, node) else { return Ok(()) };
        if let Some(taken) = known {
            return self.branch(node, taken);
        }
        if self.parent.is_some() || !matches!(problem, Problem::Malformed(_)) {
            return Err(problem);
        }
        match condition {
            Some(condition) if !self.options.given.is_empty() => {
                let taken = self.decided(condition)?;
                self.branch(node, taken)
            }
            _ => Err(problem.map(|m| {
                format!(
                    "{m}; which branch is taken must be known: give the sizes that the file leaves open \
                     (--dim), or run it, where the inputs decide"
                )
            })),
        }
    }

    fn plain_node(&mut self, name: &str, node: &NodeProto) -> Result<(), Problem> {
        let domain = if node.domain() == "ai.onnx" { "" } else { node.domain() };
        let version = *self.opsets.get(domain).ok_or_else(|| {
            format!("operator set `{domain}` is used, but the file does not say in which version")
        })?;
        let given = |v: &String| !v.is_empty();
        let mut inputs = Vec::with_capacity(node.input.len());
        for value in node.input.iter().filter(|v| given(v)) {
            inputs
                .push(self.find(value).ok_or_else(|| format!("it reads `{value}`, which nothing defines"))?);
        }
        let mut op = Onnx {
            domain: domain.to_owned(),
            op_type: node.op_type().to_owned(),
            version,
            attributes: Attributes::new(),
            inputs: node.input.iter().map(given).collect(),
            outputs: node.output.iter().map(given).collect(),
        };
        let outputs: Vec<&str> = node.output.iter().filter(|v| given(v)).map(String::as_str).collect();
        if domain.is_empty() && op.op_type == "Constant" {
            let array = constant(node)?;
            outputs.iter().try_for_each(|o| self.constant(o, array.clone()))?;
            return Ok(());
        }
        let hints = self.hints(node, &op, &inputs)?;
        for attribute in &node.attribute {
            let value = match plain(attribute)? {
                Some(value) => value,
                None => {
                    let body = attribute.g.as_deref().ok_or("a graph is missing")?;
                    let (body, captures) = self.body(body, &hints)?;
                    for name in &captures {
                        inputs.push(self.find(name).ok_or_else(|| format!("`{name}` is not defined"))?);
                        op.inputs.push(true);
                    }
                    Attribute::Graph(Arc::new(Subgraph { graph: body, captures: captures.len() }))
                }
            };
            if op.attributes.insert(attribute.name().to_owned(), value).is_some() {
                return Err(format!("attribute `{}` is given twice", attribute.name()).into());
            }
        }
        if op.def().is_none() {
            let domain = if domain.is_empty() { "ai.onnx" } else { domain };
            return Err(Problem::Unsupported(format!("operator {domain}::{} is not supported", op.op_type)));
        }
        let optional = self.optional(&inputs)?;
        if self.options.fold && !optional && self.fold(&op, &inputs, &outputs)? {
            return Ok(());
        }
        if let Some(twice) = outputs.iter().find(|o| self.values.contains_key(**o)) {
            return Err(format!("the name `{twice}` is used for two values").into());
        }
        let own: Vec<String> = outputs.iter().map(|o| self.free(o)).collect();
        let own: Vec<&str> = own.iter().map(String::as_str).collect();
        let ids = self.graph.add_node_named(name, Op::Onnx(op), &inputs, &own).map_err(message)?;
        for (output, id) in outputs.iter().zip(ids) {
            let value = self.graph.value(id).map_err(|e| e.to_string())?;
            let known = value.content.as_ref().and_then(|c| c.array()).cloned();
            // The node stays for its other outputs, if any are read.
            if optional {
                self.optional.insert(id);
            }
            let id = match known.filter(|_| self.options.fold && !optional) {
                Some(array) => {
                    let own = self.free(&format!("{output}.known"));
                    self.graph.add_const(&own, array).map_err(|e| e.to_string())?
                }
                None => id,
            };
            self.values.insert((*output).to_owned(), id);
        }
        Ok(())
    }

    /// Types of the inputs of a graph in a node, where these follow from the node's operands.
    fn hints(&self, node: &NodeProto, op: &Onnx, inputs: &[ValueId]) -> Result<Vec<Option<Fact>>, String> {
        if !matches!(op.op_type.as_str(), "Loop" | "Scan") {
            return Ok(Vec::new());
        }
        let facts = self.graph.facts(inputs).map_err(|e| e.to_string())?;
        let mut hints = op.slots(facts.into_iter().cloned());
        if op.op_type == "Scan" {
            let given = |name: &str| node.attribute.iter().find(|a| a.name() == name);
            let scans = given("num_scan_inputs").map_or(0, |a| usize::try_from(a.i()).unwrap_or(0));
            let axes = given("scan_input_axes").map_or(&[][..], |a| &a.ints);
            let states = hints.len().saturating_sub(scans);
            // The body is given one slice after another.
            for (k, hint) in hints.iter_mut().skip(states).enumerate() {
                let Some(fact) = hint else { continue };
                match axis_of(axes.get(k).copied().unwrap_or(0), fact.rank()) {
                    Ok(axis) => {
                        fact.shape.remove(axis);
                    }
                    Err(_) => *hint = None,
                }
            }
        }
        Ok(hints)
    }

    /// A graph in a node, and what it reads of the graphs around.
    fn body(&mut self, proto: &GraphProto, hints: &[Option<Fact>]) -> Result<(Graph, Vec<String>), Problem> {
        let (opsets, options, left) = (self.opsets, self.options, self.left);
        let mut inner = Scope::new(opsets, options, left, Some(self));
        inner.fill(proto, hints, &Defaults::new())?;
        let (graph, captures) = (inner.graph, inner.captures);
        Ok((graph, captures))
    }

    /// Whether a node with these operands follows from constants of which the caller may replace some.
    fn optional(&self, inputs: &[ValueId]) -> Result<bool, String> {
        if !inputs.iter().any(|v| self.optional.contains(v)) {
            return Ok(false);
        }
        for v in inputs {
            let value = self.graph.value(*v).map_err(|e| e.to_string())?;
            if value.constant().is_none() && !self.optional.contains(v) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The elements of a condition, where they are known.
    fn truth(&self, condition: ValueId) -> Result<Option<bool>, String> {
        let value = self.graph.value(condition).map_err(|e| e.to_string())?;
        Ok(match value.content.as_ref().and_then(|c| c.array()).map(Array::data) {
            Some(occam_graph::Data::Bool(v)) => v.first().copied(),
            _ => None,
        })
    }

    /// What a condition is for the inputs that are given: what comes before it is run.
    fn decided(&self, condition: ValueId) -> Result<bool, String> {
        let failed = |e: &dyn std::fmt::Display| format!("its condition cannot be computed: {e}");
        let mut graph = self.graph.clone();
        graph.add_output("condition", condition).map_err(|e| failed(&e))?;
        drop_unread(&mut graph).map_err(|e| failed(&e))?;
        let weights = occam_graph::Weights::new();
        let results = occam_interp::Interpreter::new(&graph, &weights)
            .and_then(|run| run.run(&self.options.given))
            .map_err(|e| failed(&e))?;
        match results.first().map(|(_, array)| array.data()) {
            Some(occam_graph::Data::Bool(v)) if v.len() == 1 => Ok(v.contains(&true)),
            _ => Err("its condition must be one truth value".into()),
        }
    }

    /// Puts the branch of an `If` that is taken in its place.
    fn branch(&mut self, node: &NodeProto, taken: bool) -> Result<(), Problem> {
        let name = if taken { "then_branch" } else { "else_branch" };
        let body = node.attribute.iter().find(|a| a.name() == name).and_then(|a| a.g.as_deref());
        let body = body.ok_or_else(|| format!("attribute `{name}` must be a graph"))?;
        // Names inside may be those of another branch.
        let hidden: Vec<(String, Option<ValueId>)> =
            defined(body).map(|n| (n.to_owned(), self.values.remove(n))).collect();
        for tensor in &body.initializer {
            let array = array(tensor).map_err(|m| format!("tensor `{}`: {m}", tensor.name()))?;
            self.constant(tensor.name(), array)?;
        }
        self.run(&body.node)?;
        let results = body
            .output
            .iter()
            .map(|o| self.find(o.name()).ok_or_else(|| format!("output `{}` is not defined", o.name())))
            .collect::<Result<Vec<_>, _>>()?;
        for (name, id) in hidden {
            match id {
                Some(id) => self.values.insert(name, id),
                None => self.values.remove(&name),
            };
        }
        for (output, id) in node.output.iter().zip(results) {
            self.values.insert(output.clone(), id);
        }
        Ok(())
    }

    /// Computes a node at once, where all its operands are constants.
    fn fold(&mut self, op: &Onnx, inputs: &[ValueId], outputs: &[&str]) -> Result<bool, String> {
        if !folds(op) {
            return Ok(false);
        }
        let mut operands = Vec::with_capacity(inputs.len());
        for &v in inputs {
            match self.graph.value(v).map_err(|e| e.to_string())?.constant() {
                Some(array) => operands.push(array.clone()),
                None => return Ok(false),
            }
        }
        let known = self.graph.known(inputs).map_err(|e| e.to_string())?;
        let inferred = Op::Onnx(op.clone()).family().infer_known("?", &known).map_err(message)?;
        if !self.left.take(op, &operands, &inferred) {
            return Ok(false);
        }
        let results = occam_interp::evaluate(op, &operands).map_err(|e| e.to_string())?;
        for (output, array) in outputs.iter().zip(results) {
            self.constant(output, array)?;
        }
        if let ("Transpose", [from], [to]) = (op.op_type.as_str(), inputs, outputs)
            && let Some(&to) = self.values.get(*to)
        {
            self.turned.push((*from, to));
        }
        Ok(true)
    }
}

/// Gives a weight that was turned its name in the file, where nothing reads it as it lay.
fn keep_names(graph: &mut Graph, turned: &[(ValueId, ValueId)]) -> occam_graph::Result<()> {
    for &(from, to) in turned {
        let read = |v: ValueId| !graph.readers(v).is_empty() || graph.outputs().iter().any(|(_, o)| *o == v);
        if graph.value(from).is_ok() && graph.value(to).is_ok() && !read(from) && read(to) {
            graph.swap_names(from, to)?;
        }
    }
    Ok(())
}

/// The message of an error, without the node that the caller names.
fn message(error: occam_graph::Error) -> String {
    match error {
        occam_graph::Error::Node { message, .. } => message,
        other => other.to_string(),
    }
}

/// Names that a graph defines.
fn defined(graph: &GraphProto) -> impl Iterator<Item = &str> {
    let nodes = graph.node.iter().flat_map(|n| n.output.iter().map(String::as_str));
    nodes.chain(graph.initializer.iter().map(TensorProto::name)).filter(|n| !n.is_empty())
}

/// The elements of a `Constant` node.
fn constant(node: &NodeProto) -> Result<Array, String> {
    let [attribute] = node.attribute.as_slice() else {
        return Err("it must have exactly one attribute".into());
    };
    let made = match (attribute.name(), plain(attribute)?) {
        ("value", Some(Attribute::Tensor(a))) => return Ok(a),
        ("value_float", Some(Attribute::Float(x))) => Array::from_f32([], vec![x]),
        ("value_floats", Some(Attribute::Floats(v))) => Array::from_f32([v.len()], v),
        ("value_int", Some(Attribute::Int(n))) => Array::from_i64([], vec![n]),
        ("value_ints", Some(Attribute::Ints(v))) => Array::from_i64([v.len()], v),
        (name, _) => return Err(format!("constants of kind `{name}` are not supported")),
    };
    made.map_err(|e| e.to_string())
}

/// Gives the sizes in `dims` their numbers.
pub(super) fn bind(fact: &mut Fact, dims: &Bindings) {
    for dim in &mut fact.shape {
        if let Dim::Symbol(name) = dim
            && let Some(&size) = dims.get(&**name)
        {
            *dim = Dim::Known(size);
        }
    }
}

/// The type of an input; sizes that are not given get names.
pub(super) fn fact(info: &ValueInfoProto, hint: Option<&Fact>) -> Result<Fact, String> {
    let unknown = |i: usize| Dim::symbol(&format!("{}.{i}", info.name()));
    let tensor = match info.r#type.as_ref().and_then(|t| t.value.as_ref()) {
        Some(type_proto::Value::TensorType(t)) => t,
        Some(_) => {
            return Err("sequences, maps, optional and sparse values are not supported, only tensors".into());
        }
        None => {
            // What a loop carries may change its sizes from one iteration to the next.
            let hint = hint.ok_or("its type is not given")?;
            return Ok(Fact { dtype: hint.dtype, shape: (0..hint.rank()).map(unknown).collect() });
        }
    };
    let dtype = dtype(tensor.elem_type.unwrap_or(0))?;
    let Some(shape) = &tensor.shape else {
        let hint = hint.ok_or("the number of its axes is not given")?;
        return Ok(Fact { dtype, shape: (0..hint.rank()).map(unknown).collect() });
    };
    let dims = shape.dim.iter().enumerate().map(|(i, d)| match &d.value {
        Some(dimension::Value::DimValue(n)) => usize::try_from(*n).map_or_else(|_| unknown(i), Dim::Known),
        // Not names: PaddlePaddle writes them for any size, so two of them need not be the same.
        Some(dimension::Value::DimParam(s)) if !matches!(s.as_str(), "" | "?" | "-1" | "None") => {
            Dim::symbol(s)
        }
        _ => unknown(i),
    });
    Ok(Fact { dtype, shape: dims.collect() })
}

/// Positions of nodes so that each comes after what it reads; the file's order where it is one.
fn order(nodes: &[NodeProto]) -> Result<Vec<usize>, String> {
    let mut by_output: HashMap<&str, usize> = HashMap::new();
    for (i, node) in nodes.iter().enumerate() {
        for output in node.output.iter().filter(|o| !o.is_empty()) {
            if by_output.insert(output, i).is_some() {
                return Err(format!("the name `{output}` is used for two values"));
            }
        }
    }
    let mut missing = vec![0usize; nodes.len()];
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
    for (i, node) in nodes.iter().enumerate() {
        let mut sources = HashSet::new();
        reads(node, &mut |name| {
            if let Some(&from) = by_output.get(name) {
                sources.insert(from);
            }
        });
        if let Some(n) = missing.get_mut(i) {
            *n = sources.len();
        }
        for from in sources {
            if let Some(list) = readers.get_mut(from) {
                list.push(i);
            }
        }
    }
    let mut ready: std::collections::BTreeSet<usize> =
        missing.iter().enumerate().filter(|&(_, &n)| n == 0).map(|(i, _)| i).collect();
    let mut order = Vec::with_capacity(nodes.len());
    while let Some(i) = ready.pop_first() {
        order.push(i);
        for &reader in readers.get(i).into_iter().flatten() {
            if let Some(n) = missing.get_mut(reader) {
                *n -= 1;
                if *n == 0 {
                    ready.insert(reader);
                }
            }
        }
    }
    if order.len() == nodes.len() {
        return Ok(order);
    }
    let stuck = missing.iter().position(|&n| n > 0).and_then(|i| nodes.get(i));
    // Exporters leave most nodes without a name; the value that one makes always has one.
    let name = |n: &NodeProto| match n.name() {
        "" => n.output.first().cloned().unwrap_or_default(),
        name => name.to_owned(),
    };
    Err(format!("node `{}` depends on itself", stuck.map_or_else(|| "?".to_owned(), name)))
}

/// Visits the names that a node reads, those that graphs in its attributes read of the graph around included.
fn reads<'a>(node: &'a NodeProto, visit: &mut dyn FnMut(&'a str)) {
    node.input.iter().for_each(|v| visit(v));
    for graph in node.attribute.iter().filter_map(|a| a.g.as_deref()) {
        // What is defined inside hides what is called the same outside.
        let own: HashSet<&str> = defined(graph).chain(graph.input.iter().map(ValueInfoProto::name)).collect();
        let mut visit = |name: &'a str| {
            if !own.contains(name) {
                visit(name);
            }
        };
        graph.node.iter().for_each(|inner| reads(inner, &mut visit));
        graph.output.iter().for_each(|o| visit(o.name()));
    }
}

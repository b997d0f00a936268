//! The graph itself.

use std::collections::{BTreeSet, HashMap, HashSet};

use indexmap::IndexMap;

use crate::{Array, Content, Error, Fact, Inferred, Known, Op, Result};

/// A node of one graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub(crate) u32);

/// A value of one graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub(crate) u32);

impl NodeId {
    /// Position in tables that have one entry a node.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl ValueId {
    /// Position in tables that have one entry a value; see [`Graph::value_count`].
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// What a parameter is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Learned by gradients.
    Weight,
    /// Kept beside the weights and never learned by gradients, such as running statistics.
    Buffer,
}

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The caller.
    Input,
    /// The parameters, by the value's name.
    Param(Role),
    /// An output slot of a node.
    Node(NodeId, usize),
    /// The graph itself: a constant, whose elements are the value's content.
    Const,
}

/// A value: what flows along an edge.
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    /// Unique name; for a parameter its key in a state dict.
    pub name: String,
    /// Type and shape.
    pub fact: Fact,
    /// Where it comes from.
    pub source: Source,
    /// Whether it is a parameter that never learns, whatever is trained around it: `requires_grad=False`.
    pub frozen: bool,
    /// Its elements, as far as they are known before running.
    pub content: Option<Content>,
}

impl Value {
    /// The role, where it is a parameter.
    pub fn role(&self) -> Option<Role> {
        match self.source {
            Source::Param(role) => Some(role),
            _ => None,
        }
    }

    /// The elements, where it is a constant.
    pub fn constant(&self) -> Option<&Array> {
        match self.source {
            Source::Const => self.content.as_ref()?.array(),
            _ => None,
        }
    }
}

/// An operator with its inputs and outputs.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Unique name: the module path, with `_1`, `_2`, .. for later calls of a shared module.
    pub name: String,
    /// What it computes.
    pub op: Op,
    /// Values it reads.
    pub inputs: Vec<ValueId>,
    /// Values it defines.
    pub outputs: Vec<ValueId>,
}

/// One call of a module: what went in and what came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Positional arguments.
    pub inputs: Vec<ValueId>,
    /// Returned values.
    pub outputs: Vec<ValueId>,
    /// Whether they were returned as a tuple, even of one.
    pub tuple: bool,
}

/// A model's computation.
///
/// Nodes and values live in arenas and are named by small ids that stay valid over edits. Everything that walks a
/// graph sees the same order in every run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Graph {
    pub(crate) nodes: Vec<Option<Node>>,
    pub(crate) values: Vec<Option<Value>>,
    pub(crate) names: HashMap<String, ValueId>,
    pub(crate) inputs: Vec<ValueId>,
    pub(crate) outputs: Vec<(String, ValueId)>,
    pub(crate) modules: IndexMap<String, Vec<Call>>,
}

impl Graph {
    /// A graph without nodes.
    pub fn new() -> Self {
        Self::default()
    }

    /// The node, where it exists.
    ///
    /// # Errors
    /// It was removed, or belongs to another graph.
    pub fn node(&self, id: NodeId) -> Result<&Node> {
        self.nodes
            .get(id.index())
            .and_then(Option::as_ref)
            .ok_or_else(|| Error::Graph(format!("there is no node #{}", id.0)))
    }

    /// The value, where it exists.
    ///
    /// # Errors
    /// It was removed, or belongs to another graph.
    pub fn value(&self, id: ValueId) -> Result<&Value> {
        self.values
            .get(id.index())
            .and_then(Option::as_ref)
            .ok_or_else(|| Error::Graph(format!("there is no value #{}", id.0)))
    }

    /// The value of that name.
    pub fn find(&self, name: &str) -> Option<ValueId> {
        self.names.get(name).copied()
    }

    /// The node of that name.
    pub fn find_node(&self, name: &str) -> Option<NodeId> {
        self.nodes().find(|(_, n)| n.name == name).map(|(id, _)| id)
    }

    /// One more than the largest [`ValueId::index`].
    pub fn value_count(&self) -> usize {
        self.values.len()
    }

    /// All nodes in order of creation.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeId, &Node)> {
        self.nodes.iter().enumerate().filter_map(|(i, n)| Some((NodeId(i as u32), n.as_ref()?)))
    }

    /// All values in order of creation.
    pub fn values(&self) -> impl Iterator<Item = (ValueId, &Value)> {
        self.values.iter().enumerate().filter_map(|(i, v)| Some((ValueId(i as u32), v.as_ref()?)))
    }

    /// All parameters in order of creation: a state dict's order.
    pub fn params(&self) -> impl Iterator<Item = (ValueId, &Value)> {
        self.values().filter(|(_, v)| matches!(v.source, Source::Param(_)))
    }

    /// What the caller gives.
    pub fn inputs(&self) -> &[ValueId] {
        &self.inputs
    }

    /// What the caller gets, by name.
    pub fn outputs(&self) -> &[(String, ValueId)] {
        &self.outputs
    }

    /// All modules by path, each with its calls in order of execution; the root's path is empty.
    pub fn modules(&self) -> &IndexMap<String, Vec<Call>> {
        &self.modules
    }

    /// Facts of `values`.
    ///
    /// # Errors
    /// A value does not exist.
    pub fn facts(&self, values: &[ValueId]) -> Result<Vec<&Fact>> {
        values.iter().map(|&v| Ok(&self.value(v)?.fact)).collect()
    }

    /// What is known of `values`.
    ///
    /// # Errors
    /// A value does not exist.
    pub fn known(&self, values: &[ValueId]) -> Result<Vec<Known<'_>>> {
        values
            .iter()
            .map(|&v| self.value(v).map(|v| Known { fact: &v.fact, content: v.content.as_ref() }))
            .collect()
    }

    /// Nodes that read `value`, with the input's index, in order of creation.
    pub fn readers(&self, value: ValueId) -> Vec<(NodeId, usize)> {
        self.nodes()
            .flat_map(|(id, n)| {
                n.inputs.iter().enumerate().filter(|&(_, &v)| v == value).map(move |(i, _)| (id, i))
            })
            .collect()
    }

    /// The nodes in an order in which each comes after what it reads; among those that could come next, the
    /// first created comes first.
    ///
    /// # Errors
    /// Nodes read each other in a circle.
    pub fn order(&self) -> Result<Vec<NodeId>> {
        let mut missing: HashMap<NodeId, usize> = HashMap::new();
        let mut readers: HashMap<NodeId, Vec<NodeId>> = HashMap::new();
        let mut ready = BTreeSet::new();
        for (id, node) in self.nodes() {
            let mut sources = HashSet::new();
            for &v in &node.inputs {
                if let Source::Node(from, _) = self.value(v)?.source
                    && sources.insert(from)
                {
                    readers.entry(from).or_default().push(id);
                }
            }
            if sources.is_empty() {
                ready.insert(id);
            } else {
                missing.insert(id, sources.len());
            }
        }
        let mut order = Vec::with_capacity(self.nodes.len());
        while let Some(id) = ready.pop_first() {
            order.push(id);
            for reader in readers.remove(&id).unwrap_or_default() {
                if let Some(n) = missing.get_mut(&reader) {
                    *n -= 1;
                    if *n == 0 {
                        missing.remove(&reader);
                        ready.insert(reader);
                    }
                }
            }
        }
        match missing.keys().min() {
            None => Ok(order),
            Some(&id) => Err(Error::Graph(format!(
                "node `{}` depends on itself",
                self.node(id).map_or("?", |n| n.name.as_str())
            ))),
        }
    }

    pub(crate) fn add_value(&mut self, name: String, fact: Fact, source: Source) -> Result<ValueId> {
        let id = ValueId(
            u32::try_from(self.values.len()).map_err(|_| Error::Graph("there are too many values".into()))?,
        );
        if self.names.contains_key(&name) {
            return Err(Error::Graph(format!("there is a value `{name}` already")));
        }
        self.names.insert(name.clone(), id);
        self.values.push(Some(Value { name, fact, source, frozen: false, content: None }));
        Ok(id)
    }

    /// Adds an input.
    ///
    /// # Errors
    /// A value of that name exists.
    pub fn add_input(&mut self, name: &str, fact: Fact) -> Result<ValueId> {
        let id = self.add_value(name.into(), fact, Source::Input)?;
        self.inputs.push(id);
        Ok(id)
    }

    /// Adds a parameter.
    ///
    /// # Errors
    /// A value of that name exists.
    pub fn add_param(&mut self, name: &str, fact: Fact, role: Role) -> Result<ValueId> {
        self.add_value(name.into(), fact, Source::Param(role))
    }

    /// Makes a constant a parameter of the same name, and gives its elements to the caller, for the weights.
    ///
    /// # Errors
    /// It is no constant.
    pub fn promote(&mut self, id: ValueId, role: Role) -> Result<Array> {
        match self.values.get_mut(id.index()).and_then(Option::as_mut) {
            Some(Value { source, content: content @ Some(Content::Array(_)), .. })
                if *source == Source::Const =>
            {
                *source = Source::Param(role);
                match content.take() {
                    Some(Content::Array(array)) => Ok(array),
                    _ => Err(Error::Graph(format!("value #{} has no elements", id.0))),
                }
            }
            _ => Err(Error::Graph(format!("value #{} is no constant", id.0))),
        }
    }

    /// Gives two values each the name of the other.
    ///
    /// # Errors
    /// One does not exist.
    pub fn swap_names(&mut self, a: ValueId, b: ValueId) -> Result<()> {
        let (of_a, of_b) = (self.value(a)?.name.clone(), self.value(b)?.name.clone());
        for (id, name) in [(a, of_b), (b, of_a)] {
            self.names.insert(name.clone(), id);
            if let Some(value) = self.values.get_mut(id.index()).and_then(Option::as_mut) {
                value.name = name;
            }
        }
        Ok(())
    }

    /// Makes a parameter one that never learns.
    ///
    /// # Errors
    /// It is no parameter.
    pub fn freeze(&mut self, id: ValueId) -> Result<()> {
        match self.values.get_mut(id.index()).and_then(Option::as_mut) {
            Some(v) if v.role().is_some() => {
                v.frozen = true;
                Ok(())
            }
            _ => Err(Error::Graph(format!("value #{} is no parameter", id.0))),
        }
    }

    /// Adds a constant.
    ///
    /// # Errors
    /// A value of that name exists.
    pub fn add_const(&mut self, name: &str, array: Array) -> Result<ValueId> {
        let fact = Fact::new(array.dtype(), array.shape().iter().copied());
        let id = self.add_value(name.into(), fact, Source::Const)?;
        if let Some(Some(value)) = self.values.get_mut(id.index()) {
            value.content = Some(Content::Array(array));
        }
        Ok(id)
    }

    /// Gives a constant other elements, in another shape; call [`Graph::infer`] when all are changed.
    ///
    /// # Errors
    /// It is no constant.
    pub fn set_const(&mut self, id: ValueId, array: Array) -> Result<()> {
        match self.values.get_mut(id.index()).and_then(Option::as_mut) {
            Some(v) if v.source == Source::Const => {
                v.fact = Fact::new(array.dtype(), array.shape().iter().copied());
                v.content = Some(Content::Array(array));
                Ok(())
            }
            _ => Err(Error::Graph(format!("value #{} is no constant", id.0))),
        }
    }

    /// Adds a node, whose outputs take its name (`name`, `name:1`, ..).
    ///
    /// # Errors
    /// The operator refuses the inputs, or the name is taken.
    pub fn add_node(&mut self, name: &str, op: Op, inputs: &[ValueId]) -> Result<Vec<ValueId>> {
        self.push_node(
            name,
            op,
            inputs,
            |slot| {
                if slot == 0 { name.to_owned() } else { format!("{name}:{slot}") }
            },
        )
    }

    /// Adds a node whose outputs have names of their own.
    ///
    /// # Errors
    /// The operator refuses the inputs, has another number of outputs, or a name is taken.
    pub fn add_node_named(
        &mut self,
        name: &str,
        op: Op,
        inputs: &[ValueId],
        outputs: &[&str],
    ) -> Result<Vec<ValueId>> {
        let added = self
            .push_node(name, op, inputs, |slot| outputs.get(slot).copied().unwrap_or_default().to_owned())?;
        if added.len() != outputs.len() {
            let message = format!("node `{name}` has {} outputs, {} named", added.len(), outputs.len());
            return Err(Error::Graph(message));
        }
        Ok(added)
    }

    fn push_node(
        &mut self,
        name: &str,
        op: Op,
        inputs: &[ValueId],
        output: impl Fn(usize) -> String,
    ) -> Result<Vec<ValueId>> {
        let inferred = infer(name, &op, &self.known(inputs)?)?;
        let id = NodeId(
            u32::try_from(self.nodes.len()).map_err(|_| Error::Graph("there are too many nodes".into()))?,
        );
        let mut outputs = Vec::with_capacity(inferred.len());
        for (slot, Inferred { fact, content }) in inferred.into_iter().enumerate() {
            let v = self.add_value(output(slot), fact, Source::Node(id, slot))?;
            if let Some(Some(value)) = self.values.get_mut(v.index()) {
                value.content = content;
            }
            outputs.push(v);
        }
        let node = Node { name: name.into(), op, inputs: inputs.to_vec(), outputs: outputs.clone() };
        self.nodes.push(Some(node));
        Ok(outputs)
    }

    /// Makes `value` an output called `name`.
    ///
    /// # Errors
    /// There is no such value, or an output of that name exists.
    pub fn add_output(&mut self, name: &str, value: ValueId) -> Result<()> {
        self.add_outputs([(name, value)])
    }

    /// Makes values outputs, by name.
    ///
    /// # Errors
    /// As [`Graph::add_output`]; those before the one that does not fit are outputs then.
    pub fn add_outputs<'a>(&mut self, outputs: impl IntoIterator<Item = (&'a str, ValueId)>) -> Result<()> {
        let mut names: HashSet<String> = self.outputs.iter().map(|(name, _)| name.clone()).collect();
        for (name, value) in outputs {
            self.value(value)?;
            if !names.insert(name.into()) {
                return Err(Error::Graph(format!("there is an output `{name}` already")));
            }
            self.outputs.push((name.into(), value));
        }
        Ok(())
    }

    /// Infers all facts anew, after the facts of inputs or parameters or the operators changed.
    ///
    /// # Errors
    /// A node refuses its inputs.
    pub fn infer(&mut self) -> Result<()> {
        for id in self.order()? {
            let node = self.node(id)?;
            let inferred = infer(&node.name, &node.op, &self.known(&node.inputs)?)?;
            for (v, inferred) in node.outputs.clone().into_iter().zip(inferred) {
                if let Some(Some(value)) = self.values.get_mut(v.index()) {
                    (value.fact, value.content) = (inferred.fact, inferred.content);
                }
            }
        }
        Ok(())
    }

    /// Changes the fact of an input or a parameter; call [`Graph::infer`] when all are changed.
    ///
    /// # Errors
    /// The value does not exist, or a node computes it.
    pub fn set_fact(&mut self, id: ValueId, fact: Fact) -> Result<()> {
        match self.values.get_mut(id.index()).and_then(Option::as_mut) {
            Some(v) if !matches!(v.source, Source::Node(..) | Source::Const) => {
                v.fact = fact;
                Ok(())
            }
            Some(v) => {
                Err(Error::Graph(format!("the fact of `{}` follows from its node or elements", v.name)))
            }
            None => Err(Error::Graph(format!("there is no value #{}", id.0))),
        }
    }
}

/// What a node's outputs are; errors name the node.
pub(crate) fn infer(name: &str, op: &Op, inputs: &[Known<'_>]) -> Result<Vec<Inferred>> {
    op.family().infer_known(name, inputs).map_err(|e| Error::Node {
        node: name.into(),
        op: op.family().name(),
        message: match e {
            Error::Op(m) | Error::Dim(m) => m,
            other => other.to_string(),
        },
    })
}

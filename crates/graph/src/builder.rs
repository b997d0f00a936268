//! Building graphs module by module, with PyTorch's names.

use std::collections::HashMap;

use crate::{Array, Call, DType, Error, Fact, Graph, Op, Result, Role, ValueId};

/// What a module returns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Returned {
    /// One value.
    Single(ValueId),
    /// A tuple, even of one.
    Tuple(Vec<ValueId>),
}

impl Returned {
    /// The values in order.
    pub fn values(&self) -> &[ValueId] {
        match self {
            Returned::Single(v) => std::slice::from_ref(v),
            Returned::Tuple(v) => v,
        }
    }
}

/// Adds nodes and parameters under module paths.
///
/// [`Builder::module`] opens a path, as `self.layer1 = ..` does in PyTorch; nodes and parameters inside take it as
/// their prefix, so that `conv1` inside `backbone` owns `backbone.conv1.weight`. Every call of a module is noted, so
/// that values can later be found by module path and call.
#[derive(Debug, Default)]
pub struct Builder {
    graph: Graph,
    path: Vec<String>,
    calls: HashMap<String, usize>,
}

impl Builder {
    /// A builder of an empty graph.
    pub fn new() -> Self {
        Self::default()
    }

    /// The path of `name` in the open module.
    pub fn path_of(&self, name: &str) -> String {
        let mut parts: Vec<&str> = self.path.iter().map(String::as_str).collect();
        if !name.is_empty() {
            parts.push(name);
        }
        parts.join(".")
    }

    /// Adds an input of the graph.
    ///
    /// # Errors
    /// The name is taken.
    pub fn input(&mut self, name: &str, fact: Fact) -> Result<ValueId> {
        self.graph.add_input(name, fact)
    }

    /// A parameter of the open module; a second call with the same name and shape gives the same one, as a
    /// shared module does.
    ///
    /// # Errors
    /// The name stands for something else.
    pub fn param(&mut self, name: &str, shape: &[usize], role: Role) -> Result<ValueId> {
        let name = self.path_of(name);
        let fact = Fact::new(DType::F32, shape.iter().copied());
        match self.graph.find(&name) {
            None => self.graph.add_param(&name, fact, role),
            Some(id) => {
                let known = self.graph.value(id)?;
                if known.fact == fact && known.role() == Some(role) {
                    Ok(id)
                } else {
                    Err(Error::Graph(format!("`{name}` is {} already, not {fact}", known.fact)))
                }
            }
        }
    }

    /// A constant of the open module; a second call with the same name and elements gives the same one, as a shared module
    /// does.
    ///
    /// # Errors
    /// The name stands for something else.
    pub fn constant(&mut self, name: &str, array: Array) -> Result<ValueId> {
        let name = self.path_of(name);
        match self.graph.find(&name) {
            None => self.graph.add_const(&name, array),
            Some(id) if self.graph.value(id)?.constant() == Some(&array) => Ok(id),
            Some(_) => Err(Error::Graph(format!("`{name}` stands for something else"))),
        }
    }

    /// Makes a parameter one that never learns; see [`Graph::freeze`].
    ///
    /// # Errors
    /// It is no parameter.
    pub fn freeze(&mut self, param: ValueId) -> Result<()> {
        self.graph.freeze(param)
    }

    /// A node that is no module of its own, such as the sum of a residual block.
    ///
    /// # Errors
    /// The operator refuses the inputs.
    pub fn op(&mut self, name: &str, op: impl Into<Op>, inputs: &[ValueId]) -> Result<ValueId> {
        let path = self.path_of(name);
        self.node(path, op.into(), inputs)
    }

    /// A node that is the whole of the open module.
    ///
    /// # Errors
    /// The operator refuses the inputs.
    pub fn this(&mut self, op: impl Into<Op>, inputs: &[ValueId]) -> Result<ValueId> {
        self.op("", op, inputs)
    }

    fn node(&mut self, path: String, op: Op, inputs: &[ValueId]) -> Result<ValueId> {
        let path = if path.is_empty() { op.family().name().to_lowercase() } else { path };
        let count = self.calls.entry(path.clone()).or_default();
        let name = if *count == 0 { path } else { format!("{path}_{count}") };
        *count += 1;
        let outputs = self.graph.add_node(&name, op, inputs)?;
        outputs.first().copied().ok_or_else(|| Error::Graph(format!("node `{name}` has no output")))
    }

    /// Calls the module `name` with `inputs`: runs `body` inside its path and notes what it returns.
    ///
    /// # Errors
    /// Those of `body`.
    pub fn call<E: From<Error>>(
        &mut self,
        name: &str,
        inputs: &[ValueId],
        body: impl FnOnce(&mut Self) -> Result<Returned, E>,
    ) -> Result<Returned, E> {
        self.path.push(name.to_owned());
        let path = self.path_of("");
        // The place in the table is the parent's before its children's, as in a PyTorch module tree.
        self.graph.modules.entry(path.clone()).or_default();
        let result = body(self);
        self.path.pop();
        let returned = result?;
        self.note(path, inputs, &returned);
        Ok(returned)
    }

    /// [`Builder::call`] for a module that returns one value.
    ///
    /// # Errors
    /// Those of `body`.
    pub fn module<E: From<Error>>(
        &mut self,
        name: &str,
        inputs: &[ValueId],
        body: impl FnOnce(&mut Self) -> Result<ValueId, E>,
    ) -> Result<ValueId, E> {
        let mut value = None;
        self.call::<E>(name, inputs, |b| {
            let v = body(b)?;
            value = Some(v);
            Ok(Returned::Single(v))
        })?;
        value.ok_or_else(|| E::from(Error::Graph(format!("module `{name}` returned nothing"))))
    }

    /// Opens the path `name` without noting a call: a container such as `nn.ModuleList`.
    ///
    /// # Errors
    /// Those of `body`.
    pub fn scope<T, E>(&mut self, name: &str, body: impl FnOnce(&mut Self) -> Result<T, E>) -> Result<T, E> {
        self.path.push(name.to_owned());
        let result = body(self);
        self.path.pop();
        result
    }

    fn note(&mut self, path: String, inputs: &[ValueId], returned: &Returned) {
        self.graph.modules.entry(path).or_default().push(Call {
            inputs: inputs.to_vec(),
            outputs: returned.values().to_vec(),
            tuple: matches!(returned, Returned::Tuple(_)),
        });
    }

    /// Makes `value` an output of the graph.
    ///
    /// # Errors
    /// The name is taken.
    pub fn output(&mut self, name: &str, value: ValueId) -> Result<()> {
        self.graph.add_output(name, value)
    }

    /// The fact of a value built so far.
    ///
    /// # Errors
    /// There is no such value.
    pub fn fact(&self, value: ValueId) -> Result<&Fact> {
        Ok(&self.graph.value(value)?.fact)
    }

    /// Number of channels (axis 1) of a value.
    ///
    /// # Errors
    /// There is no such axis, or its size is not known.
    pub fn channels(&self, value: ValueId) -> Result<usize> {
        let value = self.graph.value(value)?;
        value.fact.shape.get(1).and_then(crate::Dim::known).ok_or_else(|| {
            Error::Graph(format!("the channels of `{}` {} are not known", value.name, value.fact))
        })
    }

    /// The graph, its root module noted, verified.
    ///
    /// # Errors
    /// The graph breaks a rule.
    pub fn finish(mut self) -> Result<Graph> {
        let outputs: Vec<ValueId> = self.graph.outputs.iter().map(|(_, v)| *v).collect();
        let returned = match outputs.as_slice() {
            [one] => Returned::Single(*one),
            _ => Returned::Tuple(outputs),
        };
        let inputs = self.graph.inputs.clone();
        self.note(String::new(), &inputs, &returned);
        self.graph.modules.retain(|_, calls| !calls.is_empty());
        self.graph.verify()?;
        Ok(self.graph)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Activation;

    #[test]
    fn a_shared_module_has_several_calls() {
        let mut b = Builder::new();
        let x = b.input("input", Fact::f32([1usize, 4])).unwrap();
        let y = b
            .module::<Error>("block", &[x], |b| {
                let y = b.module("relu", &[x], |b| b.this(Activation::Relu, &[x]))?;
                b.module("relu", &[y], |b| b.this(Activation::Relu, &[y]))
            })
            .unwrap();
        b.output("output", y).unwrap();
        let graph = b.finish().unwrap();
        let names: Vec<_> = graph.nodes().map(|(_, n)| n.name.as_str()).collect();
        assert_eq!(names, ["block.relu", "block.relu_1"]);
        assert_eq!(graph.modules()["block.relu"].len(), 2);
        assert_eq!(graph.modules()["block"][0].outputs, [y]);
        assert_eq!(graph.modules()[""][0].inputs, [x]);
    }

    #[test]
    fn parameters_take_the_path() {
        let mut b = Builder::new();
        let id = b.scope("a", |b| b.scope("b", |b| b.param("weight", &[2], Role::Weight))).unwrap();
        assert_eq!(b.graph.value(id).unwrap().name, "a.b.weight");
        let again = b.scope("a.b", |b| b.param("weight", &[2], Role::Weight)).unwrap();
        assert_eq!(again, id);
        assert!(b.scope("a.b", |b| b.param("weight", &[3], Role::Weight)).is_err());
    }
}

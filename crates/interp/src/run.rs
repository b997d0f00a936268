//! Running a graph of ONNX operators.

use std::collections::HashMap;

use occam_graph::{Array, Bindings, Dim, Graph, NodeId, Op, Source, ValueId, Weights};

use crate::{Error, Result, evaluate};

/// Arrays by name, in order.
pub type Values = Weights;

/// A graph all of whose nodes are [`Op::Onnx`], with its weights, ready to run.
#[derive(Debug)]
pub struct Interpreter<'a> {
    graph: &'a Graph,
    weights: &'a Weights,
    order: Vec<NodeId>,
    /// By step: the values that nothing after it reads.
    last_reads: Vec<Vec<ValueId>>,
}

impl<'a> Interpreter<'a> {
    /// Plans the runs of a graph.
    ///
    /// # Errors
    /// The graph has a circle.
    pub fn new(graph: &'a Graph, weights: &'a Weights) -> Result<Self> {
        let order = graph.order()?;
        let mut last: HashMap<ValueId, usize> = HashMap::new();
        for (i, &id) in order.iter().enumerate() {
            let node = graph.node(id)?;
            for &v in node.inputs.iter().chain(&node.outputs) {
                last.insert(v, i);
            }
        }
        for (_, v) in graph.outputs() {
            last.remove(v);
        }
        let mut last_reads = vec![Vec::new(); order.len()];
        for (v, i) in last {
            if let Some(list) = last_reads.get_mut(i) {
                list.push(v);
            }
        }
        Ok(Self { graph, weights, order, last_reads })
    }

    /// The graph's outputs for inputs given by name.
    ///
    /// # Errors
    /// An input is missing or does not fit, or an operator refuses its operands.
    pub fn run(&self, inputs: &Values) -> Result<Values> {
        let mut values: HashMap<ValueId, Array> = HashMap::new();
        self.bind(inputs, &mut values)?;
        self.compute(&mut values)?;
        self.graph.outputs().iter().map(|(name, v)| Ok((name.clone(), self.read(*v, &values)?))).collect()
    }

    /// The graph's outputs for inputs given in order, as a node that holds the graph gives them.
    ///
    /// # Errors
    /// As [`Interpreter::run`].
    pub fn call(&self, inputs: &[Array]) -> Result<Vec<Array>> {
        let mut values: HashMap<ValueId, Array> =
            self.graph.inputs().iter().copied().zip(inputs.iter().cloned()).collect();
        self.compute(&mut values)?;
        self.graph.outputs().iter().map(|(_, v)| self.read(*v, &values)).collect()
    }

    fn bind(&self, inputs: &Values, values: &mut HashMap<ValueId, Array>) -> Result<()> {
        let mut bindings = Bindings::new();
        for &id in self.graph.inputs() {
            let value = self.graph.value(id)?;
            let refuse = |message: String| Err(Error::Input { name: value.name.clone(), message });
            let Some(array) = inputs.get(&value.name) else {
                let known: Vec<&str> = inputs.keys().map(String::as_str).collect();
                return refuse(format!("it is not given; given are: {}", known.join(", ")));
            };
            let mut fits = array.dtype() == value.fact.dtype && array.shape().len() == value.fact.rank();
            for (d, &n) in value.fact.shape.iter().zip(array.shape()) {
                fits &= match d {
                    Dim::Known(k) => *k == n,
                    Dim::Symbol(s) => *bindings.entry(s.to_string()).or_insert(n) == n,
                    Dim::Expr(_) => d.eval(&bindings).map_or(true, |k| k == n),
                };
            }
            if !fits {
                return refuse(format!("{} wanted, {array:?} given", value.fact));
            }
            values.insert(id, array.clone());
        }
        Ok(())
    }

    fn compute(&self, values: &mut HashMap<ValueId, Array>) -> Result<()> {
        for (&id, unread) in self.order.iter().zip(&self.last_reads) {
            let node = self.graph.node(id)?;
            let failed = |source: Error| Error::Node {
                node: node.name.clone(),
                op: node.op.family().name().into(),
                source: Box::new(source),
            };
            let Op::Onnx(op) = &node.op else {
                return Err(failed(Error::Op("only operators of ONNX are interpreted".into())));
            };
            let operands = node.inputs.iter().map(|&v| self.read(v, values)).collect::<Result<Vec<_>>>()?;
            let results = evaluate(op, &operands).map_err(failed)?;
            values.extend(node.outputs.iter().copied().zip(results));
            for v in unread {
                values.remove(v);
            }
        }
        Ok(())
    }

    fn read(&self, v: ValueId, values: &HashMap<ValueId, Array>) -> Result<Array> {
        if let Some(array) = values.get(&v) {
            return Ok(array.clone());
        }
        let value = self.graph.value(v)?;
        let found = match value.source {
            Source::Param(_) => self.weights.get(&value.name).cloned(),
            _ => value.constant().cloned(),
        };
        found.ok_or_else(|| Error::Input { name: value.name.clone(), message: "it has no elements".into() })
    }
}

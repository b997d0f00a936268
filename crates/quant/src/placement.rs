//! Where a graph is quantized, and the graph with the nodes that do it.

use std::collections::HashMap;

use occam_graph::{Array, Graph, NodeId, Patch, Role, Source, Value, ValueId, Weights};

use crate::{Error, QParams, QScheme, Result};

/// What a rounded value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A parameter or constant: its range is known without data.
    Weight,
    /// Computed: its range comes from data.
    Activation,
}

/// A value that some readers see rounded.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// The value.
    pub value: ValueId,
    /// Node and input of those that read it rounded.
    pub readers: Vec<(NodeId, usize)>,
    /// The integers.
    pub scheme: QScheme,
    /// Whether it is a weight.
    pub kind: Kind,
    /// Index of the point whose grid this one has too, so that integers pass between them as they are.
    pub shares: Option<usize>,
    /// A grid that does not depend on data, such as that of what a sigmoid gives.
    pub fixed: Option<QParams>,
}

impl Point {
    /// How many grids it has in `value`, which is its own.
    ///
    /// # Errors
    /// The size along the scheme's axis is open, or there are no such groups.
    pub fn grids(&self, value: &Value) -> Result<usize> {
        let Some(axis) = self.scheme.ch_axis else { return Ok(1) };
        match (value.fact.known_shape(), value.fact.shape.get(axis).and_then(|d| d.known())) {
            (Some(shape), _) => Ok(self.scheme.runs(&shape)?.0),
            (None, Some(channels)) if self.scheme.group.is_none() => Ok(channels),
            _ => Err(Error::Shape(format!("`{}` is {}: its axis {axis} is open", value.name, value.fact))),
        }
    }
}

/// All values of a graph that are rounded.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Placement {
    /// In the order of the graph.
    pub points: Vec<Point>,
}

/// A node that rounds.
#[derive(Debug, Clone, PartialEq)]
pub struct Quant {
    /// The [`FakeQuant`](occam_graph::ops::FakeQuant) node.
    pub node: NodeId,
    /// Its name: `<value>.quant`, and a number where several round one value.
    pub name: String,
    /// The parameters with its grid: `<name>.scale` and `<name>.zero_point`.
    pub scale: ValueId,
    /// See [`Quant::scale`].
    pub zero_point: ValueId,
}

impl Placement {
    /// Index of the point that the grid of point `i` comes from.
    pub fn root(&self, i: usize) -> usize {
        let mut at = i;
        // A chain is no longer than the list.
        for _ in 0..self.points.len() {
            match self.points.get(at).and_then(|p| p.shares) {
                Some(next) => at = next,
                None => break,
            }
        }
        at
    }

    /// Adds a [`FakeQuant`](occam_graph::ops::FakeQuant) node for each point, which its readers read in place of the value. Grids are parameters
    /// (buffers) of the graph: scale 1 and zero point 0 until somebody sets them, or those that are fixed.
    ///
    /// # Errors
    /// A point is not of this graph, or its scheme has no integers.
    pub fn insert(&self, graph: &mut Graph, weights: &mut Weights) -> Result<Vec<Quant>> {
        let mut taken: HashMap<String, usize> = HashMap::new();
        let mut names = Vec::with_capacity(self.points.len());
        let mut patch = Patch::new("quantize");
        for point in &self.points {
            point.scheme.check()?;
            let value = graph.value(point.value)?;
            let count = point.grids(value)?;
            let times = taken.entry(value.name.clone()).or_default();
            *times += 1;
            let base = format!("{}.quant", value.name);
            let name = if *times == 1 { base } else { format!("{base}{times}") };
            let fact = occam_graph::Fact::f32([count]);
            let given = [format!("{name}.scale"), format!("{name}.zero_point")];
            let scale = patch.param(&given[0], fact.clone(), Role::Buffer);
            let zero = patch.param(&given[1], fact, Role::Buffer);
            let scheme = &point.scheme;
            let op = scheme.fake_quant();
            let rounded = patch.node(&name, op, [point.value.into(), scale, zero]);
            for &(node, input) in &point.readers {
                patch.rewire(node, input, rounded);
            }
            let (scales, zeros) = match &point.fixed {
                Some(grid) => {
                    (grid.scale.clone(), grid.zero_point.iter().map(|&z| z as f32).collect::<Vec<_>>())
                }
                None => (vec![1.0; count], vec![0.0; count]),
            };
            weights.insert(given[0].clone(), Array::from_f32([count], scales)?);
            weights.insert(given[1].clone(), Array::from_f32([count], zeros)?);
            names.push(name);
        }
        patch.apply(graph)?;
        names
            .into_iter()
            .map(|name| {
                let node = graph.find_node(&name).ok_or_else(|| lost(&name))?;
                match graph.node(node)?.inputs.as_slice() {
                    &[_, scale, zero_point] => Ok(Quant { node, name, scale, zero_point }),
                    _ => Err(lost(&name)),
                }
            })
            .collect()
    }
}

fn lost(name: &str) -> Error {
    Error::Other(format!("the node `{name}` was not added"))
}

impl Quant {
    /// Sets its grid.
    ///
    /// # Errors
    /// The numbers do not fit its axis.
    pub fn set(&self, graph: &Graph, weights: &mut Weights, grid: &QParams) -> Result<()> {
        let count = grid.scale.len();
        let zeros = grid.zero_point.iter().map(|&z| z as f32).collect();
        for (id, numbers) in [(self.scale, grid.scale.clone()), (self.zero_point, zeros)] {
            let value = graph.value(id)?;
            if value.fact.known_shape() != Some(vec![count]) {
                return Err(Error::Shape(format!(
                    "{count} numbers do not fit `{}` {}",
                    value.name, value.fact
                )));
            }
            weights.insert(value.name.clone(), Array::from_f32([count], numbers)?);
        }
        Ok(())
    }

    /// Its grid.
    ///
    /// # Errors
    /// It has none among the weights.
    pub fn get(&self, graph: &Graph, weights: &Weights) -> Result<QParams> {
        let numbers = |id: ValueId| -> Result<Vec<f32>> {
            let value = graph.value(id)?;
            let array = match &value.source {
                Source::Param(_) => weights.get(&value.name),
                _ => value.constant(),
            };
            let array = array.ok_or_else(|| Error::Other(format!("`{}` is not there", value.name)))?;
            Ok(array.as_f32()?.to_vec())
        };
        Ok(QParams {
            scale: numbers(self.scale)?,
            zero_point: numbers(self.zero_point)?.into_iter().map(|z| z as i32).collect(),
        })
    }
}

/// All [`FakeQuant`](occam_graph::ops::FakeQuant) nodes of a graph, in order.
///
/// # Errors
/// The graph breaks a rule.
pub fn quants(graph: &Graph) -> Result<Vec<Quant>> {
    let mut found = Vec::new();
    for id in graph.order()? {
        let node = graph.node(id)?;
        if let (occam_graph::Op::FakeQuant(_), &[_, scale, zero_point]) = (&node.op, node.inputs.as_slice()) {
            found.push(Quant { node: id, name: node.name.clone(), scale, zero_point });
        }
    }
    Ok(found)
}

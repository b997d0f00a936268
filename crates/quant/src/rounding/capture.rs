//! Some columns of what a layer reads in the rounded model, with what it gives in the float model.

use std::sync::Arc;

use occam_data::Seed;
use occam_data::streams::Draw;
use occam_engine::{Device, Executor, Params, Tensor};
use occam_graph::{Graph, Weights};

use super::hessian::Window;
use crate::passes::{Batches, Layer, request, subgraph};
use crate::{Error, Result};

/// Columns drawn of all positions.
#[derive(Debug, Default)]
pub(crate) struct Columns {
    /// By group, a row of the layer's inputs for each column.
    pub(crate) x: Vec<Vec<f32>>,
    /// A row of all outputs for each column.
    pub(crate) y: Vec<f32>,
    /// How many.
    pub(crate) count: usize,
}

/// What runs a part of a graph.
pub(crate) struct Part {
    executor: Executor,
    params: occam_engine::Bound,
    rounded: bool,
}

impl Part {
    /// From the graph's inputs to `value`.
    pub(crate) fn to(
        graph: &Graph,
        weights: &Weights,
        value: occam_graph::ValueId,
        rounded: bool,
    ) -> Result<Self> {
        let part = subgraph(graph, graph.inputs(), &[value])?;
        let params = Params::new(&part, weights, &Device::cpu())?.constants();
        Ok(Self { executor: Executor::new(Arc::new(part))?, params, rounded })
    }

    pub(crate) fn run(&self, inputs: &[Tensor]) -> Result<(Vec<f32>, Vec<usize>)> {
        let out = self.executor.run(&self.params, inputs, &request(self.rounded))?;
        let out = out.outputs.first().ok_or_else(|| Error::Other("a part gives nothing".into()))?;
        Ok((out.to_f32()?, out.shape()))
    }
}

/// How many images there are: the first axis of what a model reads first.
pub(crate) fn count_images(data: &dyn Batches) -> Result<usize> {
    let mut images = 0;
    data.each(&mut |inputs| {
        images += inputs.first().map_or(0, |x| x.shape().first().copied().unwrap_or(0));
        Ok(())
    })?;
    Ok(images)
}

/// Draws about `columns` positions of a layer evenly over `images` images.
pub(crate) fn capture(
    graph: &Graph,
    weights: &Weights,
    exact: &Weights,
    layer: &Layer,
    data: &dyn Batches,
    (images, columns): (usize, usize),
    seed: Seed,
) -> Result<Columns> {
    let read = Part::to(graph, weights, layer.x, true)?;
    let give = Part::to(graph, exact, layer.y, false)?;
    let mut found = Columns { x: vec![Vec::new(); layer.groups()], ..Columns::default() };
    let mut rng = seed.stream("columns", &[layer.node.index() as u64]);
    data.each(&mut |inputs| {
        let (x, shape) = read.run(inputs)?;
        let (y, of_y) = give.run(inputs)?;
        let n = of_y.first().copied().unwrap_or(0);
        let outputs = layer.outputs();
        if n == 0 || outputs == 0 {
            return Ok(());
        }
        let positions = y.len() / (n * outputs).max(1);
        let wanted = columns.div_ceil(images.max(1)).min(positions);
        let kernel = [2, 3].map(|i| layer.shape.get(i).copied().unwrap_or(1));
        let window = layer.conv.map(|conv| Window::new(&conv, kernel, &shape));
        let mut places: Vec<usize> = (0..positions).collect();
        for image in 0..n {
            for k in 0..wanted {
                // The beginning of a shuffle.
                let other = k + rng.below(positions - k);
                places.swap(k, other);
                let Some(&place) = places.get(k) else { continue };
                let at = image * positions + place;
                match &window {
                    Some(window) => {
                        for (group, own) in found.x.iter_mut().enumerate() {
                            window.gather(&x, group, at, &mut |v| own.push(v));
                        }
                        let plane = |o: usize| y.get((image * outputs + o) * positions + place);
                        found.y.extend((0..outputs).map(|o| plane(o).copied().unwrap_or(0.0)));
                    }
                    None => {
                        let row = layer.row();
                        if let Some(own) = found.x.first_mut() {
                            own.extend(x.get(at * row..(at + 1) * row).unwrap_or_default());
                        }
                        found.y.extend(y.get(at * outputs..(at + 1) * outputs).unwrap_or_default());
                    }
                }
                found.count += 1;
            }
        }
        Ok(())
    })?;
    let whole = found.x.iter().all(|x| x.len() == found.count * layer.row());
    if found.count == 0 || !whole || found.y.len() != found.count * layer.outputs() {
        return Err(Error::Unobserved { name: layer.name.clone() });
    }
    Ok(found)
}

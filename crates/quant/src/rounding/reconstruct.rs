//! Roundings of whole blocks that keep what the block gives (Li et al., 2021, arXiv:2102.05426).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use occam_data::Seed;
use occam_data::streams::Draw;
use occam_engine::{Bound, Device, Executor, Params, Request, Tensor};
use occam_graph::ops::GridLearning;
use occam_graph::{Graph, NodeId, Op, Patch, Source, ValueId, Weights, matches};

use super::capture::{Part, count_images};
use super::learn::{Rounding, Schedule};
use crate::passes::{Batches, Layer, Report, request, subgraph};
use crate::{Error, Result};

/// How [`reconstruct_blocks`] works.
#[derive(Debug, Clone, PartialEq)]
pub struct Reconstruct {
    /// How roundings learn.
    pub schedule: Schedule,
    /// Images of a step.
    pub batch: usize,
    /// Bytes that what a block reads and gives may take: so many images are used, the first of the data.
    pub memory: usize,
    /// Names of roundings of activations whose scale learns too, by LSQ's gradients. Those that share a grid with others must
    /// not be among them.
    pub scales: Vec<String>,
    /// Learning rate of these scales.
    pub scale_rate: f32,
    /// Names of layers, with `*`, whose rounding stays to nearest.
    pub skip: Vec<String>,
    /// Seed of what is drawn.
    pub seed: u64,
}

impl Default for Reconstruct {
    fn default() -> Self {
        Self {
            schedule: Schedule::default(),
            batch: 32,
            memory: 256 << 20,
            scales: Vec::new(),
            scale_rate: 4e-5,
            skip: Vec::new(),
            seed: 0,
        }
    }
}

/// A block: from one value to another, through which everything between them flows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    from: ValueId,
    to: ValueId,
    pub(super) nodes: Vec<NodeId>,
}

/// The blocks of a graph with one input: it is cut wherever a single value separates what comes before from what comes after,
/// and what has no layer belongs to the block before it. In residual networks these are the residual blocks.
pub(super) fn blocks(graph: &Graph) -> Result<Vec<Block>> {
    let &[input] = graph.inputs() else { return Ok(Vec::new()) };
    let order = graph.order()?;
    let mut depends: HashSet<ValueId> = HashSet::from([input]);
    let mut reads: HashMap<ValueId, usize> = HashMap::new();
    let mut walk = Vec::new();
    for &id in &order {
        let node = graph.node(id)?;
        if node.inputs.iter().any(|v| depends.contains(v)) {
            depends.extend(&node.outputs);
            walk.push(id);
        }
    }
    for &id in &walk {
        for v in graph.node(id)?.inputs.iter().filter(|v| depends.contains(v)) {
            *reads.entry(*v).or_default() += 1;
        }
    }
    for (_, v) in graph.outputs() {
        *reads.entry(*v).or_default() += 1;
    }
    let mut open: HashSet<ValueId> = HashSet::from([input]);
    let mut found: Vec<Block> = Vec::new();
    let (mut from, mut nodes) = (input, Vec::new());
    for &id in &walk {
        let node = graph.node(id)?;
        nodes.push(id);
        for v in &node.inputs {
            if let Some(left) = reads.get_mut(v) {
                *left -= 1;
                if *left == 0 {
                    open.remove(v);
                }
            }
        }
        open.extend(node.outputs.iter().filter(|v| reads.get(v).is_some_and(|&n| n > 0)));
        let mut all = open.iter();
        if let (Some(&to), None) = (all.next(), all.next()) {
            let own = std::mem::take(&mut nodes);
            let mut layers = false;
            for &n in &own {
                layers |= Layer::of(graph, n)?.is_some();
            }
            match found.last_mut() {
                Some(last) if !layers => {
                    last.nodes.extend(own);
                    last.to = to;
                }
                // What comes before the first layer is part of no block.
                None if !layers => {}
                _ => found.push(Block { from, to, nodes: own }),
            }
            from = to;
        }
    }
    Ok(found)
}

/// Learns, block by block, which way the weights of all layers of a block are rounded, so that what the block gives in the
/// rounded model is what it gives in the float model: the sum over channels, mean over images and places, of squared
/// differences. A block's weights learn together, so errors of one layer can make up for another's.
///
/// Weights are left on their grids. `reference` has those of the float model. A block whose rounding to nearest is better on
/// the images keeps it.
///
/// # Errors
/// The graph cannot be run on the data, there is none, or a weight is missing.
pub fn reconstruct_blocks(
    graph: &mut Graph,
    weights: &mut Weights,
    reference: &Weights,
    data: &dyn Batches,
    options: &Reconstruct,
) -> Result<Report> {
    let mut exact = weights.clone();
    for (name, array) in &mut exact {
        if let Some(before) = reference.get(name) {
            *array = before.clone();
        }
    }
    let images = count_images(data)?;
    let mut report = Report::default();
    if graph.inputs().len() != 1 {
        report.skip("model", "blocks need a model with one input");
        return Ok(report);
    }
    let mut done = Vec::new();
    for block in blocks(graph)? {
        let mut learned = Vec::new();
        for &id in &block.nodes {
            let Some(layer) = Layer::of(graph, id)? else { continue };
            let Some((op, grid)) = layer.grid(graph, weights)? else {
                report.skip(&layer.name, "its weight is not rounded");
                continue;
            };
            if let Some(pattern) = options.skip.iter().find(|p| matches(p, &layer.name)) {
                report.skip(&layer.name, format!("`{pattern}` is to be left"));
                continue;
            }
            if done.contains(&layer.weight) {
                report.skip(&layer.name, "its weight is that of another layer");
                continue;
            }
            done.push(layer.weight);
            match Rounding::new(&layer.floats(graph, weights)?, &op, &grid) {
                Some(rounding) => learned.push((layer, rounding)),
                None => report.skip(&layer.name, "its grids do not lie along its outputs"),
            }
        }
        if learned.is_empty() {
            continue;
        }
        let name = graph.value(block.to)?.name.clone();
        let problem = Problem::new(graph, weights, &exact, &block, data, images, options)?;
        let [near, own] = problem.learn(graph, weights, learned, options)?;
        report.did(name, format!("squared error {own:.4e}, to nearest {near:.4e}"));
    }
    Ok(report)
}

/// What a block reads and gives, image by image.
struct Problem {
    part: Graph,
    x: Vec<f32>,
    y: Vec<f32>,
    of_x: Vec<usize>,
    of_y: Vec<usize>,
    count: usize,
    /// Images of a step.
    batch: usize,
    /// Places that the loss is a mean over, beside images.
    places: usize,
}

/// A rounding of activations whose scale learns.
struct Scale {
    name: String,
    value: Vec<f32>,
    moments: Vec<[f32; 2]>,
}

impl Problem {
    fn new(
        graph: &Graph,
        weights: &Weights,
        exact: &Weights,
        block: &Block,
        data: &dyn Batches,
        images: usize,
        options: &Reconstruct,
    ) -> Result<Self> {
        let read = Part::to(graph, weights, block.from, true)?;
        let give = Part::to(graph, exact, block.to, false)?;
        let mut part = subgraph(graph, &[block.from], &[block.to])?;
        let mut patch = Patch::new("learned_scales");
        for (id, node) in part.nodes() {
            if let (Op::FakeQuant(op), true) = (&node.op, options.scales.contains(&node.name)) {
                let mut op = *op;
                op.learning = GridLearning::LearnedScaled;
                patch.set_op(id, op);
            }
        }
        patch.apply(&mut part)?;
        let mut found = Self {
            part,
            x: Vec::new(),
            y: Vec::new(),
            of_x: Vec::new(),
            of_y: Vec::new(),
            count: 0,
            batch: options.batch.max(1),
            places: 1,
        };
        let mut limit = usize::MAX;
        data.each(&mut |inputs| {
            if found.count >= limit {
                return Ok(());
            }
            let (x, of_x) = read.run(inputs)?;
            let (y, of_y) = give.run(inputs)?;
            let n = inputs.first().and_then(|i| i.shape().first().copied()).unwrap_or(0);
            if n == 0 || of_x.first() != Some(&n) || of_y.first() != Some(&n) {
                let name = &graph.value(block.to)?.name;
                return Err(Error::Shape(format!("`{name}` is not one for each image")));
            }
            let bytes = (x.len() + y.len()) / n * size_of::<f32>();
            // A model of a fixed batch needs a whole one.
            limit = (options.memory / bytes.max(1)).max(n).min(images.max(n));
            found.places = if of_y.len() == 4 { of_y.iter().skip(2).product() } else { 1 };
            if of_y.len() == 3 {
                found.places = of_y.get(1).copied().unwrap_or(1);
            }
            let take = n.min(limit - found.count);
            found.x.extend_from_slice(x.get(..x.len() / n * take).unwrap_or_default());
            found.y.extend_from_slice(y.get(..y.len() / n * take).unwrap_or_default());
            (found.of_x, found.of_y) = (of_x, of_y);
            found.count += take;
            Ok(())
        })?;
        if found.count == 0 {
            return Err(Error::Unobserved { name: graph.value(block.to)?.name.clone() });
        }
        let fixed = graph.value(block.from)?.fact.shape.first().and_then(occam_graph::Dim::known);
        found.batch = fixed.unwrap_or_else(|| found.batch.min(found.count));
        Ok(found)
    }

    fn rows(&self, all: &[f32], shape: &[usize], picked: &[usize]) -> Result<Tensor> {
        let row: usize = shape.iter().skip(1).product();
        let mut rows = Vec::with_capacity(row * picked.len());
        for &i in picked {
            rows.extend_from_slice(all.get(i * row..(i + 1) * row).unwrap_or_default());
        }
        let shape: Vec<usize> = std::iter::once(picked.len()).chain(shape.iter().skip(1).copied()).collect();
        Ok(Tensor::from_f32(&shape, rows, &Device::cpu())?)
    }

    /// The loss of some images with weights fed behind their roundings.
    fn loss(
        &self,
        executor: &Executor,
        bound: &Bound,
        feeds: HashMap<ValueId, Tensor>,
        picked: &[usize],
    ) -> Result<Tensor> {
        let x = self.rows(&self.x, &self.of_x, picked)?;
        let y = self.rows(&self.y, &self.of_y, picked)?;
        let request = Request { feeds, ..request(true) };
        let out = executor.run(bound, &[x], &request)?.outputs;
        let out = out.first().ok_or_else(|| Error::Other("a block gives nothing".into()))?;
        let difference = out.sub(&y)?;
        let sum = difference.mul(&difference)?.sum()?;
        Ok(sum.scale(1.0 / (picked.len() * self.places).max(1) as f64)?)
    }

    /// The errors of rounding to nearest and of what was chosen, on all images.
    fn learn(
        &self,
        graph: &mut Graph,
        weights: &mut Weights,
        mut learned: Vec<(Layer, Rounding)>,
        options: &Reconstruct,
    ) -> Result<[f64; 2]> {
        let executor = Executor::new(Arc::new(self.part.clone()))?;
        let mut bound = Params::new(&self.part, weights, &Device::cpu())?.constants();
        let mut places = Vec::with_capacity(learned.len());
        for (layer, _) in &learned {
            let quant = layer.quant.as_ref().and_then(|q| self.part.find_node(&q.name));
            let lost = || Error::Other(format!("`{}` is not in its block", layer.name));
            let node = self.part.node(quant.ok_or_else(lost)?)?;
            places.push(node.outputs.first().copied().ok_or_else(lost)?);
        }
        let mut scales = Vec::new();
        for (_, node) in self.part.nodes() {
            if !options.scales.contains(&node.name) || !matches!(node.op, Op::FakeQuant(_)) {
                continue;
            }
            if let Some(value) = node.inputs.get(1).map(|&v| self.part.value(v)).transpose()?
                && matches!(value.source, Source::Param(_))
                && let Some(tensor) = bound.get(&value.name)
            {
                let numbers = tensor.to_f32()?;
                let moments = vec![[0.0; 2]; numbers.len()];
                scales.push(Scale { name: value.name.clone(), value: numbers, moments });
            }
        }
        let device = Device::cpu();
        let whole = |bound: &Bound, chosen: Option<&[Vec<f32>]>| -> Result<f64> {
            let mut feeds = HashMap::new();
            for (((layer, _), &place), w) in learned.iter().zip(&places).zip(chosen.unwrap_or_default()) {
                feeds.insert(place, Tensor::from_f32(&layer.shape, w.clone(), &device)?);
            }
            let all: Vec<usize> = (0..self.count).collect();
            let (mut sum, mut seen) = (0.0, 0usize);
            for picked in all.chunks(self.batch).filter(|p| p.len() == self.batch || self.batch > self.count)
            {
                let loss = self.loss(&executor, bound, feeds.clone(), picked)?;
                sum += f64::from(loss.item()?) * picked.len() as f64;
                seen += picked.len();
            }
            Ok(sum / seen.max(1) as f64)
        };
        let near = whole(&bound, None)?;
        let first = learned.first().map_or(0, |(l, _)| l.node.index() as u64);
        let mut rng = Seed(options.seed).stream("reconstruct", &[first]);
        let mut learning: Vec<Rounding> = learned.iter().map(|(_, r)| r.clone()).collect();
        for step in 0..options.schedule.iterations {
            let picked: Vec<usize> = (0..self.batch).map(|_| rng.below(self.count)).collect();
            let mut feeds = HashMap::new();
            let mut leaves = Vec::with_capacity(learning.len());
            for (((layer, _), rounding), &place) in learned.iter().zip(&learning).zip(&places) {
                let leaf = Tensor::from_f32(&layer.shape, rounding.soft(), &device)?.require_grad();
                leaves.push(leaf.clone());
                feeds.insert(place, leaf);
            }
            let mut tracked = Vec::with_capacity(scales.len());
            for scale in &scales {
                let leaf = Tensor::from_f32(&[scale.value.len()], scale.value.clone(), &device)?;
                let leaf = leaf.require_grad();
                bound.insert(scale.name.clone(), leaf.clone());
                tracked.push(leaf);
            }
            let mut gradients = self.loss(&executor, &bound, feeds, &picked)?.backward()?;
            let beta = options.schedule.beta_at(step);
            for (rounding, leaf) in learning.iter_mut().zip(&leaves) {
                if let Some(dw) = gradients.take(leaf) {
                    rounding.step(&dw.to_f32()?, beta, &options.schedule);
                }
            }
            for (scale, leaf) in scales.iter_mut().zip(&tracked) {
                if let Some(gradient) = gradients.take(leaf) {
                    scale.step(&gradient.to_f32()?, step, options.scale_rate);
                }
            }
        }
        for scale in &scales {
            let tensor = Tensor::from_f32(&[scale.value.len()], scale.value.clone(), &device)?;
            bound.insert(scale.name.clone(), tensor);
        }
        let hard: Vec<Vec<f32>> = learning.iter().map(Rounding::hard).collect();
        let own = whole(&bound, Some(&hard))?;
        if own < near {
            for ((layer, _), w) in learned.iter_mut().zip(hard) {
                layer.set_weight(graph, weights, w)?;
            }
            for scale in scales {
                let count = scale.value.len();
                weights.insert(scale.name, occam_graph::Array::from_f32([count], scale.value)?);
            }
            return Ok([near, own]);
        }
        Ok([near, near])
    }
}

impl Scale {
    /// One step of Adam; a scale stays above 0.
    fn step(&mut self, gradient: &[f32], step: usize, rate: f32) {
        let t = step as i32 + 1;
        let (c1, c2) = (1.0 - 0.9f32.powi(t), 1.0 - 0.999f32.powi(t));
        for ((s, m), g) in self.value.iter_mut().zip(&mut self.moments).zip(gradient) {
            m[0] += 0.1 * (g - m[0]);
            m[1] += 0.001 * (g * g - m[1]);
            *s = (*s - rate * (m[0] / c1) / ((m[1] / c2).sqrt() + 1e-8)).max(crate::EPS);
        }
    }
}

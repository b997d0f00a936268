//! Roundings of one layer after the other that keep what the layer gives (Nagel et al., 2020, arXiv:2004.10568).

use occam_data::Seed;
use occam_data::streams::Draw;
use occam_graph::ops::Activation;
use occam_graph::{Graph, Op, Weights, matches};

use super::capture::{Columns, capture, count_images};
use super::learn::{Rounding, Schedule};
use super::matrix::{View, product_f32};
use crate::Result;
use crate::passes::{Batches, Layer, Report, sole_reader};

/// How [`ada_round`] works.
#[derive(Debug, Clone, PartialEq)]
pub struct AdaRound {
    /// How roundings learn.
    pub schedule: Schedule,
    /// Columns of a step: pixels under the window of a convolution, tokens of a linear layer.
    pub batch: usize,
    /// Columns that are drawn of all data for a layer, at most.
    pub columns: usize,
    /// Bytes that they take, at most.
    pub memory: usize,
    /// Names of layers, with `*`, whose rounding stays to nearest.
    pub skip: Vec<String>,
    /// Seed of what is drawn.
    pub seed: u64,
}

impl Default for AdaRound {
    fn default() -> Self {
        Self {
            schedule: Schedule::default(),
            batch: 256,
            columns: 1 << 14,
            memory: 128 << 20,
            skip: Vec::new(),
            seed: 0,
        }
    }
}

/// Learns, layer by layer in the graph's order, which way each weight is rounded, so that `Σ (f(Ŵ x̂ + b) − f(W x + b))²` over
/// outputs, mean over columns, is least: `x̂` is what the layer reads in the rounded model so far, `W x + b` what it gives in
/// the float model, `f` the ReLU or ReLU6 behind it, where there is one.
///
/// Weights are left on their grids. `reference` has those of the float model; grids and biases are the graph's own. A layer
/// whose rounding to nearest is better on the columns keeps it. Memory holds the columns of one layer at a time.
///
/// # Errors
/// The graph cannot be run on the data, there is none, or a weight is missing.
pub fn ada_round(
    graph: &mut Graph,
    weights: &mut Weights,
    reference: &Weights,
    data: &dyn Batches,
    options: &AdaRound,
) -> Result<Report> {
    let mut exact = weights.clone();
    for (name, array) in &mut exact {
        if let Some(before) = reference.get(name) {
            *array = before.clone();
        }
    }
    let images = count_images(data)?;
    let mut report = Report::default();
    let mut done = Vec::new();
    for mut layer in Layer::all(graph)? {
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
        let w = layer.floats(graph, weights)?;
        let Some(rounding) = Rounding::new(&w, &op, &grid) else {
            report.skip(&layer.name, "its grids do not lie along its outputs");
            continue;
        };
        let clip = activation(graph, &layer)?;
        let bytes = (layer.groups() * layer.row() + layer.outputs()) * size_of::<f32>();
        let columns = options.columns.min(options.memory / bytes.max(1)).max(options.batch);
        let seed = Seed(options.seed);
        let columns = capture(graph, weights, &exact, &layer, data, (images, columns), seed)?;
        let bias = layer.bias(graph, weights)?;
        let problem = Problem { columns: &columns, bias: &bias, clip, layer: &layer };
        let nearest: Vec<f32> = nearest(&w, &op, &grid);
        let learned = learn(&problem, rounding, options);
        let (near, own) = (problem.error(&nearest), problem.error(&learned));
        report.did(&layer.name, format!("squared error {own:.4e}, to nearest {near:.4e}"));
        layer.set_weight(graph, weights, if own < near { learned } else { nearest })?;
    }
    Ok(report)
}

/// Weights rounded to nearest.
fn nearest(w: &[f32], op: &occam_graph::ops::FakeQuant, grid: &crate::QParams) -> Vec<f32> {
    let row = (w.len() / grid.scale.len().max(1)).max(1);
    let mut out = Vec::with_capacity(w.len());
    for (w, (&s, &z)) in w.chunks(row).zip(grid.scale.iter().zip(&grid.zero_point)) {
        let (low, high, z) = (op.low as f32, op.high as f32, z as f32);
        out.extend(w.iter().map(|w| s * (((w / s).round_ties_even() + z).clamp(low, high) - z)));
    }
    out
}

/// What the activation behind a layer clips to.
fn activation(graph: &Graph, layer: &Layer) -> Result<[f32; 2]> {
    let none = [f32::NEG_INFINITY, f32::INFINITY];
    let Some((id, _)) = sole_reader(graph, layer.y) else { return Ok(none) };
    Ok(match &graph.node(id)?.op {
        Op::Activation(Activation::Relu) => [0.0, f32::INFINITY],
        Op::Activation(Activation::Relu6) => [0.0, 6.0],
        _ => none,
    })
}

/// What a layer's roundings are to keep.
struct Problem<'a> {
    columns: &'a Columns,
    bias: &'a [f32],
    clip: [f32; 2],
    layer: &'a Layer,
}

impl Problem<'_> {
    /// Of the columns `picked`: the mean over them of the squared error, and the gradient of the weight where `dw` is given.
    fn pass(&self, w: &[f32], picked: &[usize], mut dw: Option<&mut [f32]>) -> f64 {
        let (groups, row, outputs) = (self.layer.groups(), self.layer.row(), self.layer.outputs());
        let own = outputs / groups.max(1);
        let n = picked.len();
        let [low, high] = self.clip;
        let mut x = Vec::with_capacity(n * row);
        let mut y = vec![0.0f32; n * own];
        let mut total = 0.0f64;
        for (g, all) in self.columns.x.iter().enumerate() {
            x.clear();
            for &i in picked {
                x.extend_from_slice(all.get(i * row..(i + 1) * row).unwrap_or_default());
            }
            let part = g * own * row..(g + 1) * own * row;
            let of_w = w.get(part.clone()).and_then(|w| View::new(w, own, row, row));
            let (Some(of_x), Some(of_w)) = (View::new(&x, n, row, row), of_w) else { continue };
            product_f32(of_x, of_w.t(), &mut y, own, [0.0, 1.0]);
            let bias = self.bias.get(g * own..(g + 1) * own).unwrap_or_default();
            for (y, &i) in y.chunks_mut(own.max(1)).zip(picked) {
                let at = i * outputs + g * own;
                let wanted = self.columns.y.get(at..at + own).unwrap_or_default();
                for ((y, b), t) in y.iter_mut().zip(bias).zip(wanted) {
                    let z = *y + b;
                    let error = z.clamp(low, high) - t.clamp(low, high);
                    total += f64::from(error) * f64::from(error);
                    // Nothing passes back from where the activation clips.
                    *y = if z > low && z < high { 2.0 * error / n as f32 } else { 0.0 };
                }
            }
            if let Some(dw) = dw.as_deref_mut().and_then(|d| d.get_mut(part))
                && let Some(dy) = View::new(&y, n, own, own)
            {
                product_f32(dy.t(), of_x, dw, row, [0.0, 1.0]);
            }
        }
        total / n.max(1) as f64
    }

    /// The mean over all columns of the squared error.
    fn error(&self, w: &[f32]) -> f64 {
        let all: Vec<usize> = (0..self.columns.count).collect();
        let part = 2048;
        let sum = all.chunks(part).map(|p| self.pass(w, p, None) * p.len() as f64).sum::<f64>();
        sum / all.len().max(1) as f64
    }
}

fn learn(problem: &Problem<'_>, mut rounding: Rounding, options: &AdaRound) -> Vec<f32> {
    let mut rng = Seed(options.seed).stream("ada_round", &[problem.layer.node.index() as u64]);
    let count = problem.columns.count;
    let mut dw = vec![0.0f32; rounding.v().len()];
    let mut picked = vec![0usize; options.batch.clamp(1, count.max(1))];
    for step in 0..options.schedule.iterations {
        picked.iter_mut().for_each(|i| *i = rng.below(count));
        let soft = rounding.soft();
        problem.pass(&soft, &picked, Some(&mut dw));
        rounding.step(&dw, options.schedule.beta_at(step), &options.schedule);
    }
    rounding.hard()
}

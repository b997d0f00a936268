//! Mean and deviation of what layers give, by output channel.

use indexmap::IndexMap;
use occam_graph::{Graph, Weights};

use super::{Batches, Eye, Layer, watch};
use crate::Result;

/// Of every output channel.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Moments {
    /// Mean.
    pub mean: Vec<f32>,
    /// Standard deviation, at least 0.
    pub deviation: Vec<f32>,
}

/// Moments of the results of layers, before any activation, by the layers' names.
pub type Statistics = IndexMap<String, Moments>;

/// Sums of what passes, by channel.
#[derive(Debug, Default)]
pub(super) struct Sums {
    axis: usize,
    count: u64,
    sum: Vec<f64>,
    squares: Vec<f64>,
}

impl Sums {
    pub(super) fn along(axis: usize) -> Self {
        Self { axis, ..Self::default() }
    }

    pub(super) fn mean(&self) -> Vec<f32> {
        self.sum.iter().map(|s| (s / self.count.max(1) as f64) as f32).collect()
    }

    fn moments(&self) -> Moments {
        let n = self.count.max(1) as f64;
        let deviation = |(s, q): (&f64, &f64)| (q / n - (s / n) * (s / n)).max(0.0).sqrt() as f32;
        Moments { mean: self.mean(), deviation: self.sum.iter().zip(&self.squares).map(deviation).collect() }
    }
}

impl Eye for Sums {
    fn see(&mut self, x: &[f32], shape: &[usize]) -> Result<()> {
        let Some(&channels) = shape.get(self.axis).filter(|&&c| c > 0) else { return Ok(()) };
        let inner: usize = shape.iter().skip(self.axis + 1).product::<usize>().max(1);
        self.sum.resize(channels, 0.0);
        self.squares.resize(channels, 0.0);
        for (i, row) in x.chunks(inner).enumerate() {
            let (mut sum, mut squares) = (0.0f64, 0.0f64);
            for &v in row {
                sum += f64::from(v);
                squares += f64::from(v) * f64::from(v);
            }
            if let (Some(s), Some(q)) = (self.sum.get_mut(i % channels), self.squares.get_mut(i % channels)) {
                *s += sum;
                *q += squares;
            }
        }
        self.count += (x.len() / channels) as u64;
        Ok(())
    }
}

/// Runs the graph in floats and measures the moments of all layers' results: for models whose batch normalization was folded
/// when they were exported.
///
/// # Errors
/// The graph cannot be run on the data.
pub fn measure(graph: &Graph, weights: &Weights, data: &dyn Batches) -> Result<Statistics> {
    let layers = Layer::all(graph)?;
    let mut eyes = Vec::with_capacity(layers.len());
    for layer in &layers {
        eyes.push((layer.y, Sums::along(layer.axis(graph)?)));
    }
    let seen = watch(graph, weights, eyes, false, data)?;
    Ok(layers.into_iter().zip(seen).map(|(l, s)| (l.name, s.moments())).collect())
}

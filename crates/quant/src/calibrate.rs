//! Ranges of activations: a graph is run in floats on data, and what its [`FakeQuant`](occam_graph::ops::FakeQuant) nodes
//! would round is observed as it passes. Nothing is kept of it, so memory does not grow with the amount of data.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use occam_engine::{Bound, Device, Executor, Grid, Grids, Mode, Params, Request, Tensor};
use occam_graph::{Graph, Weights};
use occam_kernels::summary::{self, Summary};

use crate::observers::{Observer, is_finite};
use crate::{Error, QParams, Result};

/// What was seen of one value.
#[derive(Debug)]
pub struct Seen {
    /// Its observer.
    pub observer: Box<dyn Observer>,
    /// Where means of channels are wanted: the axis, sums by channel, and how many elements of each were added.
    pub means: Option<Means>,
}

/// Means of channels.
#[derive(Debug, Clone, PartialEq)]
pub struct Means {
    axis: usize,
    sums: Vec<f64>,
    count: u64,
}

impl Means {
    /// Those along `axis`.
    pub fn along(axis: usize) -> Self {
        Self { axis, sums: Vec::new(), count: 0 }
    }

    /// Takes a tensor into account; tells of its runs within a channel where those are more than single elements.
    fn add(&mut self, x: &[f32], shape: &[usize]) -> Vec<Summary> {
        let Some(&channels) = shape.get(self.axis).filter(|&&c| c > 0) else { return Vec::new() };
        self.count += (x.len() / channels) as u64;
        let inner: usize = shape.iter().skip(self.axis + 1).product();
        if self.sums.len() != channels {
            (self.sums, self.count) = (vec![0.0; channels], (x.len() / channels) as u64);
        }
        if inner == 1 {
            for row in x.chunks_exact(channels) {
                self.sums.iter_mut().zip(row).for_each(|(s, &v)| *s += f64::from(v));
            }
            return Vec::new();
        }
        let rows = summary::rows(x, inner.max(1));
        // Added in order, so that threads change nothing.
        for (i, row) in rows.iter().enumerate() {
            if let Some(sum) = self.sums.get_mut(i % channels) {
                *sum += f64::from(row.sum);
            }
        }
        rows
    }

    /// The mean of every channel; empty where nothing was seen.
    pub fn get(&self) -> Vec<f32> {
        self.sums.iter().map(|s| (s / self.count.max(1) as f64) as f32).collect()
    }
}

/// Who watches: observers by the name of their node.
#[derive(Debug, Default)]
struct Watch {
    seen: HashMap<String, Arc<Mutex<Seen>>>,
    failed: Mutex<Option<Error>>,
}

impl Grids for Watch {
    fn grid(&self, node: &str, x: &Tensor) -> occam_engine::Result<Grid> {
        let Some(seen) = self.seen.get(node).cloned() else { return Ok(Grid::Off) };
        let shape = x.shape();
        let observed = x.with_f32(move |data| {
            let mut seen = lock(&seen);
            let rows = seen.means.as_mut().map(|means| means.add(data, &shape)).unwrap_or_default();
            // What sums were read for has the bounds, too.
            if !rows.is_empty() && rows.iter().all(is_finite) {
                let least = rows.iter().fold(f32::INFINITY, |m, row| m.min(row.least));
                let largest = rows.iter().fold(f32::NEG_INFINITY, |m, row| m.max(row.largest));
                if seen.observer.observe_bounds(least, largest) {
                    return Ok(());
                }
            }
            seen.observer.observe(data, &shape)
        })?;
        if let Err(error) = observed {
            let name = node.strip_suffix(".quant").unwrap_or(node).to_owned();
            let error = match error {
                Error::NotFinite { what, .. } => Error::NotFinite { name, what },
                other => other,
            };
            let message = error.to_string();
            lock(&self.failed).get_or_insert(error);
            return Err(occam_engine::Error::Tensor { op: "observe", message });
        }
        Ok(Grid::Off)
    }
}

/// A mutex whose holder may have panicked holds what it held.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Runs a graph and observes.
pub struct Calibrator {
    executor: Executor,
    params: Bound,
    watch: Arc<Watch>,
}

impl Calibrator {
    /// One that observes the nodes named in `seen`.
    ///
    /// # Errors
    /// The graph breaks a rule, or a weight is missing.
    pub fn new(
        graph: &Graph,
        weights: &Weights,
        seen: impl IntoIterator<Item = (String, Seen)>,
        device: &Device,
    ) -> Result<Self> {
        let params = Params::new(graph, weights, device)?.constants();
        let executor = Executor::new(Arc::new(graph.clone()))?;
        let seen = seen.into_iter().map(|(name, seen)| (name, Arc::new(Mutex::new(seen)))).collect();
        Ok(Self { executor, params, watch: Arc::new(Watch { seen, failed: Mutex::default() }) })
    }

    /// Takes a batch into account, and gives the graph's outputs on it.
    ///
    /// # Errors
    /// The inputs do not fit, or a value that is observed is not finite.
    pub fn observe(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        let grids: Arc<dyn Grids> = self.watch.clone();
        let request = Request { grids: Some(grids), ..Request::new(Mode::Eval) };
        match self.executor.run(&self.params, inputs, &request) {
            Ok(out) => Ok(out.outputs),
            Err(error) => Err(lock(&self.watch.failed).take().unwrap_or(error.into())),
        }
    }

    /// Scale and zero point of a node.
    ///
    /// # Errors
    /// It was never reached.
    pub fn qparams(&self, node: &str) -> Result<QParams> {
        let unobserved = || Error::Unobserved { name: node.strip_suffix(".quant").unwrap_or(node).into() };
        let seen = self.watch.seen.get(node).ok_or_else(unobserved)?;
        lock(seen).observer.qparams().ok_or_else(unobserved)
    }

    /// Least and largest element that a node saw.
    pub fn range(&self, node: &str) -> Option<(f32, f32)> {
        let seen = lock(self.watch.seen.get(node)?);
        let (min, max) = seen.observer.range();
        let least = min.iter().copied().reduce(f32::min)?;
        Some((least, max.iter().copied().reduce(f32::max)?))
    }

    /// Means of the channels that a node saw, where they were asked for.
    pub fn means(&self, node: &str) -> Option<Vec<f32>> {
        let seen = lock(self.watch.seen.get(node)?);
        seen.means.as_ref().map(Means::get)
    }
}

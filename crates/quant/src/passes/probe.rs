//! Looking at values while a graph runs, so that nothing of them is kept.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use occam_engine::{Device, Executor, Grid, Grids, Mode, Params, Request, Tensor};
use occam_graph::ops::FakeQuant;
use occam_graph::{Array, Graph, Patch, ValueId, Weights};

use crate::{Error, Result};

/// Data that a pass runs a model on, several times where it needs to.
pub trait Batches {
    /// Calls `f` with the inputs of every batch, always in the same order.
    ///
    /// # Errors
    /// Those of `f`, or a batch cannot be read.
    fn each(&self, f: &mut dyn FnMut(&[Tensor]) -> Result<()>) -> Result<()>;
}

impl Batches for Vec<Vec<Tensor>> {
    fn each(&self, f: &mut dyn FnMut(&[Tensor]) -> Result<()>) -> Result<()> {
        self.iter().try_for_each(|batch| f(batch))
    }
}

/// Who looks at a value.
pub(crate) trait Eye: std::fmt::Debug + Send {
    /// Takes a batch of it into account.
    fn see(&mut self, x: &[f32], shape: &[usize]) -> Result<()>;
}

/// Grids for a run: those of the nodes, or none, and eyes behind some nodes.
#[derive(Debug)]
pub(crate) struct Watch<E> {
    eyes: HashMap<String, Mutex<E>>,
    rounded: bool,
}

impl<E: Eye> Grids for Watch<E> {
    fn grid(&self, node: &str, x: &Tensor) -> occam_engine::Result<Grid> {
        if let Some(eye) = self.eyes.get(node) {
            let mut eye = eye.lock().unwrap_or_else(PoisonError::into_inner);
            let failed = |e: Error| occam_engine::Error::Tensor { op: "watch", message: e.to_string() };
            eye.see(&x.to_f32()?, &x.shape()).map_err(failed)?;
            return Ok(Grid::Off);
        }
        Ok(if self.rounded { Grid::Given } else { Grid::Off })
    }
}

/// An eye that sees nothing.
#[derive(Debug)]
pub(crate) struct Closed;

impl Eye for Closed {
    fn see(&mut self, _: &[f32], _: &[usize]) -> Result<()> {
        Ok(())
    }
}

/// A run in evaluation with the graph's own roundings, or without any.
pub(crate) fn request(rounded: bool) -> Request {
    let grids: Arc<dyn Grids> = Arc::new(Watch::<Closed> { eyes: HashMap::new(), rounded });
    Request { grids: Some(grids), ..Request::new(Mode::Eval) }
}

/// Runs the graph on all data, with its own roundings where `rounded`, and shows values to eyes.
///
/// # Errors
/// The graph cannot be run on the data, or an eye refuses what it sees.
pub(crate) fn watch<E: Eye + 'static>(
    graph: &Graph,
    weights: &Weights,
    eyes: Vec<(ValueId, E)>,
    rounded: bool,
    data: &dyn Batches,
) -> Result<Vec<E>> {
    let mut watched = graph.clone();
    let one = watched.add_const("probe:one", Array::full([1], 1.0))?;
    let mut patch = Patch::new("probe");
    let mut names = Vec::with_capacity(eyes.len());
    let mut by_name = HashMap::new();
    let mut last: HashMap<ValueId, occam_graph::Wire> = HashMap::new();
    for (i, (value, eye)) in eyes.into_iter().enumerate() {
        let name = format!("probe:{i}");
        // What several look at passes them one after the other.
        let from = last.get(&value).copied().unwrap_or(value.into());
        let wire = patch.node(&name, FakeQuant::new(0, 1, None), [from, one.into(), one.into()]);
        last.insert(value, wire);
        by_name.insert(name.clone(), Mutex::new(eye));
        names.push(name);
    }
    for (value, wire) in last {
        patch.replace(value, wire);
    }
    patch.apply(&mut watched)?;
    let params = Params::new(&watched, weights, &Device::cpu())?.constants();
    let executor = Executor::new(Arc::new(watched))?;
    let watch = Arc::new(Watch { eyes: by_name, rounded });
    let request = {
        let grids: Arc<dyn Grids> = watch.clone();
        Request { grids: Some(grids), ..Request::new(Mode::Eval) }
    };
    data.each(&mut |inputs| {
        executor.run(&params, inputs, &request)?;
        Ok(())
    })?;
    drop(request);
    let lost = || Error::Other("a run still looks at its values".into());
    let mut watch = Arc::try_unwrap(watch).map_err(|_| lost())?;
    names
        .iter()
        .map(|name| {
            let eye = watch.eyes.remove(name).ok_or_else(lost)?;
            Ok(eye.into_inner().unwrap_or_else(PoisonError::into_inner))
        })
        .collect()
}

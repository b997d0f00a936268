//! Models of several widths that share one set of weights.
//!
//! A supernet's subnets are not masked: each is the small static graph that [`narrow`](occam_space::narrow) makes, run with
//! parts of the whole model's parameters. So what is trained is what is exported: the subnet with its weights sliced for good
//! computes the same bits. Slicing is differentiable, so gradients are of the whole parameters, and 0 where the subnet has
//! nothing.
//!
//! A step of a training that lets a leaf be changed on its way (gates, filters that are recombined) is
//!
//! ```text
//! let leaves = model.params.leaves();
//! let mut shared = leaves.clone();            // change entries here: tensors of the whole shape, or of the subnet's
//! let outputs = model.forward_by(subnet.executor(), &subnet.bind(&shared)?, batch, &request)?;
//! let gradients = collect(&leaves, &mut loss.backward()?);
//! subnet.keep(&mut model.params, outputs.buffers)?;
//! ```

mod slices;
mod switch;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use indexmap::IndexMap;
use occam_engine::{Bound, Executor, Params, Tensor};
use occam_graph::{Bindings, Dim, Graph, Weights};
use occam_space::{Estimator, Resources, Selection, Trace, TraceOptions, kept, narrow, shrink, trace};
use occam_train::Result;

use crate::Error;
use crate::shaped::failed;
use slices::Slices;
pub use switch::Switch;

/// How many subnets are kept ready.
const READY: usize = 64;

/// A graph with all channels, its units, and the subnets that were lately asked for.
pub struct Supernet {
    graph: Arc<Graph>,
    trace: Trace,
    /// The last used comes last.
    ready: Mutex<VecDeque<Arc<Subnet>>>,
}

/// The graph of one selection of channels, ready to run.
#[derive(Debug)]
pub struct Subnet {
    selection: Selection,
    executor: Executor,
    /// The parts of parameters that the subnet has less of than the whole model.
    slices: IndexMap<String, Slices>,
}

impl Supernet {
    /// Finds the units of `graph`.
    ///
    /// # Errors
    /// No channel of it can be pruned, or the graph is broken.
    pub fn new(graph: Arc<Graph>) -> Result<Self, Error> {
        let trace = trace(&graph, &TraceOptions::default())?;
        if trace.prunable().next().is_none() {
            let why = trace.units.iter().find_map(|u| Some(format!("`{}`: {}", u.name, u.kept_by.as_ref()?)));
            return Err(Error::Nothing(why.unwrap_or_else(|| "it has no layers with channels".into())));
        }
        Ok(Self { graph, trace, ready: Mutex::default() })
    }

    /// The graph with all channels.
    pub fn graph(&self) -> &Arc<Graph> {
        &self.graph
    }

    /// Its units.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// The first `widths` channels of each unit.
    ///
    /// # Errors
    /// A unit has fewer channels than that, or must stay as it is.
    pub fn first(&self, widths: &[usize]) -> Result<Selection, Error> {
        let mut selection = Selection::all(&self.trace);
        for (i, (unit, &width)) in self.trace.units.iter().zip(widths).enumerate() {
            if width != unit.channels {
                selection.set_width(&self.trace, i, width)?;
            }
        }
        Ok(selection)
    }

    /// The subnet of a selection.
    ///
    /// # Errors
    /// A node cannot follow the smaller sizes.
    pub fn subnet(&self, selection: &Selection) -> Result<Arc<Subnet>> {
        // What was found in the cache is whole, also if another thread failed meanwhile.
        let lock = || self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        {
            let mut ready = lock();
            if let Some(i) = ready.iter().position(|s| s.selection == *selection)
                && let Some(found) = ready.remove(i)
            {
                ready.push_back(found.clone());
                return Ok(found);
            }
        }
        let subnet = Arc::new(self.make(selection)?);
        let mut ready = lock();
        if ready.len() >= READY {
            ready.pop_front();
        }
        ready.push_back(subnet.clone());
        Ok(subnet)
    }

    /// The subnet of the first `widths` channels of each unit.
    ///
    /// # Errors
    /// As [`Supernet::first`] and [`Supernet::subnet`].
    pub fn at(&self, widths: &[usize]) -> Result<Arc<Subnet>> {
        self.subnet(&self.first(widths).map_err(failed)?)
    }

    fn make(&self, selection: &Selection) -> Result<Subnet> {
        let graph = narrow(&self.graph, &self.trace, selection).map_err(failed)?;
        let kept = kept(&self.graph, &self.trace, selection).map_err(failed)?;
        // Recorders name values of the whole graph.
        for (id, value) in self.graph.values() {
            if graph.value(id)?.name != value.name {
                let message = format!("value `{}` of the smaller graph is another than before", value.name);
                return Err(occam_train::Error::Other(message));
            }
        }
        let slices = kept.iter().map(|(name, axes)| (name.clone(), Slices::of(axes))).collect();
        Ok(Subnet { selection: selection.clone(), executor: Executor::new(Arc::new(graph))?, slices })
    }

    /// The small static model: graph and weights of a selection, cut out of `weights`, which are the whole model's.
    ///
    /// # Errors
    /// The weights are of another model, or a node cannot follow.
    pub fn fixed(&self, weights: &Weights, selection: &Selection) -> Result<(Graph, Weights), Error> {
        Ok(shrink(&self.graph, weights, &self.trace, selection)?)
    }

    /// What one image of `[channels, height, width]` costs at `widths`.
    ///
    /// # Errors
    /// The graph has sizes that images do not say.
    pub fn resources(&self, widths: &[usize], image: [usize; 3]) -> Result<Resources, Error> {
        let bindings = bindings(&self.graph, image)?;
        Ok(Estimator::new(&self.graph, &self.trace, &bindings)?.at(widths)?)
    }
}

/// The symbols of the inputs of `graph` where they are one image of `[channels, height, width]`.
///
/// # Errors
/// The graph is broken.
pub(crate) fn bindings(graph: &Graph, image: [usize; 3]) -> Result<Bindings, Error> {
    let [c, h, w] = image;
    let mut bindings = Bindings::new();
    for &input in graph.inputs() {
        for (dim, size) in graph.value(input)?.fact.shape.iter().zip([1, c, h, w]) {
            if let Dim::Symbol(name) = dim {
                bindings.insert(name.to_string(), size);
            }
        }
    }
    Ok(bindings)
}

impl Subnet {
    /// Which channels it has.
    pub fn selection(&self) -> &Selection {
        &self.selection
    }

    /// What runs it; values have the ids that they have in the whole graph.
    pub fn executor(&self) -> &Executor {
        &self.executor
    }

    /// What it computes.
    pub fn graph(&self) -> &Arc<Graph> {
        self.executor.graph()
    }

    /// Its parameters, made of the whole model's. Entries that have the subnet's shape already are taken as they are: those
    /// that were made for it.
    ///
    /// # Errors
    /// One is missing, or has another shape than either.
    pub fn bind(&self, shared: &Bound) -> Result<Bound> {
        let refuse = |name: &str, message: String| occam_engine::Error::Param { name: name.into(), message };
        let mut bound = Bound::with_capacity(shared.len());
        for (_, value) in self.graph().params() {
            let name = value.name.as_str();
            let Some(tensor) = shared.get(name) else {
                return Err(refuse(name, "it was not given".into()).into());
            };
            let own = value.fact.known_shape();
            let part = match self.slices.get(name) {
                Some(slices) if own.as_deref() != Some(&tensor.shape()) => {
                    let cut = slices.take(tensor);
                    cut.map_err(|e| {
                        refuse(name, format!("{} cannot be cut out of {tensor:?}: {e}", value.fact))
                    })?
                }
                _ => tensor.clone(),
            };
            if own.as_deref() != Some(&part.shape()) {
                return Err(refuse(name, format!("{} wanted, made of {tensor:?}", value.fact)).into());
            }
            bound.insert(name.to_owned(), part);
        }
        Ok(bound)
    }

    /// Puts what a run gave as new elements of buffers into their places of `params`; the rest of each stays.
    ///
    /// # Errors
    /// One is none of the model's, or has another shape.
    pub fn keep(
        &self,
        params: &mut Params,
        buffers: impl IntoIterator<Item = (String, Tensor)>,
    ) -> Result<()> {
        for (name, tensor) in buffers {
            let whole = match (self.slices.get(&name), params.get(&name)) {
                (Some(slices), Some(full)) if full.tensor.shape() != tensor.shape() => {
                    slices.put(&full.tensor, &tensor)?
                }
                _ => tensor,
            };
            params.set(&name, whole)?;
        }
        Ok(())
    }
}

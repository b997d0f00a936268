//! What a model does with its outputs beyond the graph: losses, predictions, and named places to watch.

use std::collections::HashMap;

use indexmap::IndexMap;
use occam_data::DataSample;
use occam_engine::Tensor;

use crate::Result;

/// Loss terms by name. Those whose name contains `loss` are summed and differentiated; others are only logged.
pub type Losses = IndexMap<String, Tensor>;

/// The half of a model that is no tensor graph.
pub trait Task: Send + Sync {
    /// Loss terms of one batch.
    ///
    /// # Errors
    /// The samples have no labels, or labels outside the classes.
    fn loss(&self, outputs: &[Tensor], samples: &[DataSample], sites: &mut Sites) -> Result<Losses>;

    /// The samples with what the model predicts for them.
    ///
    /// # Errors
    /// Outputs and samples do not fit.
    fn predict(&self, outputs: &[Tensor], samples: Vec<DataSample>) -> Result<Vec<DataSample>>;

    /// The places at which [`Task::loss`] notes its calls (see [`Sites`]).
    fn sites(&self) -> &'static [&'static str] {
        &[]
    }
}

/// One watched call.
#[derive(Debug, Clone)]
pub struct SiteCall {
    /// Positional arguments.
    pub inputs: Vec<Tensor>,
    /// The result.
    pub outputs: Vec<Tensor>,
}

/// Watches calls that are no nodes of a graph, such as a loss module's, by the path they have in the original.
#[derive(Debug, Clone, Default)]
pub struct Sites {
    records: HashMap<String, Vec<SiteCall>>,
}

impl Sites {
    /// Watches the named places.
    pub fn watching<'a>(paths: impl IntoIterator<Item = &'a str>) -> Self {
        Self { records: paths.into_iter().map(|p| (p.to_owned(), Vec::new())).collect() }
    }

    /// Notes a call, where its place is watched.
    pub fn note(&mut self, path: &str, inputs: &[&Tensor], output: &Tensor) {
        if let Some(calls) = self.records.get_mut(path) {
            calls.push(SiteCall {
                inputs: inputs.iter().map(|&t| t.clone()).collect(),
                outputs: vec![output.clone()],
            });
        }
    }

    /// The same calls, of which no gradient flows back.
    #[must_use]
    pub fn detached(mut self) -> Self {
        for call in self.records.values_mut().flatten() {
            call.inputs.iter_mut().chain(&mut call.outputs).for_each(|t| *t = t.detach());
        }
        self
    }

    /// Calls noted at a place, in order; none where it is not watched.
    pub fn calls(&self, path: &str) -> Option<&[SiteCall]> {
        self.records.get(path).map(Vec::as_slice)
    }
}

//! Passes over float models that make them lose less when they are rounded, and corrections of rounded ones.
//!
//! Those that keep the function ([`fold_batch_norm`], [`equalize`], [`smooth`]) work on recognized graphs before roundings are
//! placed; [`correct_biases_by_means`], [`correct_biases_by_runs`] and [`correct_biases_by_statistics`] on graphs that hold
//! [`FakeQuant`](occam_graph::ops::FakeQuant) nodes whose grids are set.

mod absorb_bias;
mod bias_correction;
mod chain;
mod equalize;
mod fold_batch_norm;
mod layer;
mod probe;
mod smooth;
mod statistics;
mod subgraph;
#[cfg(test)]
pub(crate) mod tests;

pub use absorb_bias::absorb_biases;
pub(crate) use bias_correction::shift_of_means;
pub use bias_correction::{correct_biases_by_means, correct_biases_by_runs, correct_biases_by_statistics};
pub use equalize::{Equalize, equalize, free_relu6};
pub use fold_batch_norm::fold_batch_norm;
pub(crate) use layer::{Layer, sole_reader};
pub use probe::Batches;
pub(crate) use probe::{Eye, request, watch};
pub use smooth::{Smooth, smooth};
pub use statistics::{Moments, Statistics, measure};
pub(crate) use subgraph::subgraph;

/// What a pass did and what it left alone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Nodes that changed, each with what became of it.
    pub done: Vec<(String, String)>,
    /// Nodes that could have changed and did not, each with why.
    pub skipped: Vec<(String, String)>,
}

impl Report {
    pub(crate) fn did(&mut self, name: impl Into<String>, what: impl Into<String>) {
        self.done.push((name.into(), what.into()));
    }

    pub(crate) fn skip(&mut self, name: impl Into<String>, why: impl Into<String>) {
        self.skipped.push((name.into(), why.into()));
    }
}

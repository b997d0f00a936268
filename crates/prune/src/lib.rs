//! Structured pruning: how much each channel matters, which channels go to meet a target, and trainings that remove channels on
//! the way.
//!
//! The training side has the original's names: an algorithm ([`algorithms`]) asks a mutator ([`mutators`]) for the channel units
//! of its model, and units of a kind ([`units`]) say which channels go. The model is made smaller while it is trained
//! ([`Shaped`]); nothing is masked.

pub mod algorithms;
pub mod compactor;
mod error;
mod fisher;
mod gates;
mod goal;
pub mod hooks;
pub mod importance;
mod keys;
pub mod latency;
mod layers;
mod limits;
pub mod loops;
pub mod models;
pub mod mutators;
pub mod picture;
pub mod recipe;
pub mod regularizers;
pub mod sensitivity;
mod shaped;
mod solve;
pub mod sparsity;
mod supernet;
pub mod units;

pub use error::{Error, Result};
pub use importance::{Importance, Normalizer, Scores};
pub use occam_graph::matches;
pub use shaped::Shaped;
pub use solve::{Limits, Outcome, Scope, Solver, Target, TargetKind};
pub use supernet::{Subnet, Supernet, Switch};

/// Makes all components of this crate known.
pub fn register(registry: &mut occam_config::Registry) {
    units::register(registry);
    regularizers::register(registry);
    mutators::register(registry);
    algorithms::register(registry);
    hooks::register(registry);
    loops::register(registry);
    models::register(registry);
    recipe::register(registry);
}

//! Ways to measure what is pruned, and models of several widths. One a file.

mod auto_slim_greedy_search;
mod forms;
mod ite_prune_val;
mod slimmable_val;
mod subnet_val;

pub use auto_slim_greedy_search::AutoSlimGreedySearchLoop;
pub use ite_prune_val::ItePruneValLoop;
pub use slimmable_val::SlimmableValLoop;
pub use subnet_val::SubnetValLoop;

use occam_config::{Build, Registry};
use occam_train::loops::EvalLoop;

const TABLE: &[(&str, Build<dyn EvalLoop>)] = &[
    ("AutoSlimGreedySearchLoop", auto_slim_greedy_search::build),
    ("ItePruneValLoop", ite_prune_val::build),
    ("SlimmableValLoop", slimmable_val::build),
    ("SubnetValLoop", subnet_val::build),
];

pub(crate) fn register(registry: &mut Registry) {
    registry.register_all::<dyn EvalLoop>("evaluation loop", TABLE);
}

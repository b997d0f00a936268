//! Ways to measure what is pruned. One a file.

mod ite_prune_val;

pub use ite_prune_val::ItePruneValLoop;

use occam_config::{Build, Registry};
use occam_train::loops::EvalLoop;

const TABLE: &[(&str, Build<dyn EvalLoop>)] = &[("ItePruneValLoop", ite_prune_val::build)];

pub(crate) fn register(registry: &mut Registry) {
    registry.register_all::<dyn EvalLoop>("evaluation loop", TABLE);
}

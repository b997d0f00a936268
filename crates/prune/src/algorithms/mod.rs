//! Algorithms: trainings that remove channels. One a file.

mod group_fisher;
mod ite_prune;

pub use group_fisher::GroupFisherAlgorithm;
pub use ite_prune::ItePruneAlgorithm;

use occam_config::{Build, Registry};
use occam_train::AlgorithmConfig;

const TABLE: &[(&str, Build<dyn AlgorithmConfig>)] =
    &[("GroupFisherAlgorithm", group_fisher::build), ("ItePruneAlgorithm", ite_prune::build)];

pub(crate) fn register(registry: &mut Registry) {
    registry.register_all::<dyn AlgorithmConfig>("algorithm", TABLE);
}

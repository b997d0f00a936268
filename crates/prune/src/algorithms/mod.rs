//! Algorithms: trainings that remove channels. One a file.

mod ite_prune;

pub use ite_prune::ItePruneAlgorithm;

use occam_config::{Build, Registry};
use occam_train::AlgorithmConfig;

const TABLE: &[(&str, Build<dyn AlgorithmConfig>)] = &[("ItePruneAlgorithm", ite_prune::build)];

pub(crate) fn register(registry: &mut Registry) {
    registry.register_all::<dyn AlgorithmConfig>("algorithm", TABLE);
}

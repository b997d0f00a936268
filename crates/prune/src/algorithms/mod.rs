//! Algorithms: trainings that remove channels. One a file.

mod ite_prune;
mod resrep;
mod sparse_training;
mod sparsity;
mod target_prune;

pub use ite_prune::ItePruneAlgorithm;
pub use resrep::ResRep;
pub use sparse_training::SparseTraining;
pub use sparsity::SparsityAlgorithm;
pub use target_prune::TargetPruneAlgorithm;

use occam_config::{Build, Registry};
use occam_train::AlgorithmConfig;

const TABLE: &[(&str, Build<dyn AlgorithmConfig>)] = &[
    ("ItePruneAlgorithm", ite_prune::build),
    ("ResRep", resrep::build),
    ("SparseTraining", sparse_training::build),
    ("SparsityAlgorithm", sparsity::build),
    ("TargetPruneAlgorithm", target_prune::build),
];

pub(crate) fn register(registry: &mut Registry) {
    registry.register_all::<dyn AlgorithmConfig>("algorithm", TABLE);
}

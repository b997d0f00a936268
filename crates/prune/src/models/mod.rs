//! Models that are given as another model and the widths of its units. One a file.

mod deploy_sub_model;
mod fixed;
mod sub_model;

use occam_config::{Build, Registry};
use occam_train::AlgorithmConfig;
use occam_zoo::Architecture;

const MODELS: &[(&str, Build<dyn Architecture>)] = &[
    ("GroupFisherDeploySubModel", deploy_sub_model::build_model),
    ("GroupFisherSubModel", sub_model::build_model),
    ("sub_model", fixed::build_model),
];

/// Where they are the whole `model` of a run.
const ALGORITHMS: &[(&str, Build<dyn AlgorithmConfig>)] = &[
    ("GroupFisherDeploySubModel", deploy_sub_model::build_algorithm),
    ("GroupFisherSubModel", sub_model::build_algorithm),
    ("sub_model", fixed::build_algorithm),
];
pub(crate) fn register(registry: &mut Registry) {
    registry.register_all::<dyn Architecture>("model", MODELS);
    registry.register_all::<dyn AlgorithmConfig>("algorithm", ALGORITHMS);
}

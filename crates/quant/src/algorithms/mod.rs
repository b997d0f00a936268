//! Algorithms: trainings of models that round. One a file.

mod architecture_quant;
mod rounder;

pub use architecture_quant::{MMArchitectureQuant, Phases};
pub use rounder::Rounder;

use occam_config::{Build, Registry};
use occam_train::AlgorithmConfig;

const TABLE: &[(&str, Build<dyn AlgorithmConfig>)] = &[("MMArchitectureQuant", architecture_quant::build)];

pub(crate) fn register(registry: &mut Registry) {
    registry.register_all::<dyn AlgorithmConfig>("algorithm", TABLE);
}

//! Hooks of trainings that prune. One a file.

mod dmcp_subnet;
mod pruning_structure;
mod resource_info;

pub use dmcp_subnet::DmcpSubnetHook;
pub use pruning_structure::PruningStructureHook;
pub use resource_info::ResourceInfoHook;

use occam_config::{Build, Registry};
use occam_train::hooks::Hook;

const TABLE: &[(&str, Build<dyn Hook>)] = &[
    ("DMCPSubnetHook", dmcp_subnet::build),
    ("PruningStructureHook", pruning_structure::build),
    ("ResourceInfoHook", resource_info::build),
];

pub(crate) fn register(registry: &mut Registry) {
    registry.register_all::<dyn Hook>("hook", TABLE);
}

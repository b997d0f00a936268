//! Hooks of trainings that prune. One a file.

mod dmcp_subnet;

pub use dmcp_subnet::DmcpSubnetHook;

use occam_config::{Build, Registry};
use occam_train::hooks::Hook;

const TABLE: &[(&str, Build<dyn Hook>)] = &[("DMCPSubnetHook", dmcp_subnet::build)];

pub(crate) fn register(registry: &mut Registry) {
    registry.register_all::<dyn Hook>("hook", TABLE);
}

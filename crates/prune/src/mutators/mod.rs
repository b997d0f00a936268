//! Mutators: what a config says of the channel units of a model. One a file.

mod channel;
mod choices;
mod dcff;
mod dmcp;
mod group_fisher;
mod one_shot;
mod slimmable;

pub(crate) use channel::choice;
pub use channel::{ChannelMutator, Unit, Units};
pub(crate) use choices::{choices, read_json};
pub use dmcp::DmcpChannelMutator;
pub use one_shot::OneShot;
pub use slimmable::subnets;

use occam_config::{Build, Registry};

const TABLE: &[(&str, Build<ChannelMutator>)] = &[
    ("ChannelMutator", channel::build),
    ("GroupFisherChannelMutator", group_fisher::build),
    ("DCFFChannelMutator", dcff::build),
    ("OneShotChannelMutator", one_shot::build),
    ("SlimmableChannelMutator", slimmable::build),
];

const LEARNED: &[(&str, Build<DmcpChannelMutator>)] = &[("DMCPChannelMutator", dmcp::build)];

pub(crate) fn register(registry: &mut Registry) {
    registry.register_all::<ChannelMutator>("mutator", TABLE);
    registry.register_all::<DmcpChannelMutator>("mutator of learned widths", LEARNED);
}

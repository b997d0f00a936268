//! Mutators: what a config says of the channel units of a model. One a file.

mod channel;
mod choices;
mod group_fisher;

pub use channel::{ChannelMutator, Unit, Units};
pub(crate) use choices::{choices, read_json};

use occam_config::{Build, Registry};

const TABLE: &[(&str, Build<ChannelMutator>)] =
    &[("ChannelMutator", channel::build), ("GroupFisherChannelMutator", group_fisher::build)];

pub(crate) fn register(registry: &mut Registry) {
    registry.register_all::<ChannelMutator>("mutator", TABLE);
}

//! Kinds of channel units: how wide a unit becomes and which of its channels stay. One a file.

mod args;
mod candidates;
mod dcff;
mod dmcp;
mod group_fisher;
mod l1;
mod sequential;

pub use args::UnitArgs;
pub use candidates::OneShotMutableChannelUnit;
pub use dcff::DcffChannelUnit;
pub use dmcp::DmcpChannelUnit;
pub use group_fisher::{FisherArgs, GroupFisherChannelUnit, Normalization};

use occam_config::{Build, Registry};
use occam_space::subnet::Choice;

use crate::importance::Subject;
use crate::{Result, Scores};

/// What all units of a model have in common.
pub trait ChannelUnit: Send + Sync {
    /// Its name in configs and subnet files.
    fn name(&self) -> &'static str;

    /// How its choices become widths.
    fn args(&self) -> &UnitArgs;

    /// How `GroupFisherAlgorithm` measures channels; none for kinds that it cannot take.
    fn fisher(&self) -> Option<FisherArgs> {
        None
    }

    /// The choices that are there, in the order in which they are written; none where any width may be chosen.
    fn candidates(&self) -> Option<&[Choice]> {
        None
    }

    /// How much each channel matters; none where the first ones stay.
    ///
    /// # Errors
    /// A unit has nothing that could be looked at.
    fn scores(&self, subject: &Subject<'_>) -> Result<Option<Scores>>;
}

const TABLE: &[(&str, Build<dyn ChannelUnit>)] = &[
    ("GroupFisherChannelUnit", group_fisher::build),
    ("DCFFChannelUnit", dcff::build),
    ("DMCPChannelUnit", dmcp::build),
    ("L1MutableChannelUnit", l1::build),
    ("OneShotMutableChannelUnit", candidates::build_one_shot),
    ("SequentialMutableChannelUnit", sequential::build),
    ("SlimmableChannelUnit", candidates::build_slimmable),
];

pub(crate) fn register(registry: &mut Registry) {
    registry.register_all::<dyn ChannelUnit>("channel unit", TABLE);
}

//! Kinds of channel units: how wide a unit becomes and which of its channels stay. One a file.

mod args;
mod group_fisher;
mod l1;
mod sequential;

pub use args::UnitArgs;
pub use group_fisher::{FisherArgs, GroupFisherChannelUnit, Normalization};

use occam_config::{Build, Registry};

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

    /// How much each channel matters; none where the first ones stay.
    ///
    /// # Errors
    /// A unit has nothing that could be looked at.
    fn scores(&self, subject: &Subject<'_>) -> Result<Option<Scores>>;
}

const TABLE: &[(&str, Build<dyn ChannelUnit>)] = &[
    ("GroupFisherChannelUnit", group_fisher::build),
    ("L1MutableChannelUnit", l1::build),
    ("SequentialMutableChannelUnit", sequential::build),
];

pub(crate) fn register(registry: &mut Registry) {
    registry.register_all::<dyn ChannelUnit>("channel unit", TABLE);
}

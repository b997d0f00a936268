//! The mutator of fused filters.

use occam_config::{Error, Registry, Value};

use super::{ChannelMutator, channel};

/// `DCFFChannelMutator(channel_unit_cfg='DCFFChannelUnit', parse_cfg=dict(type='ChannelAnalyzer'))`: a [`ChannelMutator`] of
/// [`DcffChannelUnit`](crate::units::DcffChannelUnit)s.
pub(super) fn build(value: &Value, registry: &Registry) -> Result<Box<ChannelMutator>, Error> {
    channel::build_of("DCFFChannelMutator", "DCFFChannelUnit", value, registry)
}

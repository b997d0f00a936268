//! The mutator of group Fisher pruning.

use occam_config::{Error, Registry, Value};

use super::ChannelMutator;
use super::channel;

/// `GroupFisherChannelMutator(channel_unit_cfg='GroupFisherChannelUnit', parse_cfg=..)`: a [`ChannelMutator`] with another
/// default.
pub(super) fn build(value: &Value, registry: &Registry) -> Result<Box<ChannelMutator>, Error> {
    let mut own = value.clone();
    if let Some(dict) = own.as_dict_mut()
        && dict.get("channel_unit_cfg").is_none()
    {
        dict.insert("channel_unit_cfg", Value::from("GroupFisherChannelUnit"));
    }
    let mutator = channel::build(&own, registry)?;
    match mutator.unit().fisher() {
        Some(_) => Ok(mutator),
        None => {
            let message = format!(
                "a `GroupFisherChannelMutator` cannot have units of kind `{}`",
                mutator.unit().name()
            );
            let place = value.get("channel_unit_cfg").unwrap_or(value);
            Err(Error::new(message).with_help("use GroupFisherChannelUnit").at(place))
        }
    }
}

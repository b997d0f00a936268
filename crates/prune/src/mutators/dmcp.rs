//! The mutator of learned widths.

use occam_config::{Error, Registry, Value};
use serde::Deserialize;

use super::{ChannelMutator, channel};
use crate::algorithms::Rates;

/// `DMCPChannelMutator(channel_unit_cfg='DMCPChannelUnit', parse_cfg=.., pruning_cfg=(0.1, 1, 0.05))`: a [`ChannelMutator`] of
/// [`DmcpChannelUnit`](crate::units::DmcpChannelUnit)s, and between which parts of their channels widths are sampled:
/// `pruning_cfg=(least, most, step)`.
///
/// The original accepts any `most` but cuts units as if they went up to all their channels; here it must be 1.
pub struct DmcpChannelMutator {
    /// The units.
    pub channels: Box<ChannelMutator>,
    /// `pruning_cfg`.
    pub rates: Rates,
}

#[derive(Deserialize)]
struct Keys {
    #[serde(default)]
    pruning_cfg: Option<[f64; 3]>,
}

pub(super) fn build(value: &Value, registry: &Registry) -> Result<Box<DmcpChannelMutator>, Error> {
    let keys: Keys = value.parse()?;
    let rates = match keys.pruning_cfg {
        None => Rates::default(),
        Some([least, most, step]) => Rates { least, most, step },
    };
    if !(rates.least > 0.0 && rates.least < 1.0 && rates.most == 1.0 && rates.step > 0.0 && rates.step < 1.0)
    {
        let message = "`pruning_cfg` must be (least, 1, step) with parts above 0 and below 1";
        return Err(Error::new(message).at(value.get("pruning_cfg").unwrap_or(value)));
    }
    let mut own = value.clone();
    if let Some(dict) = own.as_dict_mut() {
        dict.remove("pruning_cfg");
    }
    let channels = channel::build_of("DMCPChannelMutator", "DMCPChannelUnit", &own, registry)?;
    Ok(Box::new(DmcpChannelMutator { channels, rates }))
}

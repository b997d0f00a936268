//! A few subnets, given unit by unit.

use occam_config::{Error, Registry, Value};
use occam_space::Trace;

use super::{ChannelMutator, Units, channel};

/// `SlimmableChannelMutator(channel_unit_cfg='SlimmableChannelUnit', parse_cfg=..)`: a [`ChannelMutator`] whose units have
/// `candidate_choices`, all the same number of them; candidate `i` of all units is subnet `i`.
pub(super) fn build(value: &Value, registry: &Registry) -> Result<Box<ChannelMutator>, Error> {
    channel::build_as("SlimmableChannelMutator", "SlimmableChannelUnit", value, registry)
}

/// The widths of every unit of `trace` in each subnet, in the order in which they are written. Units that the config does not
/// name keep all channels.
///
/// # Errors
/// Units have no candidates, or not the same number of them.
pub fn subnets(mutator: &ChannelMutator, units: &Units, trace: &Trace) -> Result<Vec<Vec<usize>>, String> {
    let mut first: Option<(&str, usize)> = None;
    for unit in units.iter().filter(|u| u.mutable) {
        let Some(candidates) = unit.candidates.as_ref().filter(|c| !c.is_empty()) else { continue };
        match first {
            None => first = Some((&unit.name, candidates.len())),
            Some((name, n)) if n != candidates.len() => {
                return Err(format!(
                    "unit `{name}` has {n} candidate_choices and unit `{}` has {}: candidate i of all units is subnet i",
                    unit.name,
                    candidates.len()
                ));
            }
            Some(_) => {}
        }
    }
    let Some((_, count)) = first else {
        return Err(match mutator.unit().candidates() {
            None => {
                format!("units of kind {} make no subnets; use SlimmableChannelUnit", mutator.unit().name())
            }
            Some(_) => "no channel unit has `candidate_choices`".into(),
        });
    };
    let width = |i: usize, (unit, found): (&super::Unit, &occam_space::Unit)| {
        let candidate = unit.candidates.as_ref().filter(|_| unit.mutable).and_then(|c| c.get(i));
        candidate.map_or(found.channels, |&c| unit.args.width(c, found.channels))
    };
    Ok((0..count).map(|i| units.iter().zip(&trace.units).map(|pair| width(i, pair)).collect()).collect())
}

//! Every unit's width is chosen apart from the others'.

use occam_config::{Error, Registry, Value};
use occam_data::streams::Draw;
use occam_space::Trace;
use occam_train::{Group, Picks};

use super::{ChannelMutator, Units, channel};

/// `OneShotChannelMutator(channel_unit_cfg='OneShotMutableChannelUnit', parse_cfg=..)`: a [`ChannelMutator`] whose units have
/// `candidate_choices`. The default `channel_unit_cfg` of the original has arguments that its units do not take; here it is
/// the units' own default.
pub(super) fn build(value: &Value, registry: &Registry) -> Result<Box<ChannelMutator>, Error> {
    channel::build_as("OneShotChannelMutator", "OneShotMutableChannelUnit", value, registry)
}

/// The widths among which those of each unit are chosen.
#[derive(Debug, Clone)]
pub struct OneShot {
    groups: Vec<Group>,
    /// By unit of the trace its widths, from the least; one for those that must stay.
    widths: Vec<Vec<usize>>,
    /// By group the unit that it is.
    units: Vec<usize>,
}

impl OneShot {
    /// Of what a mutator says of the units of `trace`. As in the original equal widths stay as often as they are written, so
    /// that they are drawn as often.
    ///
    /// # Errors
    /// The mutator's units have no candidates, or no unit has two widths.
    pub fn new(mutator: &ChannelMutator, units: &Units, trace: &Trace) -> Result<Self, String> {
        let mut space = Self { groups: Vec::new(), widths: Vec::new(), units: Vec::new() };
        for (i, (unit, found)) in units.iter().zip(&trace.units).enumerate() {
            let Some(candidates) = unit.candidates.as_ref().filter(|_| unit.mutable) else {
                space.widths.push(vec![found.channels]);
                continue;
            };
            let mut widths: Vec<usize> =
                candidates.iter().map(|&c| unit.args.width(c, found.channels)).collect();
            if widths.is_empty() {
                widths.push(found.channels);
            }
            widths.sort_unstable();
            space.groups.push(Group { name: unit.name.clone(), choices: widths.len() });
            space.units.push(i);
            space.widths.push(widths);
        }
        if space.widths.iter().all(|w| w.first() == w.last()) {
            return Err(match mutator.unit().candidates() {
                None => format!(
                    "units of kind {} have no `candidate_choices`; use OneShotMutableChannelUnit",
                    mutator.unit().name()
                ),
                Some(_) => "no channel unit has two widths to choose from".into(),
            });
        }
        Ok(space)
    }

    /// What can be chosen.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// Every unit as wide as it may be.
    pub fn max(&self) -> Picks {
        self.groups.iter().map(|g| g.choices.saturating_sub(1)).collect()
    }

    /// Every unit as narrow as it may be.
    pub fn min(&self) -> Picks {
        vec![0; self.groups.len()]
    }

    /// Every unit by chance, all its choices alike.
    pub fn random(&self, stream: &mut impl Draw) -> Picks {
        self.groups.iter().map(|g| stream.below(g.choices)).collect()
    }

    /// The width of every unit of the trace; none where there is no such choice.
    pub fn widths(&self, picks: &[usize]) -> Option<Vec<usize>> {
        let mut widths: Vec<usize> = self.widths.iter().filter_map(|w| w.last().copied()).collect();
        if picks.len() != self.units.len() {
            return None;
        }
        for (&unit, &pick) in self.units.iter().zip(picks) {
            *widths.get_mut(unit)? = *self.widths.get(unit)?.get(pick)?;
        }
        Some(widths)
    }
}

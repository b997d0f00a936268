//! Units whose widths are chosen among a few.

use occam_config::{Error, Registry, Value};
use occam_space::subnet::Choice;

use super::{ChannelUnit, UnitArgs};
use crate::Result;
use crate::Scores;
use crate::importance::Subject;
use crate::mutators::choice;

/// `OneShotMutableChannelUnit`: the first channels stay, as many as one of `candidate_choices` says.
///
/// | key | default | |
/// |---|---|---|
/// | `candidate_choices` | `[0.5, 1.0]` | numbers of channels as ints, parts of them as floats; each is made a width as [`UnitArgs::width`] says; none means all channels |
/// | `choice_mode` | `'ratio'` | accepted, as with all units |
///
/// and those of [`UnitArgs`].
pub struct OneShotMutableChannelUnit {
    args: UnitArgs,
    candidates: Vec<Choice>,
    name: &'static str,
}

pub(super) fn build_one_shot(value: &Value, _: &Registry) -> Result<Box<dyn ChannelUnit>, Error> {
    of("OneShotMutableChannelUnit", &[Choice::Ratio(0.5), Choice::Ratio(1.0)], "ratio", value)
}

/// `SlimmableChannelUnit`: as [`OneShotMutableChannelUnit`], by default with all channels (`candidate_choices=[]`,
/// `choice_mode='number'`); candidate `i` of all units together is subnet `i`.
pub(super) fn build_slimmable(value: &Value, _: &Registry) -> Result<Box<dyn ChannelUnit>, Error> {
    of("SlimmableChannelUnit", &[], "number", value)
}

fn of(
    name: &'static str,
    default: &[Choice],
    mode: &str,
    value: &Value,
) -> Result<Box<dyn ChannelUnit>, Error> {
    let mut rest = value.clone();
    let mut candidates = default.to_vec();
    if let Some(dict) = rest.as_dict_mut() {
        if let Some(given) = dict.remove("candidate_choices").filter(|v| !v.is_none()) {
            let wrong = || Error::new("`candidate_choices` must be a list of numbers").at(&given);
            candidates = given.as_list().ok_or_else(wrong)?.iter().map(choice).collect::<Result<_, _>>()?;
        }
        if !dict.contains("choice_mode") {
            dict.insert("choice_mode", Value::from(mode));
        }
    }
    let args = UnitArgs::from_config(&rest)?;
    Ok(Box::new(OneShotMutableChannelUnit { args, candidates, name }))
}

impl ChannelUnit for OneShotMutableChannelUnit {
    fn name(&self) -> &'static str {
        self.name
    }

    fn args(&self) -> &UnitArgs {
        &self.args
    }

    fn candidates(&self) -> Option<&[Choice]> {
        Some(&self.candidates)
    }

    fn scores(&self, _: &Subject<'_>) -> Result<Option<Scores>> {
        Ok(None)
    }
}

//! Channels whose importance is measured by gradients (Liu et al., Group Fisher Pruning, 2021, arXiv:2108.00708).

use occam_config::{Error, Registry, Value};
use serde::Deserialize;

use super::{ChannelUnit, UnitArgs};
use crate::importance::Subject;
use crate::{Importance, Result, Scores};

/// What an importance is divided by, so that it counts what removing the channel saves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Normalization {
    /// Multiply-accumulates that one image needs less without the channel, in 10⁹.
    #[default]
    Flops,
    /// Elements that the layers which compute the channel write less for one image, in 10⁶.
    Act,
    /// Nothing.
    None,
}

/// How `GroupFisherAlgorithm` measures the channels of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct FisherArgs {
    /// What an importance is divided by.
    pub normalization_type: Normalization,
    /// Whether units that a fully connected layer reads lose channels, too.
    pub mutate_linear: bool,
}

/// `GroupFisherChannelUnit(normalization_type='flops', mutate_linear=False)`.
///
/// | key | default | |
/// |---|---|---|
/// | `normalization_type` | `'flops'` | what an importance is divided by: `'flops'`, `'act'` or `'none'`; see [`Normalization`] |
/// | `mutate_linear` | False | whether units that a fully connected layer reads lose channels |
///
/// and those of [`UnitArgs`]. How much its channels matter says
/// [`GroupFisherAlgorithm`](crate::algorithms::GroupFisherAlgorithm); in the hands of other algorithms it is an
/// `L1MutableChannelUnit`, as in the original.
pub struct GroupFisherChannelUnit {
    args: UnitArgs,
    fisher: FisherArgs,
}

pub(super) fn build(value: &Value, _: &Registry) -> Result<Box<dyn ChannelUnit>, Error> {
    let mut rest = value.clone();
    let mut own = occam_config::Dict::new();
    if let Some(dict) = rest.as_dict_mut() {
        for key in ["normalization_type", "mutate_linear"] {
            if let Some(value) = dict.remove(key) {
                own.insert(key, value);
            }
        }
    }
    let fisher: FisherArgs = Value::from(own).with_span(value.span.clone()).parse()?;
    Ok(Box::new(GroupFisherChannelUnit { args: UnitArgs::from_config(&rest)?, fisher }))
}

impl ChannelUnit for GroupFisherChannelUnit {
    fn name(&self) -> &'static str {
        "GroupFisherChannelUnit"
    }

    fn args(&self) -> &UnitArgs {
        &self.args
    }

    fn fisher(&self) -> Option<FisherArgs> {
        Some(self.fisher)
    }

    fn scores(&self, subject: &Subject<'_>) -> Result<Option<Scores>> {
        Importance::find("l1").map(|l1| l1.score(subject)).transpose()
    }
}

//! A parameter.

use occam_config::{Error, Registry, Value};
use serde::Deserialize;

use super::{Recorder, Records, Source, Subject};

/// Records a parameter as it is in the run: one record, a tensor.
///
/// | key | |
/// |---|---|
/// | `source` | its name in the state dict, such as `head.fc.weight` |
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameter {
    /// The parameter.
    pub source: Source,
}

pub(super) fn build(value: &Value, _: &Registry) -> Result<Box<dyn Recorder>, Error> {
    let recorder: Parameter = value.parse()?;
    Ok(Box::new(recorder))
}

impl Recorder for Parameter {
    fn locate(&self, subject: &Subject<'_>) -> Result<Records, Error> {
        subject.parameter(&self.source)
    }
}

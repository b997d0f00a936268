//! What a module returned.

use occam_config::{Error, Registry, Value};
use serde::Deserialize;

use super::{Part, Recorder, Records, Source, Subject};

/// Records what each call of a module returned.
///
/// | key | |
/// |---|---|
/// | `source` | dotted path of the module, such as `backbone.layer4.1.relu`; `''` is the whole model |
///
/// A record is a tensor, or a tuple where the module returns one, even of one item: `neck` and `backbone` do. Where
/// the graph has no module of that path, calls that the task notes are recorded: `head.loss_module`.
///
/// The whole model's record is the graph's output; the original records its dict of losses there.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModuleOutputs {
    /// The module.
    pub source: Source,
}

pub(super) fn build(value: &Value, _: &Registry) -> Result<Box<dyn Recorder>, Error> {
    let recorder: ModuleOutputs = value.parse()?;
    Ok(Box::new(recorder))
}

impl Recorder for ModuleOutputs {
    fn locate(&self, subject: &Subject<'_>) -> Result<Records, Error> {
        subject.calls(&self.source, Part::Outputs)
    }
}

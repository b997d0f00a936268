//! What a module was called with.

use occam_config::{Error, Registry, Value};
use serde::Deserialize;

use super::{Part, Recorder, Records, Source, Subject};

/// Records the positional arguments of each call of a module.
///
/// | key | |
/// |---|---|
/// | `source` | dotted path of the module, such as `head.loss_module`; `''` is the whole model |
///
/// A record is always a tuple, so that `data_idx` is needed. Where the graph has no module of that path, calls that
/// the task notes are recorded: at `head.loss_module` item 0 holds the scores and item 1 the labels.
///
/// At the whole model item 0 holds the images and item 1 the labels, `i64 [B]`; the original has the data samples
/// there, of which losses use the labels. A module whose one argument is a tuple, such as `neck`, has the tuple's
/// items as its record; the original's is a tuple in a tuple.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModuleInputs {
    /// The module.
    pub source: Source,
}

pub(super) fn build(value: &Value, _: &Registry) -> Result<Box<dyn Recorder>, Error> {
    let recorder: ModuleInputs = value.parse()?;
    Ok(Box::new(recorder))
}

impl Recorder for ModuleInputs {
    fn locate(&self, subject: &Subject<'_>) -> Result<Records, Error> {
        subject.calls(&self.source, Part::Inputs)
    }
}

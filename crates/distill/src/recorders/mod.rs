//! Recorders: which values of a model are looked at. One a file.
//!
//! | `type` | `source` | a record |
//! |---|---|---|
//! | [`ModuleOutputs`] | module path | what one call returned |
//! | [`ModuleInputs`] | module path | the positional arguments of one call, always a tuple |
//! | [`Parameter`] | name of a parameter | the parameter |
//!
//! A module that is called several times has several records, in order of execution.

mod module_inputs;
mod module_outputs;
mod parameter;
mod record;
mod source;
mod subject;
mod watch;

pub use module_inputs::ModuleInputs;
pub use module_outputs::ModuleOutputs;
pub use parameter::Parameter;
pub use record::{Part, Record, Records, Selection, Slot};
pub use source::Source;
pub use subject::Subject;
pub use watch::{Observed, Watch};

use occam_config::{Build, Error, Registry};

/// Names values of a model.
pub trait Recorder: Send + Sync {
    /// Where in the model its records are found.
    ///
    /// # Errors
    /// The model does not have its source.
    fn locate(&self, subject: &Subject<'_>) -> Result<Records, Error>;
}

const TABLE: &[(&str, Build<dyn Recorder>)] = &[
    ("ModuleOutputs", module_outputs::build),
    ("ModuleInputs", module_inputs::build),
    ("Parameter", parameter::build),
];

pub(crate) fn register(registry: &mut Registry) {
    registry.register_all::<dyn Recorder>("recorder", TABLE);
}

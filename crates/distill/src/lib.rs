//! Knowledge distillation: a student learns from what a teacher computes.
//!
//! A [`Recorder`] names values of a model, a [`DistillLoss`] compares values of student and teacher, a distiller
//! ([`ConfigurableDistiller`]) wires the ones to the others, and an algorithm ([`SingleTeacherDistill`]) trains with
//! the result. Nothing is hooked into a model: what is recorded is known before the first step, and asked for as taps
//! of a run ([`Watch`]).

mod algorithms;
mod distillers;
mod entries;
mod loops;
mod losses;
mod recorders;

pub use algorithms::SingleTeacherDistill;
pub use distillers::{ConfigurableDistiller, Distiller, DistillerConfig, Side};
pub use loops::SingleTeacherDistillValLoop;
pub use losses::{DistLoss, DistillLoss, KlDivergence, Reduction};
pub use recorders::{
    ModuleInputs, ModuleOutputs, Observed, Parameter, Part, Record, Recorder, Records, Selection, Slot,
    Source, Subject, Watch,
};

/// Makes all components of this crate known.
pub fn register(registry: &mut occam_config::Registry) {
    losses::register(registry);
    recorders::register(registry);
    distillers::register(registry);
    algorithms::register(registry);
    loops::register(registry);
}

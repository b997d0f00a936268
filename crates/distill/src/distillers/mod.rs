//! Distillers: which values of student and teacher are compared, and how. One a file.

mod configurable;

pub use configurable::ConfigurableDistiller;

use occam_config::{Build, Error, Registry};
use occam_train::Result;
use occam_zoo::Losses;

use crate::{Observed, Subject, Watch};

/// One of the two models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// The one that learns.
    Student,
    /// The one that it learns from.
    Teacher,
}

/// The config of a distiller.
pub trait DistillerConfig: Send + Sync {
    /// Finds what it compares in the two models.
    ///
    /// # Errors
    /// A model lacks something that is recorded of it.
    fn build(
        self: Box<Self>,
        student: &Subject<'_>,
        teacher: &Subject<'_>,
    ) -> Result<Box<dyn Distiller>, Error>;
}

/// Compares two models.
pub trait Distiller: Send + Sync {
    /// What must be watched of one model.
    fn watch(&self, side: Side) -> &Watch;

    /// Loss terms by name, of what was watched in one run of each model. Those whose name has no `loss` in it are
    /// only logged.
    ///
    /// # Errors
    /// What was watched does not fit the losses.
    fn losses(&self, student: &Observed, teacher: &Observed) -> Result<Losses>;

    /// Whether a model can learn from the losses: what it computes leads to one that is differentiated.
    fn teaches(&self, side: Side) -> bool;

    /// What is allowed but likely not meant, for people.
    fn warnings(&self) -> &[String];
}

const TABLE: &[(&str, Build<dyn DistillerConfig>)] = &[("ConfigurableDistiller", configurable::build)];

pub(crate) fn register(registry: &mut Registry) {
    registry.register_all::<dyn DistillerConfig>("distiller", TABLE);
}
